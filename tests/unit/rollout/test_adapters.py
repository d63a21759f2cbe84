"""What the adapters read and write, without the programs at the other end."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import httpx
import pytest

from serinus.evidence import Counter
from serving.rollout.adapters.envoy import (
    PREDICTOR_HEADER,
    EnvoyTraffic,
    bootstrap,
    cluster,
    route_configuration,
    write_resources,
)
from serving.rollout.adapters.prometheus import PrometheusMetrics
from serving.rollout.adapters.scrape import ScrapeMetrics, counters, rows
from serving.rollout.ports import ProviderError
from serving.rollout.status import Routes

pytestmark = pytest.mark.anyio

PAGE = """
# TYPE serinus_requests counter
serinus_requests_total{model="m",predictor="v2",code="200"} 90
serinus_requests_total{model="m",predictor="v2",code="204"} 3
serinus_requests_total{model="m",predictor="v2",code="422"} 5
serinus_requests_total{model="m",predictor="v2",code="500"} 2
serinus_requests_total{model="m",predictor="v1",code="500"} 999
# TYPE serinus_decisions counter
serinus_decisions_total{model="m",predictor="v2",decision="approve"} 70
serinus_decisions_total{model="m",predictor="v2",decision="review"} 20
serinus_decisions_total{model="m",predictor="v2",decision="decline"} 3
# TYPE model_latency_seconds histogram
model_latency_seconds_bucket{model="m",predictor="v2",le="0.005"} 30
model_latency_seconds_bucket{model="m",predictor="v2",le="0.01"} 60
model_latency_seconds_bucket{model="m",predictor="v2",le="0.05"} 95
model_latency_seconds_bucket{model="m",predictor="v2",le="+Inf"} 100
model_latency_seconds_count{model="m",predictor="v2"} 100
model_latency_seconds_sum{model="m",predictor="v2"} 1.5
"""
SPLIT = Routes(stable="v1", canary="v2", weight=25)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def test_counters_are_units_and_those_above_each_edge() -> None:
    found = counters(rows(PAGE), "v2")
    assert (found["errors"].n, found["errors"].bad) == (100, (7,))
    assert (found["decisions"].n, found["decisions"].bad) == (93, (23,))
    assert (found["latency"].n, found["latency"].bad) == (100, (40, 5))
    assert "scores" not in found


def test_latencies_that_nobody_waits_for_are_not_compared() -> None:
    fast = PAGE.replace('le="0.05"} 95', 'le="0.05"} 100').replace('le="0.01"} 60', 'le="0.01"} 100')
    assert counters(rows(fast), "v2")["latency"].bad == (0, 0)


def test_a_predictor_without_series_has_no_counters_rather_than_zeros() -> None:
    assert counters(rows(PAGE), "v3") == {}


def test_outcomes_are_shares_of_all_labelled_decisions() -> None:
    cases = {("approve", "good"): 90, ("approve", "bad"): 3, ("decline", "good"): 2, ("decline", "bad"): 5}
    page = "# TYPE serinus_outcomes counter\n" + "".join(
        f'serinus_outcomes_total{{model="m",predictor="v2",decision="{d}",outcome="{o}"}} {n}\n'
        for (d, o), n in cases.items()
    )
    found = counters(rows(page), "v2")
    assert found["missed"] == Counter(n=100, bad=(3,))
    assert found["false_declines"] == Counter(n=100, bad=(2,))
    assert counters(rows(page), "v1") == {}


def test_a_nan_stays_a_nan() -> None:
    page = PAGE.replace('code="500"} 2', 'code="500"} NaN')
    assert math.isnan(counters(rows(page), "v2")["errors"].bad[0])


def answering(answers: dict[str, Any]) -> httpx.AsyncClient:
    def answer(request: httpx.Request) -> httpx.Response:
        found = answers.get(request.url.path)
        if found is None:
            raise httpx.ConnectError("connection refused")
        if isinstance(found, str):
            return httpx.Response(200, text=found)
        answered: httpx.Response = found(request)
        return answered

    return httpx.AsyncClient(transport=httpx.MockTransport(answer))


async def test_a_scrape_reads_every_process_of_both_arms() -> None:
    sources = {"v1": {"v1-7": "http://a/one"}, "v2": {"v2-8": "http://a/two", "v2-9": "http://a/two"}}
    metrics = ScrapeMetrics(sources.__getitem__, answering({"/one": PAGE, "/two": PAGE}), now=lambda: 5.0)
    sample = await metrics.sample("v1", "v2")
    assert sample.at == 5.0
    assert sample.stable["v1-7"]["errors"].n == 999
    assert sorted(sample.canary) == ["v2-8", "v2-9"]


@pytest.mark.parametrize("page", [None, "<html>", lambda request: httpx.Response(503)])
async def test_one_page_that_cannot_be_read_is_a_failure_and_not_an_empty_sample(page: Any) -> None:
    sources = {"v1": {"v1-7": "http://a/one"}, "v2": {"v2-8": "http://a/two"}}
    metrics = ScrapeMetrics(sources.__getitem__, answering({"/one": PAGE, "/two": page}))
    with pytest.raises(ProviderError, match="/two"):
        await metrics.sample("v1", "v2")


OUTCOMES = """
serinus_outcomes_total{model="m",predictor="v1",decision="approve",outcome="bad"} 3
serinus_outcomes_total{model="m",predictor="v1",decision="approve",outcome="good"} 97
serinus_outcomes_total{model="m",predictor="v2",decision="approve",outcome="bad"} 30
serinus_outcomes_total{model="m",predictor="v2",decision="approve",outcome="good"} 20
"""


async def test_a_page_beside_tells_of_both_arms_and_its_loss_costs_only_what_it_told() -> None:
    sources = {"v1": {"v1-7": "http://a/one"}, "v2": {"v2-8": "http://a/two"}}
    beside = {"outcomes": "http://a/outcomes"}
    answers: dict[str, Any] = {"/one": PAGE, "/two": PAGE, "/outcomes": OUTCOMES}
    metrics = ScrapeMetrics(sources.__getitem__, answering(answers), beside=lambda: beside)
    sample = await metrics.sample("v1", "v2")
    assert sample.stable["outcomes"]["missed"] == Counter(n=100, bad=(3,))
    assert sample.canary["outcomes"]["missed"] == Counter(n=50, bad=(30,))
    answers["/outcomes"] = lambda request: httpx.Response(503)
    sample = await metrics.sample("v1", "v2")
    assert list(sample.stable) == ["v1-7"]
    assert list(sample.canary) == ["v2-8"]


def series(name: str, value: str, **labels: str) -> dict[str, Any]:
    return {"metric": {"__name__": name, "predictor": "v2"} | labels, "value": [5.0, value]}


async def test_prometheus_is_asked_for_raw_counters_at_one_instant() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.content.decode())
        result = [
            series("serinus_requests_total", "90", pod="p1", code="200"),
            series("serinus_requests_total", "10", pod="p1", code="500"),
            series("serinus_requests_total", "7", pod="p2", code="200"),
        ]
        return httpx.Response(200, json={"status": "success", "data": {"result": result}})

    metrics = PrometheusMetrics("http://p", "m", client=answering({"/api/v1/query": answer}), now=lambda: 5.0)
    sample = await metrics.sample("v1", "v2")
    assert {pod: (c["errors"].n, c["errors"].bad) for pod, c in sample.canary.items()} == {
        "p1": (100, (10,)),
        "p2": (7, (0,)),
    }
    assert all("time=5.000" in body and "rate" not in body for body in asked)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        lambda request: httpx.Response(200, json={"status": "error", "error": "query timed out"}),
        lambda request: httpx.Response(502, text="bad gateway"),
    ],
)
async def test_a_prometheus_that_fails_is_a_provider_error(answer: Any) -> None:
    metrics = PrometheusMetrics("http://p", "m", client=answering({"/api/v1/query": answer}))
    with pytest.raises(ProviderError):
        await metrics.sample("v1", "v2")


def test_the_route_splits_by_weight_names_who_answered_and_never_retries() -> None:
    config = route_configuration(SPLIT, timeout=2.0)
    route = config["virtual_hosts"][0]["routes"][0]["route"]
    clusters = route["weighted_clusters"]["clusters"]
    assert [(c["name"], c["weight"]) for c in clusters] == [("v1", 75), ("v2", 25)]
    header = clusters[1]["response_headers_to_add"][0]["header"]
    assert header == {"key": PREDICTOR_HEADER, "value": "v2"}
    assert "retry_policy" not in json.dumps(config)


def test_without_a_canary_its_route_does_not_exist() -> None:
    assert "v2" not in json.dumps(route_configuration(Routes(stable="v1"), timeout=2.0))


def test_a_port_is_not_shared_silently_and_the_admin_port_is_on_loopback(tmp_path: Path) -> None:
    config = bootstrap(tmp_path, host="0.0.0.0", port=8080)
    assert config["static_resources"]["listeners"][0]["enable_reuse_port"] is False
    assert config["admin"]["address"]["socket_address"]["address"] == "127.0.0.1"


def test_an_unchanged_file_is_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / "clusters.json"
    write_resources(path, [cluster("v1", "127.0.0.1", 1)])
    before = path.stat().st_ino
    write_resources(path, [cluster("v1", "127.0.0.1", 1)])
    assert path.stat().st_ino == before
    write_resources(path, [cluster("v1", "127.0.0.1", 2)])
    assert path.stat().st_ino != before


class FakeEnvoy:
    """Envoy's admin port as far as the adapter reads it: it takes the files when told to."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.routes: list[Any] = []
        self.clusters: list[Any] = []

    def take(self, *, routes: bool = True, clusters: bool = True) -> None:
        for name, wanted in (("routes", routes), ("clusters", clusters)):
            path = self.directory / f"{name}.json"
            if wanted and path.exists():
                setattr(self, name, json.loads(path.read_text())["resources"])

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.params["resource"] == "dynamic_route_configs":
            configs = [{"route_config": r} for r in self.routes]
        else:
            configs = [{"cluster": c} for c in self.clusters]
        return httpx.Response(200, json={"configs": configs})

    def names(self) -> set[str]:
        return {c["name"] for c in json.loads((self.directory / "clusters.json").read_text())["resources"]}

    def weights(self) -> list[int]:
        resource = json.loads((self.directory / "routes.json").read_text())["resources"][0]
        route = resource["virtual_hosts"][0]["routes"][0]["route"]
        return [c["weight"] for c in route["weighted_clusters"]["clusters"]]


async def test_a_cluster_exists_before_its_route_and_outlives_it(tmp_path: Path) -> None:
    envoy = FakeEnvoy(tmp_path)
    traffic = EnvoyTraffic(tmp_path, answering({"/config_dump": envoy.answer}))
    traffic.admin_url = "http://envoy"
    traffic.endpoints = {"v1": ("127.0.0.1", 1), "v2": ("127.0.0.1", 2)}
    traffic.write(Routes(stable="v1"))
    envoy.take()
    assert (await traffic.read_back(Routes(stable="v1"))).state == "verified"

    await traffic.apply(SPLIT)
    assert (envoy.names(), envoy.weights()) == ({"v1", "v2"}, [100])  # the cluster first
    envoy.take()
    await traffic.apply(SPLIT)
    assert envoy.weights() == [75, 25]
    assert (await traffic.read_back(SPLIT)).state == "not_yet"
    envoy.take()
    assert (await traffic.read_back(SPLIT)).state == "verified"

    await traffic.apply(Routes(stable="v1"))
    assert (envoy.names(), envoy.weights()) == ({"v1", "v2"}, [100])  # the route first
    envoy.take()
    assert (await traffic.read_back(Routes(stable="v1"))).state == "not_yet"
    await traffic.apply(Routes(stable="v1"))
    assert envoy.names() == {"v1"}
    envoy.take()
    assert (await traffic.read_back(Routes(stable="v1"))).state == "verified"


async def test_a_predictor_at_another_address_is_not_yet_verified(tmp_path: Path) -> None:
    envoy = FakeEnvoy(tmp_path)
    traffic = EnvoyTraffic(tmp_path, answering({"/config_dump": envoy.answer}))
    traffic.endpoints = {"v1": ("127.0.0.1", 1)}
    traffic.admin_url = "http://envoy"
    traffic.write(Routes(stable="v1"))
    envoy.take()
    traffic.endpoints["v1"] = ("127.0.0.1", 9)
    assert (await traffic.read_back(Routes(stable="v1"))).state == "not_yet"


async def test_an_admin_port_that_does_not_answer_cannot_tell(tmp_path: Path) -> None:
    traffic = EnvoyTraffic(tmp_path, answering({}))
    traffic.admin_url = "http://envoy"
    traffic.endpoints = {"v1": ("127.0.0.1", 1)}
    assert (await traffic.read_back(Routes(stable="v1"))).state == "cannot_tell"
