"""Evidence from a real Prometheus: it decides as the pods' own pages do, and its absence decides nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster.conftest import PREFIX, make_namespace
from tests.cluster.kube import Kube
from tests.cluster.predictors import Served, predictor
from tests.cluster.traffic import Traffic, codes
from tests.cluster.waiting import always, eventually

from .conftest import answers
from .controller import Processes
from .prometheus import Prometheus, available
from .rollout import Rollout

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not available(), reason="no prometheus on the PATH"),
]


@pytest.fixture(scope="module")
def watched(kube: Kube, crds: None, seldon: None) -> Iterator[str]:
    """A namespace of its own, since one controller serves each."""
    name = f"{PREFIX}-watched"
    make_namespace(kube, name)
    yield name
    kube.delete("Namespace", None, name)


@pytest.fixture(scope="module")
def prometheus(kube: Kube, watched: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    with Prometheus(kube, watched, tmp_path_factory.mktemp("prometheus")) as made:
        yield made


@pytest.fixture(scope="module")
def reading(
    kube: Kube, watched: str, prometheus: Prometheus, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Processes]:
    """A controller of the working tree that reads Prometheus."""
    logs = tmp_path_factory.mktemp("controller")
    made = Processes(kube, watched, logs, "--prometheus", prometheus.url)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def champion(kube: Kube, watched: str, name: str, reading: Processes) -> Iterator[Served]:
    served = Served(kube, watched, name)
    served.create(predictor("a", 100, target=name))
    answers(served)
    yield served
    kube.delete("SeldonDeployment", watched, name)


@pytest.fixture
def judged(kube: Kube, watched: str, name: str, reading: Processes) -> Iterator[Rollout]:
    made = Rollout(kube, watched, name)
    yield made
    if kube.get("ModelRollout", watched, name) is not None:
        print(made.said, reading.logs(), sep="\n")
        kube.delete("ModelRollout", watched, name)


def test_a_bad_one_is_seen(champion: Served, judged: Rollout) -> None:
    bad = {"predictor": predictor("b", target=champion.name, env={"FAIL_EVERY": "5"})}
    with Traffic(champion.namespace, champion.name, rate=50) as traffic:
        judged.start(champion.name, bad, steps=[{"weight": 10, "minRequests": 100_000}, {"weight": 100}])
        assert judged.until_ended() == "RolledBack"
        eventually(lambda: champion.weights == {"a": 100} and not champion.pods("b"), 120)
    assert codes(traffic.answers).keys() == {200, 500}
    assert codes(traffic.answers)[500] >= judged.status["bad"] > 0
    assert "error" in judged.said


def test_while_it_is_gone_nothing_is_decided(
    champion: Served, judged: Rollout, prometheus: Prometheus
) -> None:
    good = {"predictor": predictor("b", target=champion.name)}
    # The status is told every few seconds only: enough to ask for that the step is not over before it is.
    steps = [{"weight": 50, "minRequests": 1200, "minSeconds": 3}, {"weight": 100, "minSeconds": 3}]
    with Traffic(champion.namespace, champion.name, rate=50) as traffic:
        judged.start(champion.name, good, steps=steps, limits={"noDataTimeout": "5m"})
        eventually(
            lambda: judged.status.get("requests", 0) > 20, 300, what="the canary's requests are counted"
        )
        prometheus.kill()
        eventually(lambda: judged.conditions().get("DataAvailable") == "False", 120)
        always(lambda: judged.phase == "Progressing" and champion.weights == {"a": 50, "b": 50}, 15)
        prometheus.start()
        assert judged.until_ended() == "Promoted"
        eventually(lambda: champion.weights == {"b": 100} and not champion.pods("a"), 120)
    assert codes(traffic.answers).keys() == {200}
