"""The end of it all: real scorers behind the real gateway, judged by what they answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.cluster import node
from tests.cluster.kube import Kube
from tests.cluster.predictors import Served
from tests.cluster.traffic import Traffic, answered_by, codes, failed
from tests.cluster.waiting import eventually
from tests.support.s3 import S3Server

from .conftest import answers
from .real import Shelf, Stored, host, install, narrowed, parts, request
from .rollout import Rollout

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

RATE, SHARE, WITHIN = 50, 10, 60.0


class Models(NamedTuple):
    """A champion, a retrained one of the same quality, and one whose contract is too narrow."""

    champion: Stored
    good: Stored
    narrow: Stored


@pytest.fixture(scope="session")
def bundles(kube: Kube, models: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Models]:
    directory = tmp_path_factory.mktemp("models")
    with S3Server(directory, host(kube)) as store:
        shelf = Shelf(directory, store)
        shelf.share(kube, models)
        yield Models(shelf.put(parts(1)), shelf.put(parts(2)), shelf.put(narrowed(parts(3))))


@pytest.fixture
def scored(kube: Kube, models: str, name: str, bundles: Models) -> Iterator[Served]:
    """A champion from its bundle, installed by our chart."""
    served = Served(kube, models, name)
    install(name, models, bundles.champion)
    answers(served, request)
    yield served
    node.helm("uninstall", name, "-n", models)


def test_every_twentieth_refused(
    scored: Served, rollout: Rollout, bundles: Models, capsys: pytest.CaptureFixture[str]
) -> None:
    """A candidate that answers every 20th request with an error: out within 60 s at 50 requests/s and 10 %."""
    name = bundles.narrow.predictor
    steps = [{"weight": SHARE, "minRequests": 100_000}, {"weight": 100}]
    with Traffic(scored.namespace, scored.name, rate=RATE, body=request) as traffic:
        rollout.start(scored.name, bundles.narrow.candidate, steps=steps)
        assert rollout.until_ended() == "RolledBack"
        assert scored.weights.get(name, 0) == 0
        eventually(lambda: not scored.pods(name), 120, what="the canary's pods are gone")
        eventually(lambda: scored.weights == {bundles.champion.predictor: 100}, 90)
    theirs = [answer for answer in traffic.answers if answer.predictor == name or answer.code != 200]
    bad = failed(traffic.answers)
    first, last = min(answer.at for answer in theirs), max(answer.at for answer in theirs)
    during = [answer for answer in traffic.answers if first <= answer.at <= last]
    status = rollout.status
    with capsys.disabled():
        print(
            f"\nrolled back {last - first:.1f} s after its first answer: {len(bad)} bad answers of its {len(theirs)}, "
            f"of {len(during)} in all meanwhile; the rollout counted {status['bad']} of {status['requests']}"
        )
    assert len(during) <= WITHIN * RATE  # in requests: a busy machine asks at a slower rate
    assert set(codes(bad)) <= {400, 422}, codes(bad)  # its own answers, and none by the gateway
    assert abs(len(theirs) / len(during) - SHARE / 100) < 0.05
    assert "error" in rollout.said


def test_a_good_one(
    scored: Served, rollout: Rollout, bundles: Models, capsys: pytest.CaptureFixture[str]
) -> None:
    """A retrained model of the same quality: promoted, and of 20,000 requests not one fails."""
    old, new = bundles.champion.predictor, bundles.good.predictor
    with Traffic(
        scored.namespace, scored.name, rate=200, connections=8, limit=200_000, body=request
    ) as traffic:
        rollout.start(scored.name, bundles.good.candidate)
        assert rollout.until_ended(400) == "Promoted"
        eventually(
            lambda: scored.weights == {new: 100} and not scored.pods(old), 120, what="the old one is gone"
        )
        promoted = len(traffic)
        enough = max(20_000, promoted + 1_000)
        eventually(lambda: len(traffic) >= enough, 400, what=f"{enough} answers")
    with capsys.disabled():
        print(
            f"\npromoted by request {promoted}; {len(traffic)} requests: {dict(codes(traffic.answers))}, "
            f"answered by {dict(answered_by(traffic.answers))}"
        )
    assert codes(traffic.answers).keys() == {200}, codes(traffic.answers)
    assert len(traffic) >= enough, "the last requests did not see the promotion"
    assert scored.predictors == {new: 100}
