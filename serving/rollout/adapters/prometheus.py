"""The metrics port over Prometheus's HTTP API: raw counters at one instant, never ``rate()``."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable
from typing import Any

import httpx

from serinus import metrics
from serinus.evidence import Sample
from serinus.tls import client_context

from ..ports import ProviderError
from .scrape import Arm, Row, counters

Scraped = dict[tuple[str, str], float]  # (predictor, process) → when, in unix seconds

_NAMES = "|".join(
    (
        metrics.REQUESTS,
        metrics.DECISIONS,
        metrics.OUTCOMES,
        f"{metrics.LATENCY}_bucket",
        f"{metrics.SCORE}_bucket",
    )
)


def quoted(text: str) -> str:
    """A string of PromQL, whatever is in it: it escapes as JSON does."""
    return json.dumps(text)


def any_of(names: Iterable[str]) -> str:
    """A regular expression of Kubernetes's names, in which a dot is a dot."""
    return "|".join(name.replace(".", "[.]") for name in names)


class PrometheusMetrics:
    """Reads the scorers' counters as Prometheus last scraped them.

    ``model`` narrows the series to one model; empty: ``matchers`` do it.
    ``source`` is the label that names a process (``pod`` on Kubernetes, else
    ``instance``). ``matchers`` narrows the series further, in PromQL. A series
    older than Prometheus's look-back (5 minutes) is absent, hence no data.

    Processes are scraped one after the other, and often less often than we look: between
    two looks one arm may have new counts and the other none. Such counts cover different
    times, so the last sample stands until each process was scraped anew. A sample's ``at``
    is its oldest scrape: whatever was in force before then is not in it.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        source: str = "pod",
        matchers: str = "",
        client: httpx.AsyncClient | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._url = f"{url.rstrip('/')}/api/v1/query"
        self._model = f"model={quoted(model)}," if model else ""
        self._source = source
        self._matchers = f",{matchers}" if matchers else ""
        self._client = client or httpx.AsyncClient(timeout=5.0, verify=client_context())
        self._now = now
        self._last: Sample | None = None
        self._scraped: Scraped = {}

    async def close(self) -> None:
        """Close the HTTP connections."""
        await self._client.aclose()

    async def sample(self, stable: str, canary: str) -> Sample:
        """Read both predictors. Raises ``ProviderError`` if either cannot be read."""
        at = self._now()
        arms: list[Arm] = []
        scraped: Scraped = {}
        for predictor in (stable, canary):
            arm, times = await self._arm(predictor, at)
            arms.append(arm)
            scraped |= {(predictor, source): time for source, time in times.items()}
        late = any(when <= self._scraped.get(source, -math.inf) for source, when in scraped.items())
        if self._last is None or not late:
            oldest = min(scraped.values(), default=at)
            self._last, self._scraped = Sample(at=oldest, stable=arms[0], canary=arms[1]), scraped
        return self._last

    async def _arm(self, predictor: str, at: float) -> tuple[Arm, dict[str, float]]:
        """The counters of each process, and when it was scraped."""
        labels = f"{self._model}predictor={quoted(predictor)}{self._matchers}"
        query = (
            f'{{__name__=~"{_NAMES}",{labels}}}'
            f" or max by ({self._source}) (timestamp({metrics.REQUESTS}{{{labels}}}))"
        )
        by_source: dict[str, list[Row]] = {}
        times: dict[str, float] = {}
        for series in await self._query(query, at):
            found, value = series["metric"], float(series["value"][1])
            source = found.get(self._source, "")
            if "__name__" in found:
                by_source.setdefault(source, []).append((found["__name__"], found, value))
            else:
                times[source] = value
        return {source: counters(rows, predictor) for source, rows in by_source.items()}, times

    async def _query(self, query: str, at: float) -> list[dict[str, Any]]:
        try:
            answer = await self._client.post(self._url, data={"query": query, "time": f"{at:.3f}"})
            body = answer.json()
        except (httpx.HTTPError, ValueError) as problem:
            raise ProviderError(f"{self._url}: {problem or type(problem).__name__}") from None
        if not answer.is_success or body.get("status") != "success":
            raise ProviderError(f"{self._url}: {body.get('error') or f'HTTP {answer.status_code}'}")
        return body["data"]["result"]
