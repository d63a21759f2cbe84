"""The known levels of categorical features, learned once, at training."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping

from serinus.contract import Contract

Levels = dict[str, tuple[str, ...]]
"""Feature name → its levels; a level's position is its code in the vector."""


_WHOLE = re.compile(r"-?\d+")


def level_kind(levels: Collection[str]) -> Callable[[object], bool]:
    """Tells whether a value is of the kind of these levels, known or not.

    Text always is. A whole number is where a level reads as one (numeric codes), a
    boolean where a level is "true" or "false"; else it is a mistake of type, which
    must not pass as a level never seen.
    """
    whole = any(map(_WHOLE.fullmatch, levels))
    boolean = "true" in levels or "false" in levels

    def is_of_that_kind(value: object) -> bool:
        if isinstance(value, bool):
            return boolean
        return isinstance(value, str) or (whole and isinstance(value, int))

    return is_of_that_kind


def learn_levels(contract: Contract, columns: Mapping[str, Iterable[object]]) -> Levels:
    """Levels of each categorical feature: pinned by the contract, else those in the data, sorted."""
    levels: Levels = {}
    for feature in contract.features:
        if not contract.is_categorical(feature):
            continue
        source = contract.source(feature)
        if source is not None and source.categories is not None:
            levels[feature.name] = source.categories
        else:
            seen = {str(value) for value in columns[feature.name] if value is not None and value == value}
            levels[feature.name] = tuple(sorted(seen))
    return levels
