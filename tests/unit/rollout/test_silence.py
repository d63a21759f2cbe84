"""When it is said that nobody asks the canary, however often the counters are read."""

from __future__ import annotations

import pytest

from serinus.evidence import Counter, Sample
from serving.rollout.account import QUIET, account
from serving.rollout.status import Phase, RolloutStatus

from .cases import NOW, SPLIT, seeing, status_in
from .world import small_spec


def conditions(every: float, asked_until: float, seconds: int, look: float = 5.0) -> list[tuple[float, str]]:
    """(seconds, status of DataAvailable), by looks at counters that were read ``every`` so many seconds.

    The canary answers 10 requests a second, until ``asked_until``.
    """
    status: RolloutStatus = status_in(Phase.PROGRESSING, desired=SPLIT, verified=SPLIT, last_data=NOW)
    told: list[tuple[float, str]] = []
    at = 0.0
    while at <= seconds:
        read = at // every * every if every > look else at
        n = 10.0 * min(read, asked_until)
        arms = {
            name: {f"{name}-0": {"errors": Counter(n=count, bad=(0.0,))}}
            for name, count in (("canary", n), ("stable", 90.0 * (read + 1)))
        }
        sample = Sample(at=NOW + read, stable=arms["stable"], canary=arms["canary"])
        status = account(small_spec(), status, seeing(sample=sample), NOW + at)
        condition = status.condition("DataAvailable")
        told.append((at, condition.status if condition else "Unknown"))
        at += look
    return told


@pytest.mark.parametrize("every", [1.0, 10.0, 15.0, 30.0, 60.0])
def test_while_requests_come_nothing_flips(every: float) -> None:
    told = conditions(every, asked_until=1e9, seconds=600)
    assert "False" not in {status for _, status in told}
    assert told[-1][1] == "True"


@pytest.mark.parametrize(("every", "within"), [(1.0, QUIET + 5), (15.0, 60.0), (30.0, 120.0), (60.0, 240.0)])
def test_when_they_cease_it_is_said(every: float, within: float) -> None:
    told = conditions(every, asked_until=300.0, seconds=900)
    first = next(at for at, status in told if status == "False")
    assert 300.0 < first <= 300.0 + within
    assert {status for at, status in told if at >= first} == {"False"}


@pytest.mark.parametrize("every", [15.0, 60.0])
def test_counters_that_nobody_reads_any_more_are_no_data(every: float) -> None:
    status = status_in(Phase.PROGRESSING, desired=SPLIT, verified=SPLIT, last_data=NOW)
    for at in (0.0, every, 2 * every):
        arm = {"v": {"errors": Counter(n=10 * (at + 1), bad=(0.0,))}}
        sample = Sample(at=NOW + at, stable=arm, canary=arm)
        status = account(small_spec(), status, seeing(sample=sample), NOW + at)
    said: list[str] = []
    for later in range(0, 200, 5):
        status = account(small_spec(), status, seeing(sample=sample), NOW + 2 * every + later)
        condition = status.condition("DataAvailable")
        assert condition is not None
        said.append(condition.status)
    assert said[0] == "True"
    assert said.index("False") * 5 <= QUIET + 2 * every + 5
    condition = status.condition("DataAvailable")
    assert condition is not None
    assert "the counters are" in condition.message


def test_a_look_that_did_not_ask_takes_nothing_back() -> None:
    """Between two samples the engine looks at routes and health: a provider that fails has not come back by that."""
    status = status_in(Phase.PROGRESSING, desired=SPLIT, verified=SPLIT, last_data=NOW)
    status = account(small_spec(), status, seeing(failure="connection refused"), NOW + 1)
    status = account(small_spec(), status, seeing(), NOW + 2)
    condition = status.condition("DataAvailable")
    assert condition is not None
    assert (condition.status, condition.reason) == ("False", "ProviderError")
    arm = {"v": {"errors": Counter(n=0, bad=(0.0,))}}
    back = seeing(sample=Sample(at=NOW + 3, stable=arm, canary=arm))
    condition = account(small_spec(), status, back, NOW + 3).condition("DataAvailable")
    assert condition is not None
    assert condition.status == "Unknown"
