"""Features: declared in the contract, executed by a batch and a stream engine.

The batch engine comes when it is asked for: DuckDB is 60 MB that a scorer, which
reads only values and histories from here, need not load.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from serinus.features.stream import FeatureStream

if TYPE_CHECKING:
    from serinus.features.batch import META, FeatureTable, compute_features
    from serinus.features.records import iter_records, read_columns

__all__ = ["META", "FeatureStream", "FeatureTable", "compute_features", "iter_records", "read_columns"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from serinus.features import batch, records

    return getattr(batch if hasattr(batch, name) else records, name)
