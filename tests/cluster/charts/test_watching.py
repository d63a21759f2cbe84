"""charts/serinus-model with one monitor and the join of labels: through a canary, and through its promotion."""

from __future__ import annotations

import http.client
import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightgbm
import msgspec
import numpy as np
import pytest

from serinus.bundle import BundleParts
from serving.rollout.adapters.scrape import counters, rows
from serving.rollout.kube.resource import BundleRef, Candidate
from serving.rollout.kube.seldon import candidate_predictor
from tests.cluster import node
from tests.cluster.kube import Kube, Obj
from tests.cluster.rollouts import real
from tests.cluster.waiting import eventually
from tests.support.bundles import small_parts, small_records
from tests.support.s3 import S3Server

from .conftest import Helm

pytestmark = pytest.mark.timeout(1500)

BATCH = 100
LABELLED = 400


def timid(parts: BundleParts) -> BundleParts:
    """A model that promises half of each probability: its scores differ from the champion's, its inputs do not."""
    calibrator = msgspec.structs.replace(parts.calibrator, y=tuple(y / 2 for y in parts.calibrator.y))
    booster = lightgbm.Booster(model_str=parts.model_text)

    def scores(of: Any) -> Any:
        return calibrator.apply(np.asarray(booster.predict(of, num_threads=1), dtype=np.float64))

    return replace(
        parts,
        calibrator=calibrator,
        reference_scores=scores(parts.reference_rows),
        golden_scores=scores(parts.golden_rows),
    )


class Model:
    """The installed model, as its clients and those who watch it see it."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        self.kube, self.namespace = kube, namespace
        self._gateway = self._connect()
        self.rows = 0

    def _connect(self) -> http.client.HTTPConnection:
        host, _, port = node.GATEWAY.partition(":")
        return http.client.HTTPConnection(host, int(port), timeout=60)

    def post(self, path: str, body: Any) -> Any:
        """Through the gateway."""
        headers = {"Content-Type": "application/json"}
        url = f"/seldon/{self.namespace}/fraud/api/v1.0/{path}"
        try:
            self._gateway.request("POST", url, json.dumps(body), headers)
            answer = self._gateway.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._gateway.close()
            self._gateway = self._connect()
            raise AssertionError(f"{path}: {error!r}") from error
        assert answer.status == 200, (answer.status, text[:500])
        return json.loads(text)

    def score(self, count: int, seed: int) -> tuple[str, dict[str, Any]]:
        """One request of so many rows: its id, and what its answer is tagged with."""
        answer = self.post("predictions", {"jsonData": {"rows": small_records(count, seed=seed)}})
        self.rows += count
        return answer["meta"]["puid"], answer["meta"]["tags"]

    def pod(self, selector: str) -> Obj:
        """The one pod that is not on its way out, ready."""
        found = [
            pod
            for pod in self.kube.list("Pod", self.namespace, selector)
            if not pod["metadata"].get("deletionTimestamp")
        ]
        assert len(found) == 1, f"{selector}: {len(found)} pods"
        conditions = found[0]["status"].get("conditions", [])
        ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
        assert ready, (selector, found[0]["status"])
        return found[0]

    def get(self, pod: Obj, port: int, path: str) -> str:
        """A page of a pod."""
        connection = http.client.HTTPConnection(pod["status"]["podIP"], port, timeout=30)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            text = answer.read().decode()
            assert answer.status == 200, text
            return text
        except (OSError, http.client.HTTPException) as error:
            raise AssertionError(f"{path}: {error!r}") from error
        finally:
            connection.close()

    def monitor(self) -> tuple[dict[str, Any], str]:
        """What the monitor says, and its metrics."""
        pod = self.pod("app.kubernetes.io/component=drift")
        return json.loads(self.get(pod, 8090, "/status")), self.get(pod, 8090, "/metrics")

    def sidecar(self, predictor: str) -> dict[str, float]:
        """What became of a sidecar's messages to the monitor, by outcome."""
        page = self.get(self.pod(f"version={predictor}"), 8090, "/metrics")
        return {
            labels["outcome"]: value
            for name, labels, value in rows(page)
            if name == "serinus_drift_forwarded_total"
        }

    def outcomes(self) -> str:
        """The metrics of the join."""
        return self.get(self.pod("app.kubernetes.io/component=outcomes"), 8091, "/metrics")


def value(page: str, name: str, **labels: str) -> float | None:
    """A sample of a page; None if it is absent."""
    found = [number for had, of, number in rows(page) if had == name and labels.items() <= of.items()]
    return found[0] if found else None


@pytest.fixture
def bundles(kube: Kube, namespace: str, tmp_path: Path) -> Iterator[tuple[real.Stored, real.Stored]]:
    """The champion's and the candidate's, where pods fetch them."""
    with S3Server(tmp_path, host=real.host(kube)) as server:
        shelf = real.Shelf(tmp_path, server)
        champion = shelf.put(small_parts(version=1))
        candidate = shelf.put(timid(small_parts(seed=8, version=2)))
        shelf.share(kube, namespace)
        yield champion, candidate


def values(stored: real.Stored) -> list[str]:
    return [
        f"bundle.uri={stored.uri}",
        f"bundle.digest={stored.digest}",
        "keys.configMap=trusted",
        "storage.secret=store",
        f"image.registry={node.PREFIX}",
        f"image.tag={node.TAG}",
        "replicas=1",
        f"executor={str(node.EXECUTOR).lower()}",
        *("scorer.drainDelay=1", "scorer.drainTimeout=3"),
        *("drift.look=5s", "drift.falseAlarmEvery=1h"),
        *("monitor.enabled=true", "monitor.persistence.enabled=false"),
        *("outcomes.enabled=true", "outcomes.persistence.enabled=false", "outcomes.grace=0s"),
        "outcomes.extraArgs={--min-rows=50,--look-every=1s}",
        # The test cluster makes no volumes, and has two cores.
        *(f"{what}.resources.requests.cpu=20m" for what in ("scorer", "drift", "monitor", "outcomes")),
    ]


def test_a_canary_is_compared_with_the_champion_and_both_are_joined_with_their_labels(
    kube: Kube, namespace: str, seldon: None, helm: Helm, bundles: tuple[real.Stored, real.Stored]
) -> None:
    champion, candidate = bundles
    assert helm.upgrade("fraud", "serinus-model", *values(champion)) == ""
    model = Model(kube, namespace)
    for selector in (f"version={champion.predictor}", *_COMPANIONS):
        eventually(lambda chosen=selector: model.pod(chosen), 300, what=selector)
    eventually(lambda: model.score(1, 0), 180, what="an answer through the gateway")

    # The candidate enters as the controller would let it in, with half of the traffic.
    sdep = kube.must("SeldonDeployment", namespace, "fraud")
    (first,) = sdep["spec"]["predictors"]
    entering = Candidate(bundle=BundleRef(uri=candidate.uri, digest=candidate.digest))
    second = candidate_predictor("fraud", first, entering)
    kube.patch(
        "SeldonDeployment",
        namespace,
        "fraud",
        {"spec": {"predictors": [first | {"traffic": 50}, second | {"traffic": 50}]}},
    )
    names = (champion.predictor, candidate.predictor)

    def both_answer() -> bool:
        told = {model.score(1, seed)[1]["predictor"] for seed in range(20)}
        assert told == set(names), told
        return True

    eventually(both_answer, 300, what="both predictors answer")

    # Labelled requests: who is declined turns out bad every second time, everybody else every fourth.
    for i in range(LABELLED):
        puid, tags = model.score(1, 1000 + i)
        declined = tags["decisions"][0]["decision"] == "decline"
        bad = int(i % (2 if declined else 4) == 0)
        feedback = {
            "response": {"meta": {"puid": puid}},
            "truth": {"data": {"ndarray": [[bad]]}},
        }
        model.post("feedback", feedback)

    seeds = itertools.count(5000)

    def compared() -> bool:
        for _ in range(20):
            model.score(BATCH, next(seeds))
        told, page = model.monitor()
        assert set(told["predictors"]) == set(names), told["predictors"].keys()
        report = told["predictors"][candidate.predictor]["against_champion"]
        assert report is not None, "no look had both"
        active = {
            kind: value(page, "serinus_drift_pair_active", predictor=candidate.predictor, kind=kind)
            for kind in ("feature", "score")
        }
        assert active == {"feature": 0.0, "score": 1.0}, (active, report["status"])
        evidence = value(
            page, "serinus_drift_pair_evidence_log10", predictor=candidate.predictor, feature="model score"
        )
        threshold = value(page, "serinus_drift_pair_evidence_threshold_log10", predictor=candidate.predictor)
        assert evidence is not None
        assert threshold is not None
        assert evidence > threshold
        return True

    eventually(compared, 240, what="evidence that the canary scores otherwise, and is asked the same")
    told, page = model.monitor()
    assert told["champion"] == champion.predictor
    assert value(page, "serinus_drift_info", digest=champion.digest) == 1
    assert told["predictors"][champion.predictor]["score_status"] == "stable"
    # The canary's pod serves other bins; it asked for the monitor's before it counted.
    for name in names:
        messages = model.sidecar(name)
        assert messages["taken"] > 0, name
        assert messages["refused"] == 0, name

    def joined() -> bool:
        page = model.outcomes()
        known = [value(page, "serinus_outcomes_decisions_total", predictor=name) or 0 for name in names]
        assert sum(known) == model.rows, (known, model.rows)
        assert value(page, "serinus_labels_total", result="joined") == LABELLED, page
        for name in names:
            assert (value(page, "serinus_realised_rows", predictor=name) or 0) > LABELLED / 4
            assert (
                value(page, "serinus_realised_performance_ratio", predictor=name, measure="auc") is not None
            )
            # As a rollout's label guards read it.
            of = counters(rows(page), name)["missed"]
            assert of.n > LABELLED / 4
            assert of.bad[0] > 0
        return True

    eventually(joined, 240, what="every decision and every label at the join")
    annotations = kube.must("SeldonDeployment", namespace, "fraud")["metadata"]["annotations"]
    assert annotations["serinus.io/outcomes"] == "8091"

    # Promoted: the values follow, the predictors stay as they are, and the monitor judges by the new bundle.
    kube.patch("SeldonDeployment", namespace, "fraud", {"spec": {"predictors": [second | {"traffic": 100}]}})
    eventually(lambda: len(kube.list("Pod", namespace, "seldon-deployment-id=fraud")) == 1, 180)
    before = model.pod(f"version={candidate.predictor}")["metadata"]["uid"]
    assert helm.upgrade("fraud", "serinus-model", *values(candidate)) == ""

    def follows() -> bool:
        told, _ = model.monitor()
        assert told["digest"] == candidate.digest, told["digest"]
        for _ in range(5):
            model.score(BATCH, next(seeds))
        assert candidate.predictor in told["predictors"], told["payloads"]
        assert told["predictors"][candidate.predictor]["score_status"] != "no_data"
        return True

    eventually(follows, 300, every=2, what="the sidecar counts in the new monitor's bins")
    messages = model.sidecar(candidate.predictor)
    assert messages["refused"] <= 2, "one message, or one under way besides"
    assert model.pod(f"version={candidate.predictor}")["metadata"]["uid"] == before, (
        "no predictor was restarted"
    )
    assert helm.run("uninstall", "fraud").returncode == 0


_COMPANIONS = ("app.kubernetes.io/component=drift", "app.kubernetes.io/component=outcomes")
