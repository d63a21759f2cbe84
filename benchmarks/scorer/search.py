"""The highest rate that holds, by a bracket that grows geometrically and then bisection. No I/O here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

Verdict = Literal["held", "failed", "void"]


@dataclass
class Found:
    """The outcome of a search.

    Attributes:
        rate: the highest rate that held, requests/s; 0 if none did.
        limited: the generator could not keep up above it, so the server might do more.
        tried: every probe, in order.
    """

    rate: float = 0.0
    limited: bool = False
    tried: list[tuple[float, Verdict]] = field(default_factory=list[tuple[float, Verdict]])


def highest(
    probe: Callable[[float], Verdict],
    start: float,
    *,
    factor: float = 1.3,
    precision: float = 0.04,
    least: float = 2.0,
    may_go_on: Callable[[], bool] = lambda: True,
) -> Found:
    """Search upwards from ``start`` while rates hold, downwards while they fail, then halve the bracket.

    A rate that fails is tried once more, because a neighbour's burst fails any server; every server has this
    second chance. A void probe (the generator lagged) says nothing of the server and ends the way up.

    Args:
        precision: the bracket's relative width at which to stop.
        least: the rate below which nothing is tried.
        may_go_on: asked before each probe; False ends the search with what is known.
    """
    found = Found()
    low, high = 0.0, 0.0

    def holds(rate: float) -> Verdict:
        for _ in range(2):
            verdict = probe(rate)
            found.tried.append((rate, verdict))
            if verdict == "held" or not may_go_on():
                break
        return found.tried[-1][1]

    rate = max(start, least)
    while may_go_on():
        verdict = holds(rate)
        if verdict == "held":
            low = rate
            if high:
                break
            rate *= factor
        else:
            high, found.limited = rate, verdict == "void"
            if low or rate <= least:
                break
            rate = max(least, rate / factor)
    while low and high and high / low > 1 + precision and may_go_on():
        middle = (low * high) ** 0.5
        verdict = holds(middle)
        if verdict == "held":
            low = middle
        else:
            high, found.limited = middle, verdict == "void"
    found.rate = low
    return found
