"""Where samples come from: a Prometheus, or the programs' own pages."""

from __future__ import annotations

import json
import math
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol

from serinus import metrics as names
from serinus.errors import SerinusError
from serinus.tls import check_url, client_context
from serving.watch.terminal.samples import Sample, Samples
from serving.watch.terminal.view import ALERTS, COVERAGE

COUNTERS = (names.REQUESTS, f"{names.LATENCY}_bucket", names.SHED, names.DECISIONS)
"""What rates are taken of."""
OF_A_MODEL = (
    names.INFO, names.IN_FLIGHT, names.LOG_PENDING, names.ROLLOUT_PHASE, names.ROLLOUT_PHASE_SINCE,
    names.ROLLOUT_WEIGHT, names.ROLLOUT_EVIDENCE, names.ROLLOUT_THRESHOLD, names.ROLLOUT_REQUESTS,
    names.ROLLOUT_LAST_LOOK, names.ROLLOUT_LAST_DATA, names.DRIFT_ACTIVE, names.DATA_QUALITY,
    names.DATA_QUALITY_BAD, names.DRIFT_LAST_EVALUATION, names.LABEL_COVERAGE, names.LABELS_DUE,
    names.PERFORMANCE_BELOW, names.CONCEPT_WORSE, names.FAIRNESS_BREACH, names.AUDIT_BROKEN,
    names.AUDIT_ENTRIES, names.AUDIT_VERIFIED, ALERTS, COVERAGE,
)  # fmt: skip
"""A few series for each model."""
IN_DETAIL = (
    names.DRIFT_EVIDENCE, names.DRIFT_THRESHOLD, names.DRIFT_PSI, names.DRIFT_PSI_LIMIT, names.DRIFT_P_VALUE,
    names.FEATURE_MISSING, names.REALISED, names.REALISED_LOW, names.REALISED_HIGH, names.PERFORMANCE_FLOOR,
    names.CONCEPT_EVIDENCE, names.CONCEPT_THRESHOLD, names.ESTIMATED, names.ESTIMATED_LOW, names.ESTIMATED_HIGH,
)  # fmt: skip
"""Series by feature and measure, read of one model at a time: hundreds of models have too many."""
READ = frozenset((*COUNTERS, *OF_A_MODEL, *IN_DETAIL))


class Read(NamedTuple):
    """What a source gave: samples of now, of some time before, and what it could not read."""

    now: Samples
    before: Samples | None
    problems: tuple[str, ...] = ()


class Source(Protocol):
    """Gives the samples of a frame."""

    alerts: bool
    """Whether rules are evaluated there."""

    @property
    def where(self) -> str:
        """What to call it on the screen."""
        ...

    def read(self, model: str | None) -> Read:
        """Read once. Raises SerinusError if nothing at all can be read."""
        ...


class Page(NamedTuple):
    """One program's metrics page."""

    program: str
    url: str


class PagesSource:
    """The programs' own pages, read at the same time; rates are taken since a page was read before.

    Args:
        pages: which there are now; programs come and go. May raise SerinusError.
        over: seconds that rates should cover.
    """

    alerts = False

    def __init__(
        self,
        pages: Callable[[], Sequence[Page]],
        *,
        over: float,
        now: Callable[[], float] = time.time,
        timeout: float = 2.0,
    ) -> None:
        self._pages = pages
        self._over = over
        self._now = now
        self._timeout = timeout
        self._kept: list[Samples] = []
        self.where = "the programs' pages"

    def read(self, model: str | None) -> Read:
        """See ``Source``."""
        pages = self._pages()
        at = self._now()
        problems: list[str] = []
        samples: list[Sample] = []
        with ThreadPoolExecutor(max(1, len(pages))) as pool:
            for page, found in zip(pages, pool.map(self._page, pages), strict=True):
                if isinstance(found, str):
                    problems.append(f"{page.program} at {page.url} {found}")
                else:
                    samples += found
        self.where = f"{len(pages) - len(problems)} of {len(pages)} programs"
        made = Samples(samples, at, frozenset(page.url for page in pages))
        while len(self._kept) > 1 and at - self._kept[1].at >= self._over:
            self._kept.pop(0)
        before = self._kept[0] if self._kept else None
        self._kept.append(made)
        return Read(made, before, tuple(problems))

    def _page(self, page: Page) -> list[Sample] | str:
        try:
            text = _get(page.url, self._timeout, {}).decode("utf-8", "replace")
            return list(parsed(text, page.url))
        except (OSError, ValueError) as error:
            return f"does not answer ({_why(error)})"


def parsed(text: str, instance: str) -> Iterator[Sample]:
    """The samples of a page that are shown. Raises ValueError for what is no exposition."""
    from prometheus_client.parser import text_string_to_metric_families

    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name in READ:
                yield Sample(sample.name, {**sample.labels, "instance": instance}, sample.value)


class PrometheusSource:
    """A Prometheus, asked by instant queries.

    Args:
        url: of its API; user and password may stand in it.
        over: seconds that rates cover.
        token: sent as a bearer token, where there is one.

    Raises:
        SerinusError: ``SRN-WATCH-002`` it is no address; ``SRN-TLS-003`` it is plain and that is refused.
    """

    alerts = True

    def __init__(
        self,
        url: str,
        *,
        over: float,
        token: str = "",
        now: Callable[[], float] = time.time,
        timeout: float = 10.0,
    ) -> None:
        self._url = url.rstrip("/")
        self._over = max(1, round(over))
        self._now = now
        self._timeout = timeout
        self._headers, self._url = _credentials(self._url, token)
        check_url(self._url, "--prometheus")
        self.where = self._url

    def read(self, model: str | None) -> Read:
        """See ``Source``. Raises ``SRN-WATCH-001``."""
        at = self._now()
        these = "" if model is None else f', model=~"{_pattern(model)}|"'
        now = self._query(f'{{__name__=~"{"|".join((*COUNTERS, *OF_A_MODEL))}"{these}}}', at)
        models = {s.labels["model"] for s in now if s.name == names.INFO and "model" in s.labels}
        if model is not None or len(models) == 1:
            one = _pattern(model or models.pop())
            now += self._query(f'{{__name__=~"{"|".join(IN_DETAIL)}", model=~"{one}"}}', at)
        before = self._query(f'{{__name__=~"{"|".join(COUNTERS)}"{these}}}', at - self._over)
        return Read(Samples(now, at), Samples(before, at - self._over) if before else None)

    def _query(self, expression: str, at: float) -> list[Sample]:
        asked = urllib.parse.urlencode({"query": expression, "time": f"{at:.3f}"})
        url = f"{self._url}/api/v1/query"
        try:
            answer = json.loads(_get(f"{url}?{asked}", self._timeout, self._headers))
            found: list[dict[str, Any]] = answer["data"]["result"]
            return [
                Sample(s["metric"]["__name__"], s["metric"], float(s["value"][1]))
                for s in found
                if not math.isinf(float(s["value"][1]))
            ]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SerinusError(
                "SRN-WATCH-001",
                f"Prometheus does not answer ({_why(error)})",
                where=url,
                hint="Check --prometheus: it is the address of Prometheus's own page, such as "
                "http://prometheus.monitoring:9090, not that of Grafana or Alertmanager.",
            ) from error


def _credentials(url: str, token: str) -> tuple[dict[str, str], str]:
    """Headers that the URL's user and password, or the token, become; and the URL without them."""
    import base64

    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urllib.parse.urlsplit(""), None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SerinusError(
            "SRN-WATCH-002",
            f'"{url}" is not an address of a Prometheus',
            where="--prometheus",
            hint="Give http://host:port, or https://.",
        )
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    if parts.username is not None:
        pair = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
        headers = {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    netloc = host if port is None else f"{host}:{port}"
    return headers, urllib.parse.urlunsplit((parts.scheme, netloc, parts.path, "", ""))


def _pattern(text: str) -> str:
    """A text as a PromQL regular expression in double quotes that matches only it."""
    return "".join(c if c.isalnum() or c in "-_" else f"\\\\{c}" for c in text)


def _get(url: str, timeout: float, headers: Mapping[str, str]) -> bytes:
    request = urllib.request.Request(url, headers=dict(headers))
    with urllib.request.urlopen(request, timeout=timeout, context=client_context()) as answer:
        return answer.read()


def _why(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"it says {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        error = error.reason if isinstance(error.reason, Exception) else error
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return f"what it says is not understood: {error}"
