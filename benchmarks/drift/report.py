"""Placeholder until figures exist."""

from __future__ import annotations

from pathlib import Path


def write(out: Path) -> None:
    """Nothing yet."""
