"""Counters by way of a Prometheus whose scrapes are rarer than the engine's looks and fall at other moments."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from urllib.parse import parse_qs

import httpx
import pytest

from serinus.evidence import Guard, Plan, Sample, judge, start, update
from serving.rollout.adapters.prometheus import PrometheusMetrics, any_of, quoted

pytestmark = pytest.mark.anyio

EVERY = 15.0  # seconds between two scrapes of one process
LOOK = 5.0
RATE = 100.0
CANARY = 0.25
PLAN = Plan(guards=(Guard(name="errors", metric="errors", margin_absolute=0.05),))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Served:
    """One champion and one candidate under even traffic, scraped ``first`` seconds after the full interval."""

    def __init__(self, first: dict[str, float], bad: float = 0.0) -> None:
        self.now = 100.0
        self.bad = bad
        self._first = first

    def scraped(self, predictor: str) -> float:
        """When that one was scraped last."""
        first = self._first[predictor]
        return math.floor((self.now - first) / EVERY) * EVERY + first

    def metrics(self) -> PrometheusMetrics:
        client = httpx.AsyncClient(transport=httpx.MockTransport(self._answer))
        return PrometheusMetrics("http://p", "", client=client, now=lambda: self.now)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        (query,) = parse_qs(request.content.decode())["query"]
        predictor = "v2" if 'predictor="v2"' in query else "v1"
        at = self.scraped(predictor)
        n = round(at * RATE * (CANARY if predictor == "v2" else 1 - CANARY))
        bad = round(n * self.bad) if predictor == "v2" else 0
        labels = {"__name__": "serinus_requests_total", "pod": f"{predictor}-0", "predictor": predictor}
        result = [
            {"metric": labels | {"code": "200"}, "value": [self.now, str(n - bad)]},
            {"metric": labels | {"code": "500"}, "value": [self.now, str(bad)]},
            {"metric": {"pod": f"{predictor}-0"}, "value": [self.now, str(at)]},
        ]
        return httpx.Response(200, json={"status": "success", "data": {"result": result}})

    async def samples(self, looks: int) -> list[Sample]:
        """What that many looks give."""
        metrics, found = self.metrics(), []
        for _ in range(looks):
            self.now += LOOK
            found.append(await metrics.sample("v1", "v2"))
        return found


OFFSETS = [{"v1": 2.0, "v2": 2.0}, {"v1": 2.0, "v2": 9.0}, {"v1": 14.0, "v2": 1.0}]


@pytest.mark.parametrize("first", OFFSETS)
async def test_each_new_sample_covers_as_much_time_of_either_arm(first: dict[str, float]) -> None:
    found = await Served(first).samples(60)
    fresh = [b for a, b in pairwise(found) if b is not a]
    assert len(fresh) >= 19
    for a, b in pairwise(fresh):
        assert b.at > a.at
        new = [
            b_arm[pod]["errors"].n - a_arm[pod]["errors"].n
            for a_arm, b_arm, pod in ((a.stable, b.stable, "v1-0"), (a.canary, b.canary, "v2-0"))
        ]
        assert new == [EVERY * RATE * (1 - CANARY), EVERY * RATE * CANARY]


@pytest.mark.parametrize("first", OFFSETS)
async def test_a_sample_is_as_old_as_its_oldest_scrape(first: dict[str, float]) -> None:
    served = Served(first)
    (sample,) = await served.samples(1)
    assert sample.at == min(served.scraped("v1"), served.scraped("v2")) < served.now


@pytest.mark.parametrize(("bad", "outcome"), [(0.0, "clear"), (0.3, "harm")])
@pytest.mark.parametrize("first", OFFSETS)
async def test_scrapes_at_other_moments_neither_look_like_broken_routing_nor_hide_harm(
    first: dict[str, float], bad: float, outcome: str
) -> None:
    evidence, seen = start(PLAN), set[str]()
    for sample in await Served(first, bad).samples(60):
        evidence = update(PLAN, evidence, Sample(sample.at, sample.stable, sample.canary, CANARY))
        seen.add(judge(PLAN, evidence).outcome)
    assert judge(PLAN, evidence).outcome == outcome
    assert "routing_broken" not in seen


async def test_names_are_quoted_whatever_is_in_them() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(parse_qs(request.content.decode())["query"][0])
        return httpx.Response(200, json={"status": "success", "data": {"result": []}})

    client = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    await PrometheusMetrics("http://p", 'my "model"', client=client).sample("v1", 'v"} or up{x="\\')
    assert 'predictor="v\\"} or up{x=\\"\\\\"' in asked[1]
    assert 'model="my \\"model\\"",' in asked[0]


def test_a_pod_of_another_name_is_not_one_of_them() -> None:
    pattern = f"({any_of(['fraud-a.b', 'fraud-a'])})-.+"
    assert re.fullmatch(pattern, "fraud-a.b-x")
    assert not re.fullmatch(pattern, "fraud-aXb-x")
    assert quoted(pattern) == '"(fraud-a[.]b|fraud-a)-.+"'
