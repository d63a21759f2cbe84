"""Features: declared in the contract, executed by a batch and a stream engine."""

from serinus.features.batch import META, FeatureTable, compute_features
from serinus.features.records import iter_records, read_columns
from serinus.features.stream import FeatureStream

__all__ = ["META", "FeatureStream", "FeatureTable", "compute_features", "iter_records", "read_columns"]
