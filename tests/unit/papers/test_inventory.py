"""The inventory: every model, whose it is, where it stands, and what is due, the most urgent first."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from serinus.cli import main
from serinus.home import Home
from serinus.papers.inventory import Entry, inventory, speaks_for, to_csv
from serinus.registry import Registry, Version
from serinus.registry.review_book import ReviewBook
from serinus.registry.reviews import load_policy
from tests.support.bundles import small_bundle, small_home
from tests.unit.papers.conftest import Made

POLICY = """
apiVersion: serinus.io/v1
kind: AccessPolicy
roles: {validator: [bob], "*": ["*"]}
approvals:
  none: {roles: [validator], expire: 60d}
"""


class World:
    """One installation whose clock is moved by hand; its model has no evidence, as of an older release."""

    def __init__(self, place: Path) -> None:
        self.now = datetime(2026, 9, 1, tzinfo=UTC).timestamp()
        self.home: Home = small_home(place)
        self.registry = Registry(self.home, clock=lambda: self.now)
        self.registry.register(small_bundle(place), by="ann", owner="cards", run="r1")

    def days(self, number: float) -> None:
        self.now += 86400 * number

    def take(self) -> Entry:
        (entry,) = inventory(self.home, self.registry)
        return entry


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_model_is_told_by_the_version_that_answers(world: World) -> None:
    entry = world.take()
    assert (entry.model, entry.owner, entry.version, entry.stage, entry.champion) == (
        "small",
        "cards",
        1,
        "validated",
        None,
    )
    world.registry.set_stage("small", 1, "champion", by="bob", reason="promoted")
    entry = world.take()
    assert (entry.champion, entry.champion_since[:10], entry.stage) == (1, "2026-09-01", "champion")


@pytest.mark.parametrize(
    ("stages", "number"),
    [
        (["retired", "champion", "validated"], 2),
        (["champion", "canary"], 1),
        (["retired", "canary", "validated"], 2),
        (["validated", "approved"], 2),
        (["validated", "rejected", "rolled_back"], 1),
        (["retired", "rejected"], 2),
    ],
)
def test_which_version_speaks_for_a_model(stages: list[str], number: int) -> None:
    versions = [
        Version(
            model="m", version=i, digest="", path="", stage=stage, owner="", built_by="", run="", created=""
        )
        for i, stage in enumerate(stages, start=1)
    ]
    assert speaks_for(versions).version == number


def test_a_review_is_due_when_it_is_near_and_overdue_when_it_is_past(world: World) -> None:
    world.registry.set_stage("small", 1, "champion", by="bob", reason="promoted")
    first = world.take()
    assert first.review_due
    assert not first.overdue
    assert not any("review" in item for item in first.due)
    due = datetime.fromisoformat(first.review_due).timestamp()
    world.now = due - 86400
    assert any(item.startswith("review by") for item in world.take().due)
    world.now = due + 86400
    late = world.take()
    assert late.overdue
    assert late.due[0].startswith("review was due")
    version = world.registry.get("small")
    ReviewBook(world.registry, load_policy(world.home)).record(
        version, by="bob", outcome="fit", reason="looked at it"
    )
    after = world.take()
    assert not after.overdue
    assert "fit, bob" in after.reviewed


def test_an_approval_is_due_before_it_ends_and_after(world: World) -> None:
    (world.home.root / "policy.yaml").write_text(POLICY)
    world.registry.approve("small", 1, by="bob", role="validator", reason="read it")
    (word,) = world.take().approvals
    assert word.until[:10] == "2026-10-31"
    assert not any("approval" in item for item in world.take().due)
    world.days(40)
    assert any("approval of bob as validator ends 2026-10-31" in item for item in world.take().due)
    world.days(40)
    assert any("approval of bob as validator ended 2026-10-31" in item for item in world.take().due)
    assert world.take().approvals[0].expired


def test_a_bundle_that_cannot_be_read_is_a_line_of_its_own_and_no_error(world: World) -> None:
    entry = world.take()
    assert entry.critical is None
    assert "SRN-PAPER-003" in entry.problem
    assert "its bundle cannot be read" in entry.due


def test_findings_are_counted_where_there_is_evidence(made: Made) -> None:
    (entry,) = inventory(made.home, made.registry)
    assert entry.problem == ""
    assert (entry.critical, entry.gate) == (0, "pass")
    assert entry.low is not None
    assert entry.low >= 1
    assert entry.purpose.startswith("Ranks <applications>")


def test_a_spreadsheet_takes_no_cell_for_a_formula(world: World) -> None:
    import msgspec

    entry = msgspec.structs.replace(world.take(), owner="=cmd|' /C calc'!A0", purpose='a, b\n"c"')
    (row,) = csv.DictReader(io.StringIO(to_csv([entry])))
    assert row["owner"].startswith("'=")
    assert row["purpose"] == 'a, b\n"c"'
    assert set(row) == set(Entry.__struct_fields__)


@pytest.mark.parametrize("form", ["table", "json", "csv", "html"])
def test_the_command_prints_every_form(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    home = ["--home", str(made.home.root)]
    assert main(["inventory", "-o", form, *home]) == 0
    printed = capsys.readouterr().out
    assert "loans" in printed
    assert main(["inventory", "-o", form, "--out", str(tmp_path / "inventory"), *home]) == 0
    written = (tmp_path / "inventory").read_text()
    assert "loans" in written
    if form == "json":
        assert json.loads(printed) == json.loads(written)
        assert json.loads(printed)[0]["model"] == "loans"
    if form == "html":
        assert "<applications>" not in written


def test_due_ends_with_1_where_something_is_and_0_where_nothing_is(
    world: World, made: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inventory", "--due", "--home", str(world.home.root)]) == 1
    assert "bundle cannot be read" in capsys.readouterr().out
    assert main(["inventory", "--due", "--home", str(made.home.root)]) == 0
    assert "Nothing is due" in capsys.readouterr().out


def test_an_empty_installation_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inventory", "--home", str(tmp_path)]) == 0
    assert f"No model is registered in {tmp_path}" in capsys.readouterr().out


def test_what_is_no_time_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inventory", "--soon", "soon", "--home", str(tmp_path)]) == 1
    assert "SRN-PAPER-006" in capsys.readouterr().err
