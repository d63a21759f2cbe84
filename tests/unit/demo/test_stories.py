"""A story is good only if it ended as it should, for the reason it should."""

from __future__ import annotations

from pathlib import Path

import pytest

from serinus.errors import SerinusError
from serinus.home import Home
from serving.local.demo.cases import find_case
from serving.local.demo.closing import Closing
from serving.local.demo.place import fresh_home
from serving.local.demo.recording import Moment, Point, Recording
from serving.local.demo.report import write_report
from serving.local.demo.screen import Screen


def recording(**changes: object) -> Recording:
    made = Recording(
        name="errors",
        title="a candidate <that> errs",
        fault="",
        model="m",
        champion="v1",
        candidate="v2",
        threshold=2.0,
        expected="RolledBack",
        expected_culprit="errors",
        ended="RolledBack",
        culprits=["errors"],
        points=[
            Point(t=t, phase="Progressing", weight=5, evidence=t / 4, canary_requests=int(t), canary_bad=1,
                  champion_requests=90, champion_bad=0)
            for t in (0.0, 4.0, 9.0)
        ],
        moments=[Moment(t=1.0, text="begun")],
    )  # fmt: skip
    for name, value in changes.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    ("changes", "ok"),
    [
        ({}, True),
        ({"culprits": ["latency", "errors"]}, True),
        ({"culprits": ["latency"]}, False),
        ({"culprits": []}, False),
        ({"ended": "Promoted"}, False),
        ({"ended": "Aborted"}, False),
        ({"expected": "Promoted", "expected_culprit": None, "ended": "Promoted", "culprits": []}, True),
    ],
)
def test_a_story_is_judged_by_its_end_and_its_culprit(changes: dict[str, object], ok: bool) -> None:
    assert recording(**changes).ok is ok


@pytest.mark.parametrize(
    ("story", "drift", "ok"),
    [
        ({}, {"noticed": True, "alerted": True, "version": 2}, True),
        ({"ended": "Promoted"}, {"noticed": True, "alerted": True, "version": 2}, False),
        ({}, {"noticed": True, "alerted": True, "version": None}, False),
        ({}, {"noticed": False, "alerted": False, "version": None}, False),
    ],
)
def test_the_demo_is_good_only_if_every_story_is(
    tmp_path: Path, story: dict[str, object], drift: dict[str, object], ok: bool
) -> None:
    home = Home(tmp_path)
    closing = Closing(home, Screen(tmp_path / "demo.log"))
    closing.trained({"name": "m", "version": 1, "seconds": {"total": 3.0}})
    closing.story(recording(**story))
    closing.drift(moments=[], **drift)  # pyright: ignore[reportArgumentType]
    assert closing.summary("fraud") is ok
    assert (home.reports / "errors" / "report.html").exists()


def test_a_gate_that_lets_the_biased_model_pass_fails_the_demo(tmp_path: Path) -> None:
    closing = Closing(Home(tmp_path), Screen(tmp_path / "demo.log"))
    closing.gate(None)
    assert closing.summary("credit") is False


def test_a_candidate_that_could_not_be_made_fails_the_demo_and_is_named(tmp_path: Path) -> None:
    home = Home(tmp_path)
    closing = Closing(home, Screen(tmp_path / "demo.log"))
    closing.story(recording())
    closing.untold(
        "a good candidate",
        SerinusError("SRN-GATE-001", "it does not reach 1 of 14 demands", hint="Improve it."),
    )
    assert closing.summary("credit") is False
    said = (home.reports / "summary.json").read_text()
    assert "no candidate: SRN-GATE-001 it does not reach" in said


def test_a_report_escapes_what_it_shows_and_is_reproducible(tmp_path: Path) -> None:
    first = write_report(recording(), tmp_path / "a").read_text()
    assert "a candidate &lt;that&gt; errs" in first
    assert "<that>" not in first
    assert first == write_report(recording(), tmp_path / "b").read_text()


@pytest.mark.parametrize(("data", "contract"), [(Path("a.csv"), None), (None, Path("c.yaml"))])
def test_data_and_contract_go_together(data: Path | None, contract: Path | None) -> None:
    with pytest.raises(SerinusError, match="SRN-DEMO-002"):
        find_case("fraud", data=data, contract=contract, config=None, seed=1)


def test_a_fresh_home_keeps_its_cache_and_touches_nothing_outside(tmp_path: Path) -> None:
    outside = tmp_path / "registry.db"
    outside.write_text("mine")
    old = tmp_path / "demo" / "fraud"
    (old / "cache").mkdir(parents=True)
    (old / "cache" / "step").write_text("kept")
    (old / "audit").mkdir()
    home = fresh_home(Home(tmp_path), "fraud")
    assert outside.read_text() == "mine"
    assert [p.name for p in home.root.iterdir()] == ["cache"]
