"""Stands in until the report is written."""

from pathlib import Path


def write(out: Path) -> list[str]:
    """Nothing yet."""
    return []
