"""One test of the challenge, as it stands in the report, the gate and the card."""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from components.challenge.names import TESTS

Verdict = Literal["pass", "fail", "no_data", "no_champion"]
Group = Literal[
    "calibration",
    "stability",
    "backtest",
    "stress",
    "sensitivity",
    "explanation",
    "leakage",
    "champion",
    "benchmark",
    "implementation",
    "exposure",
]


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """A test and what came of it.

    Attributes:
        value: what was measured; None where it could not be.
        low, high: its 95 % interval, where one is known.
        minimum, maximum: the limit; None for a test that is only reported.
        blocks: whether the verdict stops the pipeline.
        why: what no number says: where, or why there is none.
        n: rows behind the value, where they can be counted.
        what: what the test is, for a reader who has not met it.
    """

    group: Group
    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    verdict: Verdict
    blocks: bool
    why: str = ""
    n: int | None = None
    what: str = ""


def judged(
    group: Group,
    name: str,
    value: float | None,
    *,
    interval: tuple[float, float] | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    why: str = "",
    n: int | None = None,
    what: str = "",
) -> Item:
    """An item with its verdict: the value against its limits.

    Without a limit it is reported and blocks nothing. A value that could not be measured is
    no data, which does not block either: a test that does not apply (no event time, no
    declared direction) is not a fault of the model; ``why`` says it.
    """
    known = value is not None and math.isfinite(value)
    limited = minimum is not None or maximum is not None
    verdict: Verdict = "no_data"
    if known and value is not None:
        inside = (minimum is None or value >= minimum) and (maximum is None or value <= maximum)
        verdict = "pass" if inside else "fail"
    low, high = interval if interval is not None and all(map(math.isfinite, interval)) else (None, None)
    return Item(
        group=group,
        name=name,
        value=float(value) if known and value is not None else None,
        low=low,
        high=high,
        minimum=minimum,
        maximum=maximum,
        verdict=verdict,
        blocks=limited and known,
        why=why,
        n=n,
        what=what or TESTS.get(name, ""),
    )
