"""What the charts hold of other sources is what would be written; `make charts` writes it."""

from __future__ import annotations

from pathlib import Path

from serving.watch.artefacts import artefacts
from tests.charts.support import schema

ROOT = Path(__file__).parents[3]


def test_the_chart_has_the_alerts_and_dashboards_as_they_are() -> None:
    folder = ROOT / "charts/serinus/files"
    found = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in [*folder.glob("prometheusrules/*.yaml"), *folder.glob("dashboards/*.json")]
    }
    assert found == artefacts(), "make charts"


def test_the_schemas_and_references_of_values_too() -> None:
    assert {path: path.read_text(encoding="utf-8") for path in schema.files()} == schema.files(), (
        "make charts"
    )
