"""Numbers as people read them: one format for the gate's table, errors and papers."""

from __future__ import annotations

import math
from decimal import Decimal


def figure(value: float, digits: int = 4) -> str:
    """A measured number to so many significant digits, thousands set apart: ``0.8712``, ``12,346``.

    A whole number of type int is printed whole. Digits before the decimal point are never
    rounded away, and there is no exponent above a thousandth; below it, two digits fewer.
    """
    if isinstance(value, int):
        return f"{value:,}"
    if value == 0:
        return "0"
    if not math.isfinite(value):
        return f"{value:g}"
    if abs(value) < 1e-3:
        return _plain(f"{value:.{max(digits - 2, 1)}g}")
    return f"{value:,.0f}" if abs(value) >= 10**digits - 0.5 else _thousands(f"{value:.{digits}g}")


def exact(value: float) -> str:
    """A number that somebody has set, such as a limit: all its digits, thousands set apart: ``10,000``, ``0.0125``."""
    if value == 0:
        return "0"
    if not 1e-6 <= abs(value) < 1e15:
        return _plain(f"{value!r}")
    return _thousands(f"{value!r}").removesuffix(".0")


def _thousands(text: str) -> str:
    return f"{Decimal(text):,f}"


def _plain(text: str) -> str:
    """``1e-9`` rather than ``1e-09``."""
    mantissa, e, power = text.partition("e")
    return f"{mantissa}e{int(power)}" if e else text
