"""Whatever befalls a canary or the controller, the champion ends with all traffic, and it is said plainly."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster.kube import Obj
from tests.cluster.predictors import Served, predictor
from tests.cluster.traffic import Traffic, answered_by, codes, failed
from tests.cluster.waiting import eventually

from .controller import Controller
from .rollout import QUICK_STEPS, Rollout

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def candidate(served: Served, **more: Any) -> Obj:
    """A candidate ``b`` as a whole predictor."""
    return {"predictor": predictor("b", target=served.name, **more)}


def the_champion_has_everything(served: Served) -> None:
    """Routed at once; then nothing is left of the canary."""
    assert served.weights in ({"a": 100}, {"a": 100, "b": 0})
    eventually(lambda: served.predictors == served.weights == {"a": 100}, 120, what="the canary is removed")
    eventually(lambda: not served.pods("b"), 120, what="the canary's pods are gone")


def it_is_said(rollout: Rollout, *words: str) -> None:
    """In the status and in the Events."""
    eventually(lambda: rollout.conditions().get("Ended") == "True", what="it has ended")

    def told(text: str) -> bool:
        text = text.lower().replace(rollout.name, "")  # pods and Deployments are called after the test
        assert any(word in text for word in words), text
        return True

    assert told(rollout.said)
    eventually(lambda: told("\n".join(rollout.events())), what="Events, which may come after the status")


NEVER_SERVED = {
    "never ready": ({"env": {"READY": "never"}}, "40s", ("was not ready",)),
    "crash-looping": ({"env": {"CRASH": "1"}}, "4m", ("crashloopbackoff",)),
    "image missing": ({"image": "docker.io/serinus-tests/nowhere:1"}, "4m", ("imagepullbackoff",)),
}


@pytest.mark.parametrize("case", NEVER_SERVED)
def test_a_canary_that_cannot_start(fraud: Served, rollout: Rollout, case: str) -> None:
    more, patience, words = NEVER_SERVED[case]
    with Traffic(fraud.namespace, fraud.name, rate=20) as traffic:
        rollout.start(fraud.name, candidate(fraud, **more), limits={"readyTimeout": patience})
        assert rollout.until_ended() == "RolledBack"
        the_champion_has_everything(fraud)
    assert (set(codes(traffic.answers)), set(answered_by(traffic.answers))) == ({200}, {"a"})
    it_is_said(rollout, *words)


def test_a_canary_that_fails_from_the_first_request(fraud: Served, rollout: Rollout) -> None:
    with Traffic(fraud.namespace, fraud.name, rate=50) as traffic:
        rollout.start(fraud.name, candidate(fraud, env={"FAIL_EVERY": "1"}))
        assert rollout.until_ended() == "RolledBack"
        the_champion_has_everything(fraud)
    bad = failed(traffic.answers)
    print(f"{len(bad)} bad answers of {len(traffic.answers)}")
    assert {(answer.predictor, answer.code) for answer in bad} == {("b", 500)}
    it_is_said(rollout, "error")


# Whether a pod that is evicted exits with 0 in time decides whether Kubernetes notes the eviction in its status.
def test_a_canary_that_is_evicted_again_and_again(fraud: Served, rollout: Rollout) -> None:
    given = candidate(fraud, env={"FILL_BYTES": str(8 << 20)})
    pod = given["predictor"]["componentSpecs"][0]["spec"]
    pod["volumes"] = [{"name": "fill", "emptyDir": {"sizeLimit": "1Mi"}}]
    pod["containers"][0]["volumeMounts"] = [{"name": "fill", "mountPath": "/fill"}]
    with Traffic(fraud.namespace, fraud.name, rate=20) as traffic:
        rollout.start(fraud.name, given, steps=[{"weight": 10, "minRequests": 5000}, {"weight": 100}])
        assert rollout.until_ended() == "RolledBack"
        the_champion_has_everything(fraud)
    # The kubelet ends an evicted pod without asking whether anyone still talks to it.
    assert {answer.predictor for answer in failed(traffic.answers)} <= {"b", ""}
    it_is_said(rollout, "evict")


def test_the_seldon_deployment_is_edited_by_hand(fraud: Served, rollout: Rollout) -> None:
    with Traffic(fraud.namespace, fraud.name, rate=30) as traffic:
        rollout.start(fraud.name, candidate(fraud), steps=[{"weight": 10, "minRequests": 100_000}])
        eventually(lambda: fraud.weights == {"a": 90, "b": 10}, 180)
        fraud.set_predictors(predictor("a", 20, target=fraud.name), predictor("b", 80, target=fraud.name))
        eventually(lambda: "hand" in rollout.said or rollout.conditions().get("Ended") == "True")
        ends: list[dict[str, int]] = [{"a": 90, "b": 10}, {"a": 100}]
        eventually(lambda: fraud.weights == fraud.predictors and fraud.weights in ends)
    assert not failed(traffic.answers)


def test_the_seldon_deployment_is_deleted(fraud: Served, rollout: Rollout) -> None:
    rollout.start(fraud.name, candidate(fraud), steps=[{"weight": 10, "minRequests": 100_000}])
    eventually(lambda: fraud.weights == {"a": 90, "b": 10}, 180)
    fraud.kube.delete("SeldonDeployment", fraud.namespace, fraud.name)
    assert rollout.until_ended() in ("Failed", "Aborted", "RolledBack")
    it_is_said(rollout, "deleted", "gone", "no seldondeployment")
    assert fraud.kube.get("SeldonDeployment", fraud.namespace, fraud.name) is None


def test_the_acting_controller_is_killed_in_the_middle(
    fraud: Served, rollout: Rollout, controller: Controller
) -> None:
    with Traffic(fraud.namespace, fraud.name, rate=50) as traffic:
        steps = [step | {"minSeconds": 10} for step in QUICK_STEPS]  # long enough to be seen while they last
        rollout.start(fraud.name, candidate(fraud), steps=steps)
        eventually(lambda: fraud.weights == {"a": 90, "b": 10}, 180, every=0.2)
        controller.kill_leader()
        eventually(lambda: fraud.weights == {"a": 50, "b": 50}, 240, every=0.2)
        controller.kill_leader()
        assert rollout.until_ended() == "Promoted"
        eventually(lambda: fraud.weights == {"b": 100} and not fraud.pods("a"))
    assert not failed(traffic.answers), codes(traffic.answers)
    history = rollout.status["history"]
    assert [entry["seq"] for entry in history] == sorted({entry["seq"] for entry in history})
    weights = [entry["weight"] for entry in history]
    assert weights == sorted(weights), rollout.said
