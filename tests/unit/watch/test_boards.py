"""The dashboards and the PrometheusRules; that the queries return data is shown in tests/local/watch."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from serving.watch.artefacts import RULES, artefacts, manifest
from serving.watch.boards import BOARDS
from serving.watch.grafana import WIDTH, document, queries

WATCH = RULES.parent
MADE = [document(board) for board in BOARDS]


def test_what_is_committed_is_what_would_be_made() -> None:
    """``python -m serving.watch`` was run after the last change."""
    there = {
        str(path.relative_to(WATCH)): path.read_bytes()
        for folder in ("dashboards", "prometheusrules")
        for path in (WATCH / folder).iterdir()
    }
    assert there == artefacts()


@pytest.mark.parametrize("path", sorted(RULES.glob("*.yaml")), ids=lambda path: path.name)
def test_a_manifest_carries_the_same_rules(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    made: dict[str, Any] = yaml.safe_load(manifest(path.stem, text))
    assert made["spec"] == yaml.safe_load(text)
    assert made["kind"] == "PrometheusRule"


def test_links_begin_with_the_addresses_that_are_given() -> None:
    text = "groups:\n- rules:\n  - annotations:\n      runbook_url: docs/runbooks/A.md\n      dashboard_url: /d/x\n"
    made = manifest("a", text, "https://git.example/serinus/", "https://grafana.example")
    assert "runbook_url: https://git.example/serinus/docs/runbooks/A.md\n" in made
    assert "dashboard_url: https://grafana.example/d/x\n" in made


@pytest.mark.parametrize(
    "title", ["Approvals overridden", "Time left until a version in use is to be reviewed"]
)
def test_a_model_of_two_namespaces_is_two_lines(title: str) -> None:
    """The larger of two would hide an override, and the later of two an overdue review."""
    (panel,) = (panel for made in MADE for panel in made["panels"] if panel["title"] == title)
    for target in panel["targets"]:
        assert "by (namespace, model" in target["expr"]
        assert target["legendFormat"].startswith("{{namespace}} {{model}}")


@pytest.mark.parametrize("made", MADE, ids=lambda made: made["uid"])
def test_panels_lie_in_the_grid_and_do_not_overlap(made: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in made["panels"]:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                 for y in range(place["y"], place["y"] + place["h"])}  # fmt: skip
        assert place["x"] + place["w"] <= WIDTH
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.parametrize("made", MADE, ids=lambda made: made["uid"])
def test_panels_and_variables_can_be_told_apart_and_read_the_chosen_source(made: dict[str, Any]) -> None:
    numbers = [panel["id"] for panel in made["panels"]]
    assert len(numbers) == len(set(numbers))
    names = [variable["name"] for variable in made["templating"]["list"]]
    assert names[:2] == ["datasource", "namespace"]
    for panel in made["panels"]:
        for target in panel.get("targets", []):
            assert target["datasource"]["uid"] == "${datasource}"
            assert target["legendFormat"]
    if "model" not in names:
        assert "$model" not in json.dumps(made)


def test_every_board_asks_something() -> None:
    assert all(len(queries(made)) >= 5 for made in MADE)
