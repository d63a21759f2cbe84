"""Train: a calibrated model."""
