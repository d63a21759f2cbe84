"""Times that people write and read are in UTC, or name their zone: no clock's change makes one ambiguous."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from serinus.cli import main
from serinus.export import parse_period
from serinus.registry.reviews import moment
from serving.rollout.cli import _line  # pyright: ignore[reportPrivateUsage]
from serving.rollout.status import Entry

POLICY = """\
apiVersion: serinus.io/v1
kind: AccessPolicy
roles: {approver: [oscar], operator: [pat]}
delegation: {longest: 3650d}
"""


@pytest.fixture(params=["Europe/Berlin", "America/New_York", "Pacific/Kiritimati", "UTC"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A machine in that zone. Berlin put its clocks back on 2026-10-25 at 01:00 UTC."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2099-10-25T02:30", "2099-10-25T02:30:00+00:00"),  # the hour that Berlin has twice
        ("2099-10-25T02:30+02:00", "2099-10-25T00:30:00+00:00"),
        ("2099-10-25T02:30+01:00", "2099-10-25T01:30:00+00:00"),
        ("2099-03-29T02:30", "2099-03-29T02:30:00+00:00"),  # the hour that Berlin has not
        ("2099-12-24", "2099-12-24T00:00:00+00:00"),
        ("2099-12-24T18:00Z", "2099-12-24T18:00:00+00:00"),
    ],
)
def test_a_time_without_a_zone_is_in_utc_wherever_the_machine_is(zone: str, written: str, meant: str) -> None:
    assert moment(written).isoformat() == meant
    assert moment(written).tzinfo is UTC, "kept in one zone, so that times sort as text"


def test_a_lent_role_ends_when_it_was_said(
    zone: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "policy.yaml").write_text(POLICY)
    lend = ["access", "delegate", "approver", "zoe", "--reason", "leave", "--as", "oscar"]
    home = ["--home", str(tmp_path)]
    assert main([*lend, "--until", "2030-10-27T02:30+02:00", *home, "-o", "json"]) == 0
    until = json.loads(capsys.readouterr().out)["until"]
    assert datetime.fromtimestamp(until, UTC).isoformat() == "2030-10-27T00:30:00+00:00"
    assert main(["access", "delegations", *home]) == 0
    assert "2030-10-27T00:30Z" in capsys.readouterr().out


def test_a_key_ends_on_the_day_that_was_said(
    zone: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = ["--home", str(tmp_path), "-o", "json"]
    assert main(["keys", "new", "--until", "2099-10-25T00:30+02:00", *home]) == 0
    capsys.readouterr()
    assert main(["keys", "list", *home]) == 0
    (key,) = json.loads(capsys.readouterr().out)
    assert key["ends"].startswith("2099-10-24T22:30")


@pytest.mark.parametrize(
    ("at", "inside"),
    [
        ("2026-06-30T23:59:59.999+00:00", False),
        ("2026-07-01T00:00:00.000+00:00", True),
        ("2026-09-30T23:59:59.999+00:00", True),
        ("2026-10-01T00:00:00.000+00:00", False),
    ],
)
def test_a_quarter_is_one_of_utc(zone: str, at: str, inside: bool) -> None:
    assert parse_period("2026-Q3").holds(at) is inside


def test_what_happened_to_a_rollout_is_told_in_utc_with_its_day(zone: str) -> None:
    at = datetime(2026, 10, 25, 0, 30, tzinfo=UTC).timestamp()
    told = [
        _line(Entry(seq=n, at=at + n * 3600, phase="Progressing", reason="StepStarted", message="x"))
        for n in range(2)
    ]
    assert [line[:20] for line in told] == ["2026-10-25 00:30:00Z", "2026-10-25 01:30:00Z"]
