"""Card: the model card, from the run's own reports."""
