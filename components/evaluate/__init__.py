"""Evaluate: the model on rows it has never seen."""
