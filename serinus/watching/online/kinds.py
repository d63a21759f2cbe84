"""What a feature's values are, as far as the choice of a test goes."""

from __future__ import annotations

from typing import Literal

from serinus.contract import Contract, Feature
from serinus.model.levels import Levels

DECISION = "model decision"
"""Whether a row was declined, among the columns; with a space, so that no feature can have the name."""

Kind = Literal["number", "whole", "flag", "category", "clock"]
"""``number``: any. ``whole``: integers and counts, so ties. ``flag``: two values, 0 and 1. ``category``: more levels.
``clock``: a part of the time, which moves with the hour and is judged by none."""


def kind_of(contract: Contract, feature: Feature, levels: Levels) -> Kind:
    """By the contract's column type, and a category's number of levels."""
    if feature.part is not None:
        return "clock"
    if contract.is_categorical(feature):
        return "flag" if len(levels.get(feature.name, ())) == 2 else "category"
    source = contract.source(feature)
    if feature.aggregate == "count":
        return "whole"
    if source is not None and feature.aggregate is None:
        if source.type == "boolean":
            return "flag"
        if source.type == "integer":
            return "whole"
    return "number"
