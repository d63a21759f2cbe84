"""Adapters: the only modules of the rollout engine that import a client library."""
