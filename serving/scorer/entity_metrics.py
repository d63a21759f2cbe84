"""Prometheus metrics of requests by entity."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from prometheus_client import Counter, Gauge, Histogram

from serinus import metrics as names
from serving.scorer.identity import Identity
from serving.scorer.metrics import Metrics

_EVENTS = ("added", "duplicate", "late", "unnamed", "label", "label_waiting")


class EntityMetrics:
    """Counters of the enricher and of events, served with the scorer's. Labels are
    the contract's entities and features, and words of ours.

    Args:
        metrics: whose exposition they join.
        features: names of the contract's features.
        entities: names of its entities.
    """

    def __init__(
        self, metrics: Metrics, identity: Identity, features: Sequence[str], entities: Sequence[str]
    ) -> None:
        labels, values = ("model", "predictor"), (identity.model, identity.predictor)
        self._metrics, self._labels, self._values = metrics, labels, values

        def counter(name: str, text: str, label: str, children: Sequence[str]) -> dict[str, Counter]:
            made = Counter(name, text, (*labels, label), registry=None)
            metrics.register(made)
            return {child: made.labels(*values, child) for child in children}

        self._unknown = counter(
            names.ENTITY_UNKNOWN, "Entities asked for that have no event in reach.", "entity", entities
        )
        self._missing = counter(
            names.FEATURE_MISSING_TOTAL, "Features missing in requests by entity.", "feature", features
        )
        self._events = counter(names.EVENTS, "What became of events and labels.", "outcome", _EVENTS)
        self._failed = counter(
            names.STORE_FAILURES,
            "Calls that the online store did not answer.",
            "operation",
            ("look", "add", "label"),
        )
        late = Counter(
            names.EVENT_LATE, "Records scored later than the contract's lateness.", labels, registry=None
        )
        metrics.register(late)
        self._late = late.labels(*values)
        without = Counter(
            names.WITHOUT_STORE, "Records scored without features from the store.", labels, registry=None
        )
        metrics.register(without)
        self._without = without.labels(*values)
        took = Histogram(
            names.STORE_LATENCY,
            "Seconds that a call of the online store took.",
            (*labels, "operation"),
            buckets=names.STORE_LATENCY_EDGES,
            registry=None,
        )
        metrics.register(took)
        self._took = {name: took.labels(*values, name) for name in ("look", "add")}

    def unknown(self, entity: str) -> None:
        """Count an unknown entity."""
        self._unknown[entity].inc()

    def late(self) -> None:
        """Count a record that came later than the contract's lateness."""
        self._late.inc()

    def missing(self, feature: str) -> None:
        """Count a feature that was missing."""
        self._missing[feature].inc()

    def event(self, outcome: str, count: int = 1) -> None:
        """Count events or labels by what became of them."""
        self._events[outcome].inc(count)

    def unnamed(self, count: int) -> None:
        """Count scored events that do not enter the histories for want of an id."""
        if count:
            self._events["unnamed"].inc(count)

    def without_store(self, count: int) -> None:
        """Count records scored with every windowed feature missing."""
        self._without.inc(count)

    def failed(self, operation: str) -> None:
        """Count a call that the store did not answer."""
        self._failed[operation].inc()

    def unkept(self, count: Callable[[], int]) -> None:
        """Show what the store in memory holds and its file does not."""
        gauge = Gauge(
            names.STORE_UNKEPT,
            "Events and labels in memory that the disk did not take.",
            self._labels,
            registry=None,
        )
        gauge.labels(*self._values).set_function(count)
        self._metrics.register(gauge)

    def took(self, operation: str, seconds: float) -> None:
        """Observe a call's time."""
        self._took[operation].observe(seconds)
