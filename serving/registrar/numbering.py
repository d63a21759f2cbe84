"""Whether a rollout's turns are numbered as they were when they were recorded. Pure.

A status that somebody empties is begun again by the controller, with the number 1 under the same uid. A numbering is
known by its first turn, which never changes; where that is not kept any more, by the time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from .records import LONG_AGO, Place, first_of
from .seen import Turn

Numbering = Literal["same", "anew", "former"]


def numbering(place: Place, turns: Sequence[Turn]) -> Numbering:
    """Of the turns that a status shows: ``same`` as recorded, begun ``anew``, or told late, of a ``former`` one."""
    if place.last < 1 and not place.former:
        return "same"
    first = next((turn for turn in turns if turn.seq == 1), None)
    if first is not None:
        told = first_of(first.reason, first.at)
        if told == place.first:
            return "same"
        if told in place.former:
            return "former"
        if place.first is not None:
            return "anew"
        if place.last == 0:  # said to be begun anew, and killed before its first turn
            return "same"
    numbered = [turn for turn in turns if turn.seq > 0]
    if numbered and not any(_later(turn.at, place.since) for turn in numbered):
        return "former"
    return (
        "anew" if any(turn.seq <= place.last and _later(turn.at, place.at) for turn in numbered) else "same"
    )


def _later(one: float, other: float) -> bool:
    """Whether one time is after another; of turns that are shown only, whole seconds are known."""
    return other == LONG_AGO or math.floor(one) > math.floor(other)
