"""What holds for every alert; that they fire and stay silent is proven by promtool (tests/local/drift)."""

from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
WATCH = ROOT / "serving" / "watch"
RULES: list[dict[str, Any]] = [
    rule
    for path in sorted((WATCH / "rules").glob("*.yaml"))
    for group in yaml.safe_load(path.read_text())["groups"]
    for rule in group["rules"]
]
NAMES = [rule["alert"] for rule in RULES]


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_every_alert_says_what_it_is_and_has_a_runbook(rule: dict[str, Any]) -> None:
    annotations = rule["annotations"]
    assert annotations["summary"]
    assert annotations["description"]
    assert annotations["runbook_url"] == f"docs/runbooks/{rule['alert']}.md"
    page = (ROOT / annotations["runbook_url"]).read_text()
    for heading in ("## Meaning", "## Impact", "## Diagnosis", "## Mitigation"):
        assert heading in page


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_every_alert_is_tested_by_promtool(rule: dict[str, Any]) -> None:
    tests = "".join(path.read_text() for path in (WATCH / "tests").glob("*.test.yaml"))
    assert f"alertname: {rule['alert']}\n" in tests
    assert f"runbook_url: docs/runbooks/{rule['alert']}.md" in tests, "a test must see it fire"


def test_only_drift_asks_for_retraining() -> None:
    asking = {rule["alert"] for rule in RULES if rule["labels"]["retrain"] == "true"}
    assert asking == {"SerinusFeatureDrift", "SerinusScoreDrift"}


def test_no_runbook_is_left_without_its_alert() -> None:
    pages = {path.stem for path in (ROOT / "docs" / "runbooks").glob("Serinus*.md")}
    assert pages - set(NAMES) == set()
