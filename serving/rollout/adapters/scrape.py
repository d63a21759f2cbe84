"""The metrics port that reads the scorers' own /metrics pages.

Raw cumulative counters by process: differences over disjoint intervals are what
the evidence may count; a ``rate()`` extrapolates and overlaps.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping

import httpx
from prometheus_client.parser import text_string_to_metric_families

from serinus import metrics
from serinus.evidence import Counter, Sample
from serinus.tls import client_context

from ..ports import ProviderError

log = logging.getLogger(__name__)

Arm = dict[str, dict[str, Counter]]
Row = tuple[str, Mapping[str, str], float]  # name, labels, value
JUDGED_FROM = {
    metrics.LATENCY: metrics.LATENCY_JUDGED_FROM,
    metrics.SCORE: metrics.SCORE_JUDGED_FROM,
}
HISTOGRAMS = {metrics.LATENCY: "latency", metrics.SCORE: "scores"}


def rows(text: str) -> Iterable[Row]:
    """The samples of a Prometheus text page.

    Raises:
        ValueError: if the page is not one.
    """
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            yield sample.name, sample.labels, float(sample.value)


def counters(samples: Iterable[Row], predictor: str) -> dict[str, Counter]:
    """One process's counters as the evidence counts them.

    ``errors``: requests, and those answered with another code than 2xx.
    ``latency``, ``scores``: observations, and those above each bucket's edge, from
    ``metrics.LATENCY_JUDGED_FROM`` and ``SCORE_JUDGED_FROM`` on.
    ``decisions``: decisions, and those that were not an approval.
    ``missed``, ``false_declines``: decisions whose outcome is known, and the bad ones that
    were approved, the good ones that were declined. Both are shares of *all* labelled
    decisions: a share of the declined alone would compare other people on each side.
    """
    requests = errors = decisions = adverse = labelled = missed = refused = 0.0
    counted = decided = judged = False
    buckets: dict[str, dict[float, float]] = {}
    for name, labels, value in samples:
        if labels.get("predictor") != predictor:
            continue
        if name == metrics.REQUESTS:
            counted = True
            requests += value
            errors += 0.0 if labels.get("code", "").startswith("2") else value
        elif name == metrics.DECISIONS:
            decided = True
            decisions += value
            adverse += 0.0 if labels.get("decision") == "approve" else value
        elif name == metrics.OUTCOMES:
            judged = True
            labelled += value
            case = (labels.get("decision"), labels.get("outcome"))
            missed += value if case == ("approve", "bad") else 0.0
            refused += value if case == ("decline", "good") else 0.0
        elif name.endswith("_bucket") and name[:-7] in HISTOGRAMS:
            edges = buckets.setdefault(HISTOGRAMS[name[:-7]], {})
            edge = float(labels["le"])
            if edge < JUDGED_FROM[name[:-7]]:
                continue
            edges[edge] = edges.get(edge, 0.0) + value
    found: dict[str, Counter] = {}
    if counted:
        found["errors"] = Counter(n=requests, bad=(errors,))
    if decided:
        found["decisions"] = Counter(n=decisions, bad=(adverse,))
    if judged:
        found["missed"] = Counter(n=labelled, bad=(missed,))
        found["false_declines"] = Counter(n=labelled, bad=(refused,))
    for metric, edges in buckets.items():
        total = edges.pop(math.inf, None)
        if total is not None:
            found[metric] = Counter(n=total, bad=tuple(total - edges[edge] for edge in sorted(edges)))
    return found


class ScrapeMetrics:
    """Reads every process of both predictors at once.

    ``sources`` answers with a predictor's processes: id → URL of the metrics page;
    the page of the outcomes program may stand among both predictors', since its
    series carry the predictor. One that does not answer fails the whole sample:
    half of an arm is not a sample. ``beside`` are pages that tell of every predictor and
    of which the sample does not depend: without labels the other guards go on.
    """

    def __init__(
        self,
        sources: Callable[[str], Mapping[str, str]],
        client: httpx.AsyncClient | None = None,
        now: Callable[[], float] = time.time,
        beside: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self._sources = sources
        self._beside = beside
        self._client = client or httpx.AsyncClient(timeout=2.0, trust_env=False, verify=client_context())
        self._now = now

    async def close(self) -> None:
        """Close the HTTP connections."""
        await self._client.aclose()

    async def sample(self, stable: str, canary: str) -> Sample:
        """Read both predictors. Raises ``ProviderError`` if either cannot be read."""
        at = self._now()
        arms = await asyncio.gather(self._arm(stable), self._arm(canary))
        return Sample(at=at, stable=arms[0], canary=arms[1])

    async def _arm(self, predictor: str) -> Arm:
        async def one(source: str, url: str) -> tuple[str, dict[str, Counter]]:
            try:
                answer = await self._client.get(url)
                answer.raise_for_status()
                return source, counters(rows(answer.text), predictor)
            except (httpx.HTTPError, ValueError) as problem:
                raise ProviderError(f"{url}: {str(problem) or type(problem).__name__}") from None

        async def other(source: str, url: str) -> tuple[str, dict[str, Counter]] | None:
            try:
                return await one(source, url)
            except ProviderError as problem:
                log.warning("%s is left out: %s", source, problem)
                return None

        pages, others = await asyncio.gather(
            asyncio.gather(*(one(*item) for item in self._sources(predictor).items())),
            asyncio.gather(*(other(*item) for item in self._beside().items())),
        )
        return dict((*pages, *filter(None, others)))
