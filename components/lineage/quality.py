"""What the checks of the records and the gate found, as OpenLineage's facets.

Counts and verdicts only. The smallest and the largest value of a column are values of a
person's record, so they are not told, although the specification has a place for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from serinus.contract import Column, Contract
from serinus.lineage import facets
from serinus.numerals import exact


def metrics(report: Mapping[str, Any]) -> dict[str, Any]:
    """Rows, and for each column how many values are missing and how many differ (the latter estimated)."""
    return facets.facet(
        "dataQualityMetrics",
        rowCount=report["rows"],
        columnMetrics={
            name: {"nullCount": found["missing"], "distinctCount": found["distinct"]}
            for name, found in report["columns"].items()
        },
    )


def assertions(contract: Contract, report: Mapping[str, Any]) -> dict[str, Any]:
    """What the contract asks of each column, and whether the records keep it."""
    listed: list[dict[str, Any]] = []
    for name, column in contract.columns.items():
        found = report["columns"].get(name)
        listed.append(_said("column_present", name, found is not None))
        if found is not None:
            listed += _of_column(name, column, found, label=name == contract.label.column)
    return facets.facet("dataQualityAssertions", assertions=listed)


def _of_column(
    name: str, column: Column, found: Mapping[str, Any], *, label: bool
) -> Iterable[dict[str, Any]]:
    if column.missing == "refuse" and not label:
        yield _said("not_null", name, found["missing"] == 0)
    if column.type in ("number", "integer") and (column.min is not None or column.max is not None):
        low, high = found["min"], found["max"]
        kept = (column.min is None or low is None or low >= column.min) and (
            column.max is None or high is None or high <= column.max
        )
        limits = [f">= {exact(column.min)}"] if column.min is not None else []
        limits += [f"<= {exact(column.max)}"] if column.max is not None else []
        yield _said("in_range", name, kept, expected=" and ".join(limits))
    if column.categories is not None:
        severity = "error" if column.unknown == "refuse" else "warn"
        yield _said("accepted_values", name, not found["unknown_levels"], severity=severity)


def _said(what: str, column: str, success: bool, **more: str) -> dict[str, Any]:
    return {"assertion": what, "success": success, "column": column, "severity": "error", **more}


_STATUS = {"pass": "pass", "fail": "fail", "no_data": "skip"}


def tests(demands: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The gate's demands: threshold, figure, verdict. What could not be measured was skipped, not passed."""
    return facets.facet("test", tests=[_test(demand) for demand in demands])


def _test(demand: Mapping[str, Any]) -> dict[str, Any]:
    found = {
        "name": demand["metric"],
        "status": _STATUS.get(demand["verdict"], "skip"),
        "severity": "error" if demand["blocks"] else "warn",
        "type": demand.get("group") or "gate",
        "expected": demand["threshold"],
    }
    if demand["value"] is not None:
        found["actual"] = f"{demand['value']:.6g}"
    if demand.get("what"):
        found["description"] = demand["what"]
    interval = {key: demand[key] for key in ("low", "high", "n") if demand.get(key) is not None}
    return found | ({"params": interval} if interval else {})
