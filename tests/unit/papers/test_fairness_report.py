"""Fairness on paper: by group and intersection, with n and intervals; small groups are insufficient, not judged."""

from __future__ import annotations

import dataclasses

from serinus.papers.document import Document, Figure, Table
from serinus.papers.evidence import Evidence
from serinus.papers.fairness import fairness_report, fairness_verdict
from serinus.papers.html import to_html
from tests.unit.papers.conftest import Made


def tables(document: Document) -> dict[str, Table]:
    return {b.title: b for s in document.sections for b in s.blocks if isinstance(b, Table)}


def test_a_group_too_small_to_judge_is_insufficient_and_neither_passes_nor_fails(made: Made) -> None:
    found = tables(fairness_report(made.outside))["Findings"]
    by_group = {row[1]: row for row in found.rows}
    verdict, note = by_group["group: c"][7], str(by_group["group: c"][8])
    assert verdict == "no_data"
    assert note.startswith("insufficient")
    assert by_group["group: a"][7] in ("pass", "fail")
    assert by_group["group: a"][3] > 30  # type: ignore[operator]
    members = tables(fairness_report(made.outside))["Decisions by group"]
    assert {row[0]: row[-1] for row in members.rows} == {"a": "yes", "b": "yes", "c": "insufficient"}


def test_the_policy_of_the_contract_is_what_is_judged_by(made: Made) -> None:
    page = to_html(fairness_report(made.outside))
    assert "adverse impact ratio: at least 0.8" in page
    assert "Jurisdiction" in page
    assert "the cut-off of the contract&#x27;s decision" in page, "it is there without a policy too"
    assert ">test<" in page


def test_intersections_are_shown_as_any_group_is(made: Made) -> None:
    evidence = made.outside
    crossed = {
        "group x age": [
            {"name": "a x old", "rows": 90, "approved": 60, "good": 70, "good_approved": 55},
            {"name": "b x old", "rows": 12, "approved": 9, "good": 9, "good_approved": 8},
        ]
    }
    finding = {
        "attribute": "group x age", "group": "b x old", "reference": "a x old", "measure": "adverse_impact_ratio",
        "value": None, "low": None, "high": None, "limit": 0.8, "rows": 12, "verdict": "no_data", "sure": False,
        "why": "b x old has 12 rows, fewer than 30",
    }  # fmt: skip
    fair = evidence.fairness | {
        "groups": evidence.fairness["groups"] | crossed,
        "findings": [*evidence.fairness["findings"], finding],
    }
    document = fairness_report(dataclasses.replace(evidence, card=evidence.card | {"fairness": fair}))
    assert [row[-1] for row in tables(document)["Decisions by group x age"].rows] == ["yes", "insufficient"]
    assert any(row[1] == "group x age: b x old" for row in tables(document)["Findings"].rows)
    drawn = [b for s in document.sections for b in s.blocks if isinstance(b, Figure)]
    assert any(">insufficient<" in b.svg or "insufficient" in b.svg for b in drawn)


def test_a_pass_that_may_be_chance_asks_for_attention(made: Made) -> None:
    evidence = made.outside
    for unsure, verdict in ((0, "pass"), (2, "attention")):
        fair = evidence.fairness | {"verdict": "pass", "unsure": unsure}
        found = fairness_verdict(dataclasses.replace(evidence, card=evidence.card | {"fairness": fair}))
        assert found[0] == verdict


def test_without_a_policy_nothing_is_said_to_be_fair(undated: Evidence) -> None:
    page = to_html(fairness_report(undated))
    assert "The contract sets no fairness policy" in page
    assert "not measured" in page
    assert ">pass<" not in page
