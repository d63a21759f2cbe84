"""Building blocks of Grafana dashboards: panels laid out in rows, as the JSON that Grafana provisions.

Schema: grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

WIDTH = 24
"""Columns of Grafana's grid."""
SCHEMA = 39
"""The dashboard schema of Grafana 11; later ones migrate it."""
SOURCE = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True)
class Panel:
    """One panel. ``queries`` are (PromQL, legend); ``unit`` is Grafana's name of it; ``limits`` are (value, colour)
    pairs by which values are coloured, from the least upwards."""

    title: str
    queries: tuple[tuple[str, str], ...]
    says: str = ""
    kind: str = "timeseries"
    unit: str = "short"
    width: int = 8
    limits: tuple[tuple[float, str], ...] = ()
    maximum: float | None = None


@dataclass(frozen=True)
class Board:
    """One dashboard: rows of panels, each row as high as ``height`` grid units."""

    uid: str
    title: str
    says: str
    rows: tuple[tuple[str, tuple[Panel, ...]], ...]
    height: int = 8
    by_model: bool = True
    tags: tuple[str, ...] = field(default=("serinus",))


def document(board: Board) -> dict[str, Any]:
    """The dashboard as Grafana reads it. Deterministic: the same board gives the same document."""
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in board.rows:
        panels.append(
            {"id": len(panels) + 1, "type": "row", "title": title, "collapsed": False, "panels": []}
            | {"gridPos": {"x": 0, "y": y, "w": WIDTH, "h": 1}}
        )
        y, x = y + 1, 0
        for panel in row:
            if x + panel.width > WIDTH:
                y, x = y + board.height, 0
            place = {"x": x, "y": y, "w": panel.width, "h": board.height}
            panels.append(_panel(panel, len(panels) + 1) | {"gridPos": place})
            x += panel.width
        y += board.height
    return {
        "uid": board.uid,
        "title": board.title,
        "description": board.says,
        "tags": list(board.tags),
        "schemaVersion": SCHEMA,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": _variables(board.by_model)},
        "annotations": {"list": []},
        "links": [
            {
                "type": "dashboards",
                "title": "serinus",
                "tags": ["serinus"],
                "asDropdown": True,
                "includeVars": True,
                "keepTime": True,
            }
        ],
        "panels": panels,
    }


def queries(made: dict[str, Any]) -> list[str]:
    """Every query of a dashboard's document, as written."""
    return [target["expr"] for panel in made["panels"] for target in panel.get("targets", [])]


def _panel(panel: Panel, number: int) -> dict[str, Any]:
    table = panel.kind == "table"
    steps = [{"color": "green", "value": None}]
    steps += [{"color": colour, "value": value} for value, colour in panel.limits]
    defaults: dict[str, Any] = {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": steps}}
    if panel.maximum is not None:
        defaults |= {"min": 0, "max": panel.maximum}
    if panel.kind == "timeseries" and panel.limits:
        defaults["custom"] = {"thresholdsStyle": {"mode": "line"}}
    made: dict[str, Any] = {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.says,
        "datasource": SOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + i),
                "datasource": SOURCE,
                "expr": expression,
                "legendFormat": legend,
                "instant": table or panel.kind == "stat",
                "format": "table" if table else "time_series",
            }
            for i, (expression, legend) in enumerate(panel.queries)
        ],
    }
    if table:
        # One line for each model: the queries' answers side by side.
        made["transformations"] = [
            {"id": "merge", "options": {}},
            {"id": "organize", "options": {"excludeByName": {"Time": True}, "renameByName": _names(panel)}},
        ]
    return made


def _names(panel: Panel) -> dict[str, str]:
    return {f"Value #{chr(ord('A') + i)}": legend for i, (_, legend) in enumerate(panel.queries)}


def _variables(by_model: bool) -> list[dict[str, Any]]:
    source = {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    named = [("namespace", "label_values(serinus_model_info, namespace)")]
    if by_model:
        named.append(("model", 'label_values(serinus_model_info{namespace=~"$namespace"}, model)'))
    return [
        source,
        *(
            {
                "name": name,
                "type": "query",
                "datasource": SOURCE,
                "query": {"query": query, "refId": name},
                "refresh": 2,
                "sort": 1,
                "includeAll": True,
                # On one machine there is no namespace; .* also matches its absence.
                "allValue": ".*",
                "multi": False,
                "current": {"text": "All", "value": "$__all"},
            }
            for name, query in named
        ),
    ]
