"""Explain: what drives the model, and whether its reasons hold."""
