"""Canary judges side by side on the same seeded traces (``python -m benchmarks.judges --help``)."""
