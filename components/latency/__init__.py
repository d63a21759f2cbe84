"""Latency: the model as it will be served, timed, and held to what training gave."""
