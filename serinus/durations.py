"""Durations as people write them in YAML: ``90s``, ``15m``, ``12h``, ``7d``."""

from __future__ import annotations

import re

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_FORM = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)\s*$")


def parse_duration(text: str) -> float:
    """Seconds in a duration such as ``7d`` or ``1.5h``.

    Raises:
        ValueError: if the text is not a number followed by ms, s, m, h, d or w.
    """
    match = _FORM.match(text)
    if not match:
        raise ValueError(f"{text!r} is not a duration; write a number and a unit: 90s, 15m, 12h, 7d")
    return float(match[1]) * _UNITS[match[2]]


def format_duration(seconds: float) -> str:
    """The shortest of the forms above that is exact to two decimals: ``604800`` → ``7d``."""
    for unit in ("d", "h", "m", "s"):
        size = _UNITS[unit]
        if seconds >= size and round(seconds / size, 2) * size == seconds:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s" if seconds >= 1 or seconds == 0 else f"{seconds * 1000:g}ms"
