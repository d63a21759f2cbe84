"""Which source columns each feature is made of, and how: read off the data contract.

The same declaration that both feature engines execute says it, so it cannot fall behind them.
The vocabulary is that of OpenLineage's ``columnLineage`` facet, 1-2-0: DIRECT where the value
is made of the source's values, INDIRECT where the source decides which of them count.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from serinus.contract import Contract, Feature
from serinus.lineage.facets import facet


@dataclass(frozen=True)
class Source:
    """One column that goes into a field."""

    column: str
    type: Literal["DIRECT", "INDIRECT"]
    subtype: str
    description: str


def sources_of(contract: Contract, feature: Feature) -> tuple[Source, ...]:
    """The columns of the records that a feature is made of, those whose values it carries first."""
    if feature.aggregate is not None:
        return _aggregate(contract, feature)
    assert feature.column is not None  # contract.checks
    if feature.part is not None:
        return (
            Source(feature.column, "DIRECT", "TRANSFORMATION", f"{feature.part} of {feature.column}, in UTC"),
        )
    return (Source(feature.column, "DIRECT", "IDENTITY", "as it is"),)


def _aggregate(contract: Contract, feature: Feature) -> tuple[Source, ...]:
    assert feature.entity is not None
    assert feature.window is not None
    key, event = contract.entity(feature.entity).column, contract.event
    span = f"the last {feature.window}" + (
        f" before the last {feature.delay}" if feature.delay != "0s" else ""
    )
    whose = f"over the {feature.entity}'s earlier events of {span}"
    found: list[Source] = []
    if feature.column is not None:
        found.append(Source(feature.column, "DIRECT", "AGGREGATION", f"{feature.aggregate} {whose}"))
    grouping = "number of events" if feature.column is None else "grouped"
    found.append(Source(key, "INDIRECT", "GROUP_BY", f"{grouping} {whose}"))
    if event.time is not None:
        found.append(Source(event.time, "INDIRECT", "WINDOW", f"events of {span}, never the event itself"))
    if event.arrival is not None:
        found.append(Source(event.arrival, "INDIRECT", "FILTER", "only events that had arrived by then"))
    return tuple(found)


def made_of(contract: Contract) -> dict[str, tuple[Source, ...]]:
    """The sources of every feature by its name, in the order of the feature vector."""
    return {feature.name: sources_of(contract, feature) for feature in contract.features}


def made_from(contract: Contract, column: str) -> tuple[str, ...]:
    """The features that a source column goes into, directly or not."""
    return tuple(
        name for name, sources in made_of(contract).items() if any(s.column == column for s in sources)
    )


def meta_sources(contract: Contract) -> dict[str, tuple[Source, ...]]:
    """The sources of a feature table's columns beside the features: id, time, label, protected ones."""
    found: dict[str, tuple[Source, ...]] = {}
    if contract.event.id:
        found["event_id"] = (Source(contract.event.id, "DIRECT", "IDENTITY", "as text"),)
    if contract.event.time:
        found["event_time"] = (Source(contract.event.time, "DIRECT", "IDENTITY", "in UTC"),)
    label = contract.label.column
    found["label"] = (Source(label, "DIRECT", "TRANSFORMATION", "1 for the bad outcome, 0 for another"),)
    for protected in contract.protected:
        found[protected.column] = (Source(protected.column, "DIRECT", "IDENTITY", "as text; no feature"),)
    return found


def whole_table(contract: Contract) -> tuple[Source, ...]:
    """Columns that decide which rows a feature table has, and in which order."""
    found: list[Source] = []
    if contract.event.id:
        found.append(
            Source(contract.event.id, "INDIRECT", "FILTER", "one row per event, the first to arrive")
        )
    if contract.event.time:
        found.append(Source(contract.event.time, "INDIRECT", "SORT", "in order of time"))
    return tuple(found)


def column_lineage(
    fields: dict[str, tuple[Source, ...]],
    *,
    namespace: str,
    name: str,
    whole: Iterable[Source] = (),
) -> dict[str, Any]:
    """The facet: each field with the input fields of the dataset ``name`` that it is made of."""

    def pointed(source: Source) -> dict[str, Any]:
        how = {"type": source.type, "subtype": source.subtype, "description": source.description}
        return {
            "namespace": namespace,
            "name": name,
            "field": source.column,
            "transformations": [{**how, "masking": False}],
        }

    listed = {field: {"inputFields": [pointed(s) for s in sources]} for field, sources in fields.items()}
    affected = [pointed(source) for source in whole]
    return facet("columnLineage", fields=listed, **({"dataset": affected} if affected else {}))
