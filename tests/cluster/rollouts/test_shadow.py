"""A candidate first gets copies of the traffic: nobody sees its answers, and what it answers is judged all the same."""

from __future__ import annotations

import pytest

from tests.cluster.predictors import Served, predictor
from tests.cluster.traffic import Answer, Traffic, answered_by, codes
from tests.cluster.waiting import eventually

from .rollout import Rollout

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

# Long enough to be looked at while they last, on any machine.
SHADOW = {"weight": 100, "shadow": True, "minRequests": 500, "minSeconds": 10}
HALF = {"weight": 50, "minRequests": 100, "minSeconds": 10}


def mirrored(served: Served) -> bool:
    """Does the VirtualService copy requests to ``b``?"""
    service = served.kube.must("VirtualService", served.namespace, served.name)
    return service["spec"]["http"][0].get("mirror", {}).get("subset") == "b"


def copied(served: Served, traffic: Traffic) -> list[Answer]:
    """What was answered until now, while ``b`` gets copies: the route is looked at after the answers."""
    seen = list(traffic.answers)
    assert mirrored(served), "no copies"
    return seen


def test_a_good_shadow_goes_on_to_live_traffic(fraud: Served, rollout: Rollout) -> None:
    steps = [SHADOW, HALF, {"weight": 100, "minSeconds": 3}]
    with Traffic(fraud.namespace, fraud.name, rate=50) as traffic:
        rollout.start(fraud.name, {"predictor": predictor("b", target=fraud.name)}, steps=steps)
        begun = len(eventually(lambda: copied(fraud, traffic), 240, what="copies"))
        seen = eventually(
            lambda: found if len(found := copied(fraud, traffic)) > begun + 100 else [], 120, every=0.2
        )
        eventually(lambda: fraud.weights == {"a": 50, "b": 50}, 180, every=0.2)
        assert rollout.until_ended() == "Promoted"
    assert set(answered_by(seen)) == {"a"}
    assert answered_by(traffic.answers)["b"] > 0
    assert codes(traffic.answers).keys() == {200}, codes(traffic.answers)


def test_a_shadow_that_fails_is_removed_unseen(fraud: Served, rollout: Rollout) -> None:
    bad = predictor("b", target=fraud.name, env={"FAIL_EVERY": "4"})
    with Traffic(fraud.namespace, fraud.name, rate=50) as traffic:
        rollout.start(
            fraud.name, {"predictor": bad}, steps=[SHADOW | {"minRequests": 100_000}, {"weight": 100}]
        )
        assert rollout.until_ended() == "RolledBack"
        eventually(lambda: fraud.predictors == {"a": 100} and not fraud.pods("b"), 120)
    assert (codes(traffic.answers).keys(), set(answered_by(traffic.answers))) == ({200}, {"a"})
    assert fraud.weights == {"a": 100}
    assert not fraud.kube.must("VirtualService", fraud.namespace, fraud.name)["spec"]["http"][0].get("mirror")
