"""What labels say of a canary ends its rollout: sent by its pods, joined beside them, read by the controller itself."""

from __future__ import annotations

import http.client
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster import node
from tests.cluster.kube import Kube
from tests.cluster.predictors import Served
from tests.cluster.waiting import eventually
from tests.support.s3 import S3Server

from .conftest import answers
from .real import Shelf, Stored, host, install, parts, request
from .rollout import Rollout

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

GUARD = {
    "name": "missed",
    "metric": "missed",
    "side": "higher",
    "marginRatio": 1.5,
    "marginAbsolute": 0.05,
}


class Client:
    """Asks, and tells each outcome, through the gateway."""

    def __init__(self, namespace: str, name: str) -> None:
        self._path = f"/seldon/{namespace}/{name}/api/v1.0"
        self._connection = http.client.HTTPConnection(node.GATEWAY, timeout=30)

    def post(self, call: str, body: bytes) -> Any:
        """The answer, or None where there was none."""
        try:
            self._connection.request(
                "POST", f"{self._path}/{call}", body, {"Content-Type": "application/json"}
            )
            answer = self._connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            self._connection = http.client.HTTPConnection(node.GATEWAY, timeout=30)
            return None
        return json.loads(text) if answer.status == 200 else None

    def labelled(self, number: int, bad: Any) -> None:
        """One request and what became of it, if it was answered."""
        answer = self.post("predictions", request(number))
        if answer is None:
            return
        meta = answer["meta"]
        outcome = {
            "response": {"meta": {"puid": meta["puid"]}},
            "truth": {"data": {"ndarray": [[int(bad(meta["tags"]["predictor"]))]]}},
        }
        self.post("feedback", json.dumps(outcome).encode())


@pytest.fixture
def stored(
    kube: Kube, models: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Stored, Stored]]:
    """A champion, and one that was trained alike."""
    directory = tmp_path_factory.mktemp("labelled")
    with S3Server(directory, host(kube)) as store:
        shelf = Shelf(directory, store)
        shelf.share(kube, models)
        yield shelf.put(parts(1)), shelf.put(parts(2))


@pytest.fixture
def joined(kube: Kube, models: str, name: str, stored: tuple[Stored, Stored]) -> Iterator[Served]:
    """The champion by our chart, with the join of labels beside it."""
    install(
        name,
        models,
        stored[0],
        **{
            "outcomes.enabled": "true",
            "outcomes.persistence.enabled": "false",
            "outcomes.grace": "0s",
            "outcomes.extraArgs": "{--look-every=1s}",
            "outcomes.resources.requests.cpu": "20m",
        },
    )
    served = Served(kube, models, name)
    answers(served, request)
    yield served
    node.helm("uninstall", name, "-n", models)


def test_approves_what_turns_out_bad(
    joined: Served, rollout: Rollout, stored: tuple[Stored, Stored], capsys: pytest.CaptureFixture[str]
) -> None:
    """No answer of it is an error, and none is late: only its labels tell."""
    champion, candidate = stored
    steps = [{"weight": 50, "minRequests": 100_000}, {"weight": 100}]
    rollout.start(joined.name, candidate.candidate, steps=steps, guards=[GUARD])
    client, chance = Client(joined.namespace, joined.name), random.Random(7)
    numbers = iter(range(20_000))

    def bad(predictor: str) -> bool:
        return predictor == candidate.predictor or chance.random() < 0.03

    def ended() -> bool:
        for _ in range(25):
            client.labelled(next(numbers), bad)
        assert rollout.phase in ("RolledBack", "Promoted", "Failed", "Aborted"), rollout.said
        return True

    eventually(ended, 400, every=0.1, what="the rollout's end")
    assert rollout.phase == "RolledBack", rollout.said
    assert "missed" in rollout.said
    eventually(lambda: joined.weights == {champion.predictor: 100}, 120, what="the champion has all")
    with capsys.disabled():
        print(f"\nrolled back by labels after {next(numbers)} requests: {rollout.status['message']}")
