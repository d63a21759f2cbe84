"""What rollouts stand on, with real pods behind the real gateway: shares, the gate, removal without a lost request."""

from __future__ import annotations

import time

import pytest

from .kube import Kube
from .predictors import Served, predictor
from .traffic import Traffic, answered_by, codes, failed
from .waiting import always, eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def unasked(traffic: Traffic, name: str, since: float) -> bool:
    """Whether none of the last hundred answers, all asked for since then, is its: at 10 % some ten would be."""
    last = traffic.answers[-100:]
    return len(last) == 100 and min(answer.at for answer in last) > since and not answered_by(last)[name]


def champion_alone(served: Served) -> None:
    served.create(predictor("a", 100))
    eventually(lambda: served.weights == {"a": 100}, 180)
    with Traffic(served.namespace, served.name, rate=20, limit=20) as first:
        first.join()

    def answers() -> bool:
        with Traffic(served.namespace, served.name, rate=50, limit=10) as traffic:
            traffic.join()
        return not failed(traffic.answers)

    eventually(answers, 90, what="the gateway knows the route")


def test_a_canary_gets_its_share_and_its_removal_loses_no_request(served: Served) -> None:
    champion_alone(served)
    with Traffic(served.namespace, served.name, rate=100) as traffic:
        # Seldon routes to what its Deployment calls ready; the endpoints are told of by another controller, up to a
        # second later, and requests in between are answered with 503. So first the place, then the requests.
        served.set_predictors(predictor("a", 100), predictor("b", 0))
        eventually(lambda: served.weights == {"a": 100, "b": 0} and served.endpoints("b"), 180)
        always(lambda: bool(served.endpoints("b")), 6)  # the gateway is told of them within a second
        served.set_predictors(predictor("a", 90), predictor("b", 10))
        eventually(lambda: served.weights == {"a": 90, "b": 10}, 120)
        eventually(
            lambda: answered_by(traffic.answers)["b"] > 100, 120, what="a hundred answers by the canary"
        )
        shares = answered_by(traffic.answers)
        # Removed at once, its cluster goes before its route, with the same effect: first the requests, then the place.
        served.set_predictors(predictor("a", 100), predictor("b", 0))
        eventually(lambda: served.weights == {"a": 100, "b": 0}, 90)
        routed = time.monotonic()
        eventually(
            lambda: unasked(traffic, "b", routed), 90, what="the gateway sends the canary nothing more"
        )
        served.set_predictors(predictor("a", 100))
        eventually(lambda: not served.pods("b"), 120, what="the canary's pods are gone")
        eventually(lambda: served.weights == {"a": 100}, 60)
    assert codes(traffic.answers).keys() == {200}, codes(traffic.answers)
    both = [answer for answer in traffic.answers if answer.predictor == "b"]
    during = [answer for answer in traffic.answers if both[0].at <= answer.at <= both[-1].at]
    share = len(both) / len(during)
    assert 0.05 < share < 0.15, (share, shares)


def test_a_canary_that_never_becomes_ready_gets_nothing_and_holds_every_weight(served: Served) -> None:
    champion_alone(served)
    with Traffic(served.namespace, served.name, rate=20) as traffic:
        served.set_predictors(predictor("a", 50), predictor("b", 50, env={"READY": "never"}))
        eventually(lambda: served.pods("b"), 120)
        always(lambda: served.weights == {"a": 100}, 8)
        served.set_predictors(predictor("a", 100))
        eventually(lambda: not served.pods("b"), 120)
    assert (codes(traffic.answers).keys(), set(answered_by(traffic.answers))) == ({200}, {"a"})


def test_pods_that_break_the_restricted_standard_are_refused(kube: Kube, served: Served) -> None:
    loose = predictor("a", 100)
    loose["componentSpecs"][0]["spec"]["containers"][0]["securityContext"] = {"privileged": True}
    served.create(loose)

    def refused() -> bool:
        events = kube.list("Event", served.namespace)
        return any("violates PodSecurity" in event.get("message", "") for event in events)

    eventually(refused, 120)
    assert not served.pods("a")
