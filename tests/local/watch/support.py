"""A real Prometheus and Alertmanager beside the real platform, with the rules' windows shortened."""

from __future__ import annotations

import json
import re
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from serinus.durations import parse_duration
from serving.local.monitoring import WATCH, Monitoring

FACTOR = 60
LEAST = 5
_RANGE = re.compile(r"\[(\d+[smhd])\]")
_FOR = re.compile(r"^(\s+(?:for|keep_firing_for): )(\d+[smhd])$", re.MULTILINE)
_AGE = re.compile(r"> (86400|3600|900|600|300)$", re.MULTILINE)


def shortened(directory: Path, factor: int = FACTOR) -> Path:
    """The rule files with every window, wait and age divided by ``factor``; nothing else is changed."""
    directory.mkdir()
    for path in sorted((WATCH / "rules").glob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        text = _RANGE.sub(lambda found: f"[{_short(found[1], factor)}]", text)
        text = _FOR.sub(lambda found: f"{found[1]}{_short(found[2], factor)}", text)
        text = _AGE.sub(lambda found: f"> {max(int(found[1]) // factor, LEAST)}", text)
        (directory / path.name).write_text(text, encoding="utf-8")
    return directory


def _short(duration: str, factor: int) -> str:
    return f"{max(int(parse_duration(duration)) // factor, LEAST)}s"


def ask(running: Monitoring, path: str, **query: str) -> Any:
    """The data of an answer of Prometheus's API."""
    url = f"{running.prometheus_url}/api/v1/{path}?{urllib.parse.urlencode(query)}"
    with urllib.request.urlopen(url, timeout=60) as answer:
        return json.load(answer)["data"]


def firing(running: Monitoring) -> set[str]:
    """Names of the alerts that fire."""
    return {a["labels"]["alertname"] for a in ask(running, "alerts")["alerts"] if a["state"] == "firing"}


def told(running: Monitoring) -> dict[str, set[str]]:
    """Alertmanager's alerts: name to the receivers that hear of it."""
    with urllib.request.urlopen(f"{running.alertmanager_url}/api/v2/alerts", timeout=60) as answer:
        alerts = json.load(answer)
    found: dict[str, set[str]] = {}
    for alert in alerts:
        found.setdefault(alert["labels"]["alertname"], set()).update(r["name"] for r in alert["receivers"])
    return found


def filled(expression: str) -> str:
    """A dashboard's query as Grafana would send it, for all models."""
    for name, value in (
        ("$namespace", ".*"),
        ("$model", ".*"),
        ("$__rate_interval", "10s"),
        ("$__range", "1h"),
    ):
        expression = expression.replace(name, value)
    return expression
