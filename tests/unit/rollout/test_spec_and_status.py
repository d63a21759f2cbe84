"""The spec that people write and the status that an engine persists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from serinus.errors import SerinusError
from serinus.evidence import Counter, Guard
from serving.rollout.account import set_condition, tally
from serving.rollout.engine import new_status
from serving.rollout.spec import RolloutSpec, check, load_spec
from serving.rollout.status import VERSION, Tally, decode, encode

from .world import small_spec

YAML = """
model: fraud
candidate: "4"
steps:
  - {weight: 5, min_requests: 200, min_seconds: 30}
  - {weight: 50, min_requests: 1000, analysis: clear}
  - {weight: 100, approval: {roles: [model-risk]}}
guards:
  - {name: errors, metric: errors, slo: 0.02}
limits: {max_duration: 2h, no_data_timeout: 10m}
on_inconclusive: rollback
"""


def test_a_spec_is_read_from_yaml(tmp_path: Path) -> None:
    path = tmp_path / "rollout.yaml"
    path.write_text(YAML)
    spec = load_spec(path)
    assert [s.weight for s in spec.steps] == [5, 50, 100]
    assert spec.steps[2].approval is not None
    assert spec.steps[2].approval.roles == ("model-risk",)
    assert msgspec.json.decode(msgspec.json.encode(spec), type=RolloutSpec) == spec


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ("weight: 50", "weight: 500", "weight"),
        ("weight: 50", "weight: 3", "rise"),
        ("weight: 50", "wieght: 50", "wieght"),
        ("max_duration: 2h", "max_duration: two", "max_duration"),
        ("on_inconclusive: rollback", "on_inconclusive: shrug", "shrug"),
        ('candidate: "4"', "candidate: champion", "candidate"),
        ("metric: errors,", "metric: errors, mode: observe,", "guards"),
        ("weight: 100,", "weight: 100, shadow: true,", "shadow"),
        ("limits:", "notifications: [{url: ftp://x}]\nlimits:", "ftp"),
        ("limits:", "notifications: [{url: https://x, phases: [Soon]}]\nlimits:", "Soon"),
        ("candidate:", "candidates:", "candidate"),
        ("model:", "model: [", "rollout.yaml"),
    ],
)
def test_a_wrong_spec_is_refused_with_its_place(tmp_path: Path, before: str, after: str, named: str) -> None:
    path = tmp_path / "rollout.yaml"
    path.write_text(YAML.replace(before, after, 1))
    with pytest.raises(SerinusError, match="SRN-ROLLOUT-001") as refusal:
        load_spec(path)
    assert named in str(refusal.value)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(SerinusError, match=r"none\.yaml"):
        load_spec(tmp_path / "none.yaml")


def test_the_defaults_are_a_valid_spec() -> None:
    spec = check(RolloutSpec(model="fraud", candidate="2"))
    guards = {g.name: g for g in spec.guards}
    assert guards["errors"].side == guards["latency"].side == "higher"
    assert (guards["scores"].side, guards["scores"].margin_absolute) == ("both", 0.05)
    assert (spec.on_inconclusive, spec.on_no_data) == ("pause", "pause")


def test_guards_need_names_of_their_own() -> None:
    twice = (Guard(name="errors", metric="errors"), Guard(name="errors", metric="errors"))
    with pytest.raises(SerinusError, match="SRN-ROLLOUT-001"):
        check(small_spec(guards=twice))


def test_a_status_of_a_newer_engine_is_refused() -> None:
    status = new_status(small_spec(), name="r", champion="v1", candidate="v2", by="ann", now=1.0)
    newer: dict[str, Any] = msgspec.json.decode(encode(status)) | {"version": VERSION + 1}
    with pytest.raises(SerinusError, match="SRN-ROLLOUT-002"):
        decode(msgspec.json.encode(newer))
    with pytest.raises(SerinusError, match="SRN-ROLLOUT-002"):
        decode(encode(status)[:-3])


def counted(n: float, bad: float) -> dict[str, Counter]:
    return {"errors": Counter(n=n, bad=(bad,))}


def test_a_tally_counts_what_came_after_the_first_look() -> None:
    first = tally(Tally(), {"a": counted(100, 9)}, first=True)
    assert (first.requests, first.bad) == (0, 0)
    second = tally(first, {"a": counted(130, 10)}, first=False)
    assert (second.requests, second.bad) == (30, 1)


def test_a_process_that_began_again_or_came_later_counts_from_zero() -> None:
    first = tally(Tally(), {"a": counted(100, 9)}, first=True)
    again = tally(first, {"a": counted(5, 1), "b": counted(7, 0)}, first=False)
    assert (again.requests, again.bad) == (12, 1)


def test_a_nan_is_not_counted_and_the_same_sample_twice_counts_once() -> None:
    first = tally(Tally(), {"a": counted(100, 9)}, first=True)
    same = tally(first, {"a": counted(100, 9), "b": counted(float("nan"), 0)}, first=False)
    assert (same.requests, same.bad) == (0, 0)


def test_a_condition_keeps_its_time_until_its_status_changes() -> None:
    status = new_status(small_spec(), name="r", champion="v1", candidate="v2", by="ann", now=1.0)
    status = set_condition(status, "Ready", "False", "Starting", "", 5.0)
    status = set_condition(status, "Ready", "False", "Loading", "", 6.0)
    condition = status.condition("Ready")
    assert condition is not None
    assert (condition.reason, condition.since) == ("Loading", 5.0)
    condition = set_condition(status, "Ready", "True", "Ready", "", 7.0).condition("Ready")
    assert condition is not None
    assert condition.since == 7.0
