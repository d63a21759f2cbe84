"""The point-in-time features of the records, as one table."""

from __future__ import annotations

from pathlib import Path

from components.step import Summary, read_contract
from serinus.features.batch import compute_features


def features(contract: Path, records: Path, table: Path) -> Summary:
    """Compute the contract's features (``serinus.features.batch.compute_features``).

    Args:
        contract, records: as ``components.ingest`` gives them.
        table: Parquet to write.
    """
    checked = read_contract(contract)
    done = compute_features(checked, records, table)
    return {
        "rows": f"{done.rows:,}",
        "features": len(checked.features),
        "duplicates": done.duplicates,
        "late": done.late,
    }
