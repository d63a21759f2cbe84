"""Split: training, validation and test rows, in time."""
