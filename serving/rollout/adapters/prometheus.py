"""The metrics port over Prometheus's HTTP API: raw counters at one instant, never ``rate()``."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx

from serinus import metrics
from serinus.evidence import Sample

from ..ports import ProviderError
from .scrape import Arm, Row, counters

_NAMES = "|".join(
    (
        metrics.REQUESTS,
        metrics.DECISIONS,
        metrics.OUTCOMES,
        f"{metrics.LATENCY}_bucket",
        f"{metrics.SCORE}_bucket",
    )
)


class PrometheusMetrics:
    """Reads the scorers' counters as Prometheus last scraped them.

    ``model`` narrows the series to one model; empty: ``matchers`` do it.
    ``source`` is the label that names a process (``pod`` on Kubernetes, else
    ``instance``). ``matchers`` narrows the series further, in PromQL. A series
    older than Prometheus's look-back (5 minutes) is absent, hence no data.
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
        self._model = f'model="{model}",' if model else ""
        self._source = source
        self._matchers = f",{matchers}" if matchers else ""
        self._client = client or httpx.AsyncClient(timeout=5.0)
        self._now = now

    async def close(self) -> None:
        """Close the HTTP connections."""
        await self._client.aclose()

    async def sample(self, stable: str, canary: str) -> Sample:
        """Read both predictors. Raises ``ProviderError`` if either cannot be read."""
        at = self._now()
        return Sample(at=at, stable=await self._arm(stable, at), canary=await self._arm(canary, at))

    async def _arm(self, predictor: str, at: float) -> Arm:
        labels = f'__name__=~"{_NAMES}",{self._model}predictor="{predictor}"{self._matchers}'
        by_source: dict[str, list[Row]] = {}
        for series in await self._query(f"{{{labels}}}", at):
            found = series["metric"]
            row = (found["__name__"], found, float(series["value"][1]))
            by_source.setdefault(found.get(self._source, ""), []).append(row)
        return {source: counters(rows, predictor) for source, rows in by_source.items()}

    async def _query(self, query: str, at: float) -> list[dict[str, Any]]:
        try:
            answer = await self._client.post(self._url, data={"query": query, "time": f"{at:.3f}"})
            body = answer.json()
        except (httpx.HTTPError, ValueError) as problem:
            raise ProviderError(f"{self._url}: {problem or type(problem).__name__}") from None
        if not answer.is_success or body.get("status") != "success":
            raise ProviderError(f"{self._url}: {body.get('error') or f'HTTP {answer.status_code}'}")
        return body["data"]["result"]
