"""A candidate first gets copies of the traffic: nobody sees its answers, and what it answers is judged all the same."""

from __future__ import annotations

import pytest

from tests.cluster.predictors import Served, predictor
from tests.cluster.traffic import Traffic, answered_by, codes
from tests.cluster.waiting import eventually

from .rollout import Rollout

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]

SHADOW = {"weight": 100, "shadow": True, "minRequests": 100, "minSeconds": 3}


def mirrored(served: Served) -> bool:
    """Does the VirtualService copy requests to ``b``?"""
    service = served.kube.must("VirtualService", served.namespace, served.name)
    return service["spec"]["http"][0].get("mirror", {}).get("subset") == "b"


def test_a_good_shadow_goes_on_to_live_traffic(fraud: Served, rollout: Rollout) -> None:
    steps = [SHADOW, {"weight": 50, "minRequests": 100, "minSeconds": 3}, {"weight": 100, "minSeconds": 3}]
    with Traffic(fraud.namespace, fraud.name, rate=50) as traffic:
        rollout.start(fraud.name, {"predictor": predictor("b", target=fraud.name)}, steps=steps)
        eventually(lambda: mirrored(fraud), 90)
        eventually(lambda: fraud.weights == {"a": 50, "b": 50}, 120)
        # The route is there before a request has taken it.
        first = eventually(lambda: [a for a in list(traffic.answers) if a.predictor == "b"], 20)[0]
        before = [answer for answer in traffic.answers if answer.at < first.at]
        assert rollout.until_ended() == "Promoted"
    assert set(answered_by(before)) == {"a"}
    assert len(before) > 100
    assert codes(traffic.answers).keys() == {200}, codes(traffic.answers)


def test_a_shadow_that_fails_is_removed_unseen(fraud: Served, rollout: Rollout) -> None:
    bad = predictor("b", target=fraud.name, env={"FAIL_EVERY": "4"})
    with Traffic(fraud.namespace, fraud.name, rate=50) as traffic:
        rollout.start(
            fraud.name, {"predictor": bad}, steps=[SHADOW | {"minRequests": 100_000}, {"weight": 100}]
        )
        assert rollout.until_ended() == "RolledBack"
        eventually(lambda: fraud.predictors == {"a": 100} and not fraud.pods("b"), 60)
    assert (codes(traffic.answers).keys(), set(answered_by(traffic.answers))) == ({200}, {"a"})
    assert fraud.weights == {"a": 100}
    assert not fraud.kube.must("VirtualService", fraud.namespace, fraud.name)["spec"]["http"][0].get("mirror")
