"""What holds for every alert; that they fire and stay silent is proven by promtool (tests/local/drift)."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from serinus import metrics

ROOT = Path(__file__).parents[3]
WATCH = ROOT / "serving" / "watch"


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


EVERY: list[dict[str, Any]] = [
    rule
    for path in sorted((WATCH / "rules").glob("*.yaml"))
    for group in read(path)["groups"]
    for rule in group["rules"]
]
RULES = [rule for rule in EVERY if "alert" in rule]
RECORDED = {rule["record"]: rule for rule in EVERY if "record" in rule}
NAMES = [rule["alert"] for rule in RULES]
ASKED: list[dict[str, Any]] = [
    asked
    for path in sorted((WATCH / "tests").glob("*.test.yaml"))
    for test in read(path)["tests"]
    for asked in test["alert_rule_test"]
]
DASHBOARDS = ("serinus-service", "serinus-rollout", "serinus-drift", "serinus-risk")
OTHERS = {
    "certmanager_certificate_expiration_timestamp_seconds",
    "envoy_server_days_until_first_cert_expiring",
}
LINK = re.compile(r"/d/([a-z-]+)(\?var-model=\{\{ \$labels\.model \}\})?")
# What is recorded has colons in its name.
RECORD = re.compile(r"\b\w+:\w+:\w+")
METRIC = re.compile(r"\b(?:serinus|drift|data_quality|model_latency|envoy|certmanager)_\w+(?![\w:])")


def fired(rule: dict[str, Any]) -> list[dict[str, Any]]:
    """What the promtool tests expect of an alert when it fires."""
    return [
        alert
        for asked in ASKED
        if asked["alertname"] == rule["alert"]
        for alert in asked.get("exp_alerts") or []
    ]


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_every_alert_says_what_it_is(rule: dict[str, Any]) -> None:
    annotations = rule["annotations"]
    assert annotations["summary"]
    assert annotations["description"]
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert rule["labels"]["retrain"] in ("true", "false")
    found = LINK.fullmatch(annotations["dashboard_url"])
    assert found is not None
    assert found[1] in DASHBOARDS


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_every_alert_has_a_runbook(rule: dict[str, Any]) -> None:
    assert rule["annotations"]["runbook_url"] == f"docs/runbooks/{rule['alert']}.md"
    page = (ROOT / rule["annotations"]["runbook_url"]).read_text(encoding="utf-8")
    assert page.startswith(f"# {rule['alert']}\n")
    for heading in ("## Meaning", "## Impact", "## Diagnosis", "## Mitigation"):
        assert heading in page
    assert re.search(r"^    \S", page, re.MULTILINE), "Diagnosis needs a command"


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_every_alert_is_seen_to_fire_by_promtool(rule: dict[str, Any]) -> None:
    alerts = fired(rule)
    assert alerts
    for alert in alerts:
        assert set(alert["exp_annotations"]) == set(rule["annotations"])
        assert alert["exp_labels"].items() >= rule["labels"].items()


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_every_alert_is_seen_to_stay_silent_by_promtool(rule: dict[str, Any]) -> None:
    assert any(asked["alertname"] == rule["alert"] and not asked.get("exp_alerts") for asked in ASKED)


def test_only_drift_and_labels_ask_for_retraining() -> None:
    asking = {rule["alert"] for rule in RULES if rule["labels"]["retrain"] == "true"}
    assert asking == {
        "SerinusFeatureDrift",
        "SerinusScoreDrift",
        "SerinusPrecisionLow",
        "SerinusConceptDrift",
    }


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule["labels"]["retrain"] == "true"])
def test_what_asks_for_retraining_names_the_model_and_is_held_back_by_bad_data(rule: dict[str, Any]) -> None:
    assert "unless on (namespace, model, predictor)" in rule["expr"]
    assert metrics.DATA_QUALITY_BAD in rule["expr"]


def test_no_runbook_is_left_without_its_alert() -> None:
    pages = {path.stem for path in (ROOT / "docs" / "runbooks").glob("Serinus*.md")}
    assert pages == set(NAMES)


@pytest.mark.parametrize("rule", EVERY, ids=lambda rule: rule.get("alert") or rule["record"])
def test_every_metric_that_a_rule_reads_exists(rule: dict[str, Any]) -> None:
    """A name that nothing exports gives an alert that is silent for ever."""
    known = {value for name, value in vars(metrics).items() if name.isupper() and isinstance(value, str)}
    known |= {f"{metrics.LATENCY}_bucket", f"{metrics.LATENCY}_count"}
    read_names, recorded = set(METRIC.findall(rule["expr"])), set(RECORD.findall(rule["expr"]))
    assert recorded <= set(RECORDED)
    assert read_names <= known | OTHERS
    assert read_names or recorded or rule["expr"].startswith("vector(")
