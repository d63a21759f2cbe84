"""Before the shift the monitor must have been silent about something: all that it judged."""

from __future__ import annotations

from typing import Any

import pytest

from serving.local.demo.drifting import Silence

IDLE: dict[str, Any] = {"runs": []}


def monitor(digest: str, rows: int, **windows: int) -> dict[str, Any]:
    """A drift monitor's status page, as far as it is read."""
    return {
        "digest": digest,
        "rows": {"v1": rows} if rows else {},
        "windows": {f"v1/{k}": n for k, n in windows.items()},
    }


def test_a_monitor_that_judged_nothing_was_not_silent() -> None:
    silence = Silence()
    assert not silence.note(monitor("a", 0), IDLE)
    assert not silence.kept
    assert silence.told == "until now the monitor has judged nothing"


def test_it_counts_what_was_judged_before_a_promotion_started_another_monitor() -> None:
    silence = Silence()
    silence.note(monitor("a", 1200, feature=0, score=0), IDLE)
    silence.note(monitor("a", 2000, feature=0, score=0), IDLE)
    assert not silence.note(monitor("b", 0), IDLE)  # the new one has yet to judge
    assert silence.note(monitor("b", 400, feature=0), IDLE)
    assert silence.kept
    assert "2,400 requests" in silence.told


@pytest.mark.parametrize(
    ("first", "then", "receiver", "says"),
    [
        (monitor("a", 800, feature=1), monitor("b", 400), IDLE, "1 of v1/feature"),
        (monitor("a", 800), monitor("b", 400, score=2), IDLE, "2 of v1/score"),
        (monitor("a", 800), monitor("b", 400), {"runs": [{"id": "r1"}]}, "1 retraining runs"),
    ],
)
def test_an_alarm_at_any_time_breaks_it(
    first: dict[str, Any], then: dict[str, Any], receiver: dict[str, Any], says: str
) -> None:
    silence = Silence()
    silence.note(first, IDLE)
    silence.note(then, receiver)
    silence.note(monitor("b", 800), IDLE)
    assert not silence.kept
    assert says in silence.told


def test_a_program_that_does_not_answer_tells_nothing() -> None:
    silence = Silence()
    silence.note(monitor("a", 800), IDLE)
    assert not silence.note({}, {})
    assert silence.kept
