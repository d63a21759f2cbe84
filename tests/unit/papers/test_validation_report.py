"""The validation report: fifteen sections, none empty, no demand lost, the same bytes again."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.papers.card import model_card
from serinus.papers.document import Document, Facts, Figure, Section, Table
from serinus.papers.evidence import Evidence, section_of
from serinus.papers.html import to_html
from serinus.papers.validation import validation_report
from serinus.papers.validation.report import SECTIONS
from tests.unit.papers.conftest import Made

TITLES = [
    "Identity and tier",
    "Data",
    "Conceptual soundness",
    "Discrimination",
    "Calibration",
    "Stability",
    "Sensitivity and stress",
    "Benchmark and challenger",
    "Explainability",
    "Fairness",
    "Back-test and outcomes",
    "Implementation",
    "Monitoring plan",
    "Findings",
    "Reproduce",
]


def numbered(document: Document) -> list[Section]:
    return [section for section in document.sections if section.number is not None]


def section(evidence: Evidence, number: int) -> Section:
    return SECTIONS[number - 1](evidence)


def table(found: Section, title: str) -> Table:
    return next(block for block in found.blocks if isinstance(block, Table) and block.title == title)


def changed(evidence: Evidence, **demand: Any) -> Evidence:
    """The evidence with the gate's first demand of that name altered, or with one more."""
    demands = [dict(item) for item in evidence.validation["demands"]]
    for item in demands:
        if item["metric"] == demand["metric"]:
            item.update(demand)
            break
    else:
        demands.append(
            {"value": 1.0, "threshold": ">= 0", "verdict": "pass", "blocks": True, "note": ""} | demand
        )
    return dataclasses.replace(evidence, validation=evidence.validation | {"demands": demands})


@pytest.mark.parametrize("which", ["inside", "outside", "undated"])
def test_fifteen_sections_in_the_validators_order_and_none_is_empty(
    made: Made, undated: Evidence, which: str
) -> None:
    evidence = undated if which == "undated" else getattr(made, which)
    report = validation_report(evidence)
    sections = numbered(report)
    assert [s.title for s in sections] == TITLES
    assert [s.number for s in sections] == list(range(1, 16))
    for found in sections:
        assert found.verdict is not None, found.title
        assert found.why or found.blocks, f"{found.title} says nothing"
        assert found.blocks or found.missing, f"{found.title} has neither evidence nor says what is missing"


@pytest.mark.parametrize("which", ["inside", "outside"])
def test_every_demand_of_the_gate_stands_in_exactly_one_section(made: Made, which: str) -> None:
    evidence: Evidence = getattr(made, which)
    shown = [
        row[0]
        for found in numbered(validation_report(evidence))
        for block in found.blocks
        if isinstance(block, Table) and block.title == "What was demanded"
        for row in block.rows
    ]
    assert sorted(map(str, shown)) == sorted(demand["metric"] for demand in evidence.validation["demands"])


@given(st.text(max_size=40), st.text(max_size=20))
def test_a_demand_that_nobody_foresaw_has_a_section_too(metric: str, group: str) -> None:
    assert 1 <= section_of(metric, group) <= 15


@pytest.mark.parametrize(
    ("metric", "group", "number"),
    [
        ("auc", "", 4),
        ("brier_skill", "", 5),
        ("score_psi", "stability", 6),
        ("migration_moved_far", "migration", 6),
        ("downturn AUC", "stress", 7),
        ("direction_violations", "sensitivity", 3),
        ("first_reason_kept", "sensitivity", 9),
        ("champion_auc", "champion", 8),
        ("scorecard_auc_gain", "benchmark", 8),
        ("contradicted_directions", "sensitivity", 3),
        ("shock_decisions_changed", "sensitivity", 7),
        ("bad_amount_stopped", "exposure", 1),
        ("one_row_us", "latency", 12),
        ("test_rows_in_training", "leakage", 2),
        ("single_feature_auc", "", 2),
        ("adverse_impact_ratio group=a", "", 10),
        ("worst_period_auc", "backtest", 11),
        ("something new", "", 14),
    ],
)
def test_each_demand_stands_where_a_validator_looks_for_it(metric: str, group: str, number: int) -> None:
    assert section_of(metric, group) == number


@pytest.mark.parametrize(
    ("demand", "verdict"),
    [
        ({"verdict": "fail", "blocks": True}, "fail"),
        ({"verdict": "fail", "blocks": False}, "attention"),
        ({"verdict": "no_data", "blocks": False, "value": None}, "pass"),
    ],
)
def test_a_section_says_what_its_demands_come_to(made: Made, demand: dict[str, Any], verdict: str) -> None:
    before = section(made.outside, 4)
    assert before.verdict == "pass"
    found = section(changed(made.outside, metric="auc_drop", **demand), 4)
    assert found.verdict == verdict
    if verdict != "pass":
        assert "auc_drop" in found.why


def test_a_demand_that_stops_is_a_critical_finding(made: Made) -> None:
    assert section(made.outside, 14).verdict != "fail"
    found = section(changed(made.outside, metric="auc", verdict="fail", value=0.4), 14)
    assert found.verdict == "fail"
    assert table(found, "Findings of this report").rows[0][:2] == ("critical", "auc")


def test_unmeasured_is_neither_pass_nor_fail(undated: Evidence) -> None:
    fair, past = section(undated, 10), section(undated, 11)
    assert fair.verdict == "no_data"
    assert "no fairness policy" in fair.why
    assert any("Protected attributes" in item for item in fair.missing)
    assert past.verdict == "no_data"
    assert any("no event time" in item for item in past.missing)


def test_the_plots_that_a_validator_asks_for_are_there(made: Made) -> None:
    drawn = [
        block.title for found in numbered(validation_report(made.outside)) for block in found.blocks
        if isinstance(block, Figure)
    ]  # fmt: skip
    for wanted in (
        "ROC",
        "Precision and recall",
        "Calibration",
        "PSI of the score by",
        "AUC lost in each scenario",
        "AUC lost without each input",
        "SHAP summary",
        "Adverse impact ratio",
        "AUC by period",
        "Partial dependence",
    ):
        assert any(title.startswith(wanted) for title in drawn), wanted


@pytest.mark.parametrize(
    ("number", "title"),
    [
        (1, "Exposure by decision"),
        (1, "Exposure by band of the score"),
        (7, "Shocks of one standard deviation"),
        (8, "What the scorecard weighs"),
        (8, "Its points"),
        (9, "Partial dependence and accumulated local effects"),
        (10, "Standardised mean difference of the score"),
    ],
)
def test_what_a_validator_asks_for_is_measured_and_shown(made: Made, number: int, title: str) -> None:
    assert table(section(made.inside, number), title).rows
    report = "\n".join(item for found in numbered(validation_report(made.inside)) for item in found.missing)
    for said in ("Standardised", "Partial dependence", "Shocks", "scorecard", "Exposure (amount"):
        assert said not in report


def test_a_bundle_of_an_older_run_says_what_it_does_not_hold(made: Made) -> None:
    older = made.inside.card | {
        "challenge": {
            k: v
            for k, v in made.inside.challenge.items()
            if k not in ("curves", "shocks", "scorecard", "exposure")
        },
        "fairness": {k: v for k, v in made.inside.fairness.items() if k != "differences"},
    }
    evidence = dataclasses.replace(made.inside, card=older)
    for number, said in ((7, "Shocks"), (8, "scorecard"), (9, "Partial dependence"), (10, "Standardised")):
        assert any(said in item for item in section(evidence, number).missing), number


def test_what_is_known_of_those_without_an_outcome_is_bounds(made: Made) -> None:
    from serinus.papers.document import Facts

    split = made.inside.card["split"] | {"unlabelled": 1000}
    evidence = dataclasses.replace(made.inside, card=made.inside.card | {"split": split})
    rows = sum(part["rows"] for part in split["parts"].values())
    bad = sum(part["positives"] for part in split["parts"].values())
    facts = next(block for block in section(evidence, 2).blocks if isinstance(block, Facts))
    said = dict(facts.rows)["Selection"]
    assert f"between {100 * bad / (rows + 1000):.2f} and {100 * (bad + 1000) / (rows + 1000):.2f} %" in said


def test_a_table_that_the_report_does_not_know_is_shown_all_the_same(made: Made) -> None:
    evidence = made.outside
    card = evidence.card | {
        "challenge": evidence.challenge
        | {"attempts_split": [{"pieces": 3, "detected": 0.75}, {"pieces": 9, "detected": 0.5}]}
    }
    found = section(dataclasses.replace(evidence, card=card), 7)
    assert table(found, "Attempts split").rows == ((0.75, 3), (0.5, 9))


def test_what_stands_beside_the_run_is_shown_where_it_is(made: Made) -> None:
    evidence = made.outside
    assert any("beside the run" in item for item in section(evidence, 8).missing)
    assert evidence.standing is not None
    item = {"metric": "champion_auc", "value": 0.02, "threshold": ">= -0.01", "verdict": "pass", "blocks": True,
            "group": "champion", "low": 0.01, "high": 0.03, "n": 300, "what": "candidate less champion"}  # fmt: skip
    outside = {
        "judgement": {"verdict": "pass", "demands": [*evidence.validation["demands"], item]},
        "champion": {
            "rows": 9,
            "champion": {"version": 3},
            "swap_set": [{"swap": "in", "rows": 4}],
            "items": [item],
        },
        "latency": {"backend": "native", "distribution": [{"figure": "one_row_us", "least": 4.5}]},
    }
    fuller = dataclasses.replace(evidence, standing=dataclasses.replace(evidence.standing, outside=outside))
    found = section(fuller, 8)
    assert found.verdict == "pass"
    assert any((0.01, 0.03) in row for row in table(found, "What was demanded").rows)
    assert table(found, "Swap set").rows == (("in", 4),)
    assert table(section(fuller, 12), "Distribution").rows == (("one_row_us", 4.5),)


def test_the_served_model_is_held_to_the_trained_one(made: Made) -> None:
    evidence = made.outside
    assert section(evidence, 12).verdict == "pass"
    assert evidence.standing is not None
    rows, _, backend = evidence.standing.parity or (0, 0.0, "")
    assert rows == 32
    apart = dataclasses.replace(evidence.standing, parity=(rows, 1e-3, backend))
    assert section(dataclasses.replace(evidence, standing=apart), 12).verdict == "fail"


def test_the_registry_speaks_in_the_report_that_is_asked_for(made: Made) -> None:
    inside, outside = section(made.inside, 1), section(made.outside, 1)
    assert any("registry" in item for item in inside.missing)
    assert table(outside, "Approvals").rows[0][:2] == ("bob", "validator")


def test_the_bundle_carries_the_report_that_its_evidence_gives(made: Made) -> None:
    bundle = made.registry.bundle(made.registry.get("loans"))
    carried = (bundle.path / "report.html").read_text()
    before = dataclasses.replace(made.inside, digest="", files={})
    assert carried == to_html(validation_report(before))
    assert "&lt;applications&gt; &amp; declines" in carried
    assert "<applications>" not in carried


def test_a_bundle_without_evidence_is_refused(made: Made, tmp_path: Path) -> None:
    from serinus.errors import SerinusError
    from serinus.papers.evidence import of_bundle
    from tests.support.bundles import small_bundle

    with pytest.raises(SerinusError, match="SRN-PAPER-003"):
        of_bundle(small_bundle(tmp_path))


def test_ends_of_an_interval_are_one_column_behind_what_they_are_of() -> None:
    from serinus.papers.validation.parts import table_of

    row = {"high": 2.0, "low": 1.0, "rows": 9, "slope": 1.1, "slope_high": 1.3, "slope_low": 0.9, "who": "a"}
    found = table_of("T", [row])
    assert found is not None
    assert [c.title for c in found.columns] == ["Who", "Rows", "Slope", "95 % interval", "95 % interval"]
    assert found.rows == (("a", 9, 1.1, (0.9, 1.3), (1.0, 2.0)),)


def test_an_interval_is_told_once(made: Made) -> None:
    found = table(section(made.outside, 4), "What was demanded")
    assert "95 % interval" in [column.title for column in found.columns]
    assert not any(str(row[-1]).startswith("95 %:") for row in found.rows)


def test_a_note_keeps_its_words_behind_an_interval_with_commas(made: Made) -> None:
    told = {"low": -60606.0, "high": 370370.0, "note": "95 %: -60,606 to 370,370; what it is"}
    for note, shown in ((told["note"], "what it is"), ("95 %: -60,606 to 370,370", "")):
        evidence = changed(
            made.outside,
            metric="champion_cost",
            value=141414.0,
            threshold="reported",
            **(told | {"note": note}),
        )
        rows = table(section(evidence, 8), "What was demanded").rows
        (row,) = [row for row in rows if row[0] == "champion_cost"]
        assert "370" not in str(row[-1])
        assert shown in str(row[-1])


def moved(evidence: Evidence, psi: float, column: str = "debt", **demand: Any) -> list[tuple[str, str]]:
    """The findings on PSI where that column moved so far."""
    metric = "score_psi" if column == "score" else "feature_psi"
    columns = [{"column": column, "psi": psi, "low": 0.0, "high": 9.0, "chance": 0.01, "missing": 0.0}]
    challenge = evidence.challenge | {"psi": columns}
    found = dataclasses.replace(evidence, card=evidence.card | {"challenge": challenge})
    found = changed(found, metric=metric, value=psi, **demand)
    return [(str(row[0]), str(row[2])) for row in table(section(found, 14), "Findings of this report").rows
            if row[1] in ("score_psi", "feature_psi")]  # fmt: skip


def test_features_that_moved_far_are_a_finding_where_no_limit_judges_them(made: Made) -> None:
    ((severity, text),) = moved(made.outside, 1.76, threshold="reported")
    assert severity == "low"
    assert "debt" in text
    assert moved(made.outside, 0.2, threshold="reported") == []
    ((severity, _),) = moved(made.outside, 1.76, threshold="<= 0.25", verdict="fail", blocks=False)
    assert severity == "medium", "the limit's own finding, and no other"


def test_a_score_that_moved_far_is_judged_by_its_own_limit(made: Made) -> None:
    ((severity, text),) = moved(made.outside, 0.3, "score", threshold="reported")
    assert (severity, "score; the policy sets no limit" in text) == ("low", True)
    assert moved(made.outside, 0.3, "score", threshold="<= 0.5", verdict="pass") == []
    ((severity, _),) = moved(made.outside, 0.3, "score", threshold="<= 0.25", verdict="fail", blocks=True)
    assert severity == "critical", "the limit's own finding, and no other"


def test_the_yardstick_says_what_its_figures_are(made: Made) -> None:
    found = table(section(made.outside, 13), "Yardstick for labels in service")
    assert [column.title for column in found.columns] == [
        "Test rows", "Declined from", "Squared error, at most", "False alarms, at most",
    ]  # fmt: skip
    assert found.rows[0][0] == made.outside.metrics["rows"]


def test_the_card_tells_its_config_without_braces(made: Made) -> None:
    (training,) = [s for s in model_card(made.outside).sections if s.title == "Training"]
    told = {name: text for block in training.blocks if isinstance(block, Facts) for name, text in block.rows}
    assert "rounds 40" in told["Config: training"]
    assert "(name debts double, multiply (debt 2)" in told["Config: challenge"]
    assert not any("{" in text or "null" in text for text in told.values())
