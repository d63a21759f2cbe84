"""The known levels of categorical features, learned once, at training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from serinus.contract import Contract

Levels = dict[str, tuple[str, ...]]
"""Feature name → its levels; a level's position is its code in the vector."""


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
