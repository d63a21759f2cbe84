"""The scorer's Prometheus metrics, under the names that ``serinus.metrics`` fixes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.registry import Collector

from serinus import metrics as names
from serinus.model import Answer
from serving.scorer.identity import Identity

# The time a counter began is one more series per child, and nothing of ours reads it.
disable_created_metrics()

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counters of one scorer, in a registry of its own.

    Children are bound once: a label look-up per request would cost more than
    the increment.
    """

    def __init__(self, identity: Identity, features: Sequence[str]) -> None:
        self._registry = CollectorRegistry()
        labels = ("model", "predictor")
        values = (identity.model, identity.predictor)
        registry: CollectorRegistry = self._registry
        self._requests = Counter(
            names.REQUESTS, "Scoring requests answered.", (*labels, "code"), registry=registry
        )
        self._by_code = {code: self._requests.labels(*values, code) for code in ("200", "400", "500")}
        self._latency = Histogram(
            names.LATENCY,
            "From a scoring request's last byte to the answer's first, in seconds.",
            labels,
            buckets=names.LATENCY_EDGES,
            registry=registry,
        ).labels(*values)
        self._score = Histogram(
            names.SCORE,
            "Calibrated probability of the bad outcome.",
            labels,
            buckets=names.SCORE_EDGES,
            registry=registry,
        ).labels(*values)
        decisions = Counter(names.DECISIONS, "Decisions given.", (*labels, "decision"), registry=registry)
        self._decisions = {d: decisions.labels(*values, d) for d in ("approve", "review", "decline")}
        self._dropped = Counter(
            names.DROPPED, "Payload events that the drift monitor did not get.", labels, registry=registry
        ).labels(*values)
        unknown = Counter(
            names.UNKNOWN_LEVELS,
            "Levels that training had not seen.",
            (*labels, "feature"),
            registry=registry,
        )
        self._unknown = {feature: unknown.labels(*values, feature) for feature in features}
        self._pending = Gauge(
            names.LOG_PENDING, "Answered decisions not yet on the disk.", labels, registry=registry
        ).labels(*values)
        shed = Counter(
            names.SHED,
            "Scoring requests refused for want of time or room.",
            (*labels, "reason"),
            registry=registry,
        )
        self._shed = {reason: shed.labels(*values, reason) for reason in ("deadline", "overload", "queue")}
        self._in_flight = Gauge(
            names.IN_FLIGHT,
            "Scoring requests that wait for a thread, a store or the disk.",
            labels,
            registry=registry,
        ).labels(*values)
        Gauge(names.INFO, "What is served.", (*labels, "version", "digest"), registry=registry).labels(
            *values, str(identity.version), identity.digest
        ).set(1)
        self._values = values

    def register(self, collector: Collector) -> None:
        """Serve another collector's metrics too."""
        self._registry.register(collector)

    def request(self, status: int, seconds: float) -> None:
        """Count one answered scoring request."""
        code = str(status)
        child = self._by_code.get(code)
        if child is None:
            child = self._by_code[code] = self._requests.labels(*self._values, code)
        child.inc()
        self._latency.observe(seconds)

    def shed(self, reason: str) -> None:
        """Count a request refused for want of time (``deadline``) or room (``overload``, ``queue``)."""
        self._shed[reason].inc()

    def in_flight(self, change: int) -> None:
        """Count requests that began (1) or ended (-1) to wait."""
        self._in_flight.inc(change)

    def answers(self, answers: Iterable[Answer], unknown: Sequence[str]) -> None:
        """Count decisions, their probabilities, and unseen levels."""
        for answer in answers:
            self._decisions[answer.decision].inc()
            self._score.observe(answer.probability)
        for feature in unknown:
            self._unknown[feature].inc()

    def dropped(self, count: int = 1) -> None:
        """Count payload events that could not be delivered."""
        self._dropped.inc(count)

    def pending(self, count: int) -> None:
        """State how many decisions wait to be written."""
        self._pending.set(count)

    def exposition(self) -> bytes:
        """The text format, version 0.0.4."""
        return generate_latest(self._registry)
