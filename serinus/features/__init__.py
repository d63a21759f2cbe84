"""Features: declared in the contract, executed by a batch and a stream engine."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from serinus.features.batch import META, FeatureTable, compute_features
    from serinus.features.records import iter_records, read_columns
    from serinus.features.stream import FeatureStream

__all__ = ["META", "FeatureStream", "FeatureTable", "compute_features", "iter_records", "read_columns"]

# A scorer reads histories and no files: it need not load DuckDB.
_WHERE = {
    **dict.fromkeys(("META", "FeatureTable", "compute_features"), "serinus.features.batch"),
    **dict.fromkeys(("iter_records", "read_columns"), "serinus.features.records"),
    "FeatureStream": "serinus.features.stream",
}


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)
