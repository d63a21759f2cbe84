"""Texts that a contract reads in one way everywhere: what is absent, and how a level is written."""

from __future__ import annotations

MISSING_WORDS = ("", "na", "n/a", "nan", "null")
"""Texts that mean an absent value, compared in lower case."""


def is_missing(text: str) -> bool:
    """Whether a text means an absent value."""
    # Every such text is empty or begins with n, which most others do not.
    first = text[:1]
    if first not in ("", "n", "N") and not first.isspace():
        return False
    return text.strip().lower() in MISSING_WORDS


def absent(value: object) -> bool:
    """Whether a value says nothing: null, NaN, or a text such as ``NA``."""
    if isinstance(value, str):
        return is_missing(value)
    return value is None or value != value


def level_text(value: object) -> str:
    """A level as ingest writes it: ``3`` is "3", and ``True`` is "true"."""
    return str(value).lower() if isinstance(value, bool) else str(value)
