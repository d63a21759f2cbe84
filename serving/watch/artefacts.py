"""What Kubernetes and Grafana are given: the rule files as PrometheusRules, the boards as JSON."""

from __future__ import annotations

import json
from pathlib import Path

from serving.watch.boards import BOARDS
from serving.watch.grafana import document

RULES = Path(__file__).parent / "rules"


def manifest(name: str, rules: str, runbooks: str = "", grafana: str = "") -> str:
    """A rule file as a PrometheusRule of the Prometheus operator.

    Args:
        name: of the rule file, without its ending.
        rules: the file's text. It is indented, not read: comments stay.
        runbooks: what stands before ``docs/runbooks/`` in links, e.g. a repository's address.
        grafana: what stands before ``/d/`` in links to dashboards.
    """
    linked = rules.replace("runbook_url: docs/", f"runbook_url: {_joined(runbooks)}docs/")
    linked = linked.replace("dashboard_url: /d/", f"dashboard_url: {_joined(grafana) or '/'}d/")
    indented = "".join(f"  {line}" if line.strip() else line for line in linked.splitlines(keepends=True))
    return (
        "apiVersion: monitoring.coreos.com/v1\n"
        "kind: PrometheusRule\n"
        "metadata:\n"
        f"  name: serinus-{name}\n"
        "  labels:\n"
        "    app.kubernetes.io/part-of: serinus\n"
        f"spec:\n{indented}"
    )


def artefacts(runbooks: str = "", grafana: str = "") -> dict[str, bytes]:
    """Path below serving/watch → content, for every rule file and every board."""
    made = {
        f"prometheusrules/{path.name}": manifest(
            path.stem, path.read_text(encoding="utf-8"), runbooks, grafana
        ).encode()
        for path in sorted(RULES.glob("*.yaml"))
    }
    for board in BOARDS:
        text = json.dumps(document(board), indent=2, ensure_ascii=False) + "\n"
        made[f"dashboards/{board.uid}.json"] = text.encode()
    return made


def _joined(base: str) -> str:
    return f"{base.rstrip('/')}/" if base else ""
