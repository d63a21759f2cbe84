"""What the controller counts of all rollouts."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from serving.rollout.kube.supervise import Supervisor


def rollout(uid: str, phase: str, namespace: str = "models") -> dict[str, Any]:
    return {
        "metadata": {"uid": uid, "namespace": namespace, "name": uid},
        "spec": {"target": "fraud"},
        "status": {"phase": phase},
    }


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    monkeypatch.setattr("serving.rollout.kube.supervise.finished", lambda resource: True)
    world = SimpleNamespace(on_change=lambda told: None)
    return Supervisor(cast(Any, None), cast(Any, world), cast(Any, None))


def test_endings_are_counted_by_namespace_target_and_result(supervisor: Supervisor) -> None:
    for uid, phase, namespace in (
        ("a", "RolledBack", "models"),
        ("b", "RolledBack", "trial"),
        ("c", "Promoted", "models"),
    ):
        supervisor.seen("ADDED", rollout(uid, phase, namespace))
    assert supervisor.ended() == {
        ("models/fraud", "rolled_back"): 1,
        ("trial/fraud", "rolled_back"): 1,
        ("models/fraud", "promoted"): 1,
    }


def test_a_rollout_that_is_deleted_still_counts(supervisor: Supervisor) -> None:
    """A counter that falls would be taken for one that began anew, and what is left of it for news."""
    for uid in ("a", "b"):
        supervisor.seen("ADDED", rollout(uid, "RolledBack"))
    before = supervisor.ended()
    supervisor.seen("DELETED", rollout("a", "RolledBack"))
    supervisor.seen("DELETED", rollout("a", "RolledBack"))
    assert supervisor.ended() == before
