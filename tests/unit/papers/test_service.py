"""What became of decisions in service: as the join of outcomes holds it, and why where it says nothing."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from serinus.intervals import wilson
from serinus.papers.document import Facts, Section, Table
from serinus.papers.service import Service, service_of
from serinus.papers.validation.report import SECTIONS
from serving.outcomes.records import Decided, Outcome, Review
from serving.outcomes.store import Store
from tests.unit.papers.conftest import Made

DAY = 1_790_000_000.0  # 2026-09-21


def decided(number: int, *, version: int = 1) -> Decided:
    """Every third is declined at 0.9, every third referred at 0.5, the others approved at 0.1."""
    decision, probability = (("decline", 0.9), ("review", 0.5), ("approve", 0.1))[number % 3]
    return Decided(f"r{version}-{number}", DAY + number, "champion", version, probability, decision)


@pytest.fixture
def joined(tmp_path: Path) -> Path:
    """90 decisions of version 1, the outcome of 60 known, four reviewed; 9 of version 2."""
    path = tmp_path / "loans.sqlite"
    store = Store(path)
    store.apply(
        decided=[*(decided(n) for n in range(90)), *(decided(n, version=2) for n in range(9))],
        outcomes=[Outcome(f"r1-{n}", n % 3 == 0 or n == 2, DAY + 999) for n in range(60)],
        reviews=[Review(f"r1-{n}", bad, True, DAY + 500) for n, bad in ((1, True), (4, False), (7, True), (10, True))],
    )  # fmt: skip
    store.close()
    return path


def test_it_counts_what_the_join_holds_of_this_version_alone(joined: Path) -> None:
    found = service_of(joined, 1, 0.8)
    assert isinstance(found, Service)
    assert {d.decision: (d.n, d.known, d.bad) for d in found.decisions} == {
        "approve": (30, 20, 1), "review": (30, 20, 0), "decline": (30, 20, 20),
    }  # fmt: skip
    assert (found.observed, found.expected) == (21, pytest.approx(20 * 1.5))
    assert (found.first, found.last) == ("2026-09-21", "2026-09-21")
    assert found.override == (0.25, *wilson(1, 4))
    assert found.figures["precision"].value == 1.0
    assert found.figures["recall"].value == pytest.approx(20 / 21)


@pytest.mark.parametrize(
    ("name", "version", "why"), [("none", 1, "no outcomes"), ("loans", 7, "no decision")]
)
def test_where_nothing_is_known_it_says_why_and_makes_no_file(
    joined: Path, name: str, version: int, why: str
) -> None:
    path = joined.with_name(f"{name}.sqlite")
    found = service_of(path, version, 0.8)
    assert isinstance(found, str)
    assert why in found
    assert path.exists() == (name == "loans")


def test_what_is_no_database_is_told_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "loans.sqlite"
    path.write_text("no database at all, but long enough to be taken for the head of one" * 20)
    before = path.read_bytes()
    assert "cannot be read" in str(service_of(path, 1, 0.8))
    assert path.read_bytes() == before


def past(made: Made, service: Service | str) -> Section:
    evidence = made.outside
    assert evidence.standing is not None
    standing = dataclasses.replace(evidence.standing, service=service)
    return SECTIONS[10](dataclasses.replace(evidence, standing=standing))


def test_the_report_shows_it_beside_what_was_measured_on_the_test_rows(made: Made, joined: Path) -> None:
    section = past(made, service_of(joined, 1, 0.8))
    tables = {block.title: block for block in section.blocks if isinstance(block, Table)}
    assert tables["In service, decisions of 2026-09-21 to 2026-09-21"].rows[0][:4] == ("approve", 30, 20, 1)
    realised = {
        row[0]: row for row in tables["Realised performance, of decisions whose outcome is known"].rows
    }
    test_rows = {m["name"]: m["value"] for m in made.outside.card["metrics"]}
    assert realised["auc"][-1] == test_rows["auc"]
    facts = dict(row for block in section.blocks if isinstance(block, Facts) for row in block.rows)
    assert facts["Overrides by reviewers"].startswith("1 of 4 answers, 25.0 %")
    assert any("Appeals" in item for item in section.missing)


def test_a_version_that_nobody_asked_yet_says_so(made: Made) -> None:
    assert any("no outcomes have been joined" in item for item in SECTIONS[10](made.outside).missing)
    assert any("come after the bundle" in item for item in SECTIONS[10](made.inside).missing)
