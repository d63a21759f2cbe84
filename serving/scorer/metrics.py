"""The scorer's Prometheus metrics, under the names that ``serinus.metrics`` fixes.

A request adds to plain lists; the library's families are made from them when
somebody scrapes. Its own counters take a lock at each increment, and a
histogram's several of them: more than it costs to score.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from prometheus_client import CollectorRegistry, disable_created_metrics, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from serinus import metrics as names
from serinus.model import Answer
from serinus.model.answers import Answers
from serving.scorer.identity import Identity

# The time a counter began is one more series per child, and nothing of ours reads it.
disable_created_metrics()

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
_LABELS = ("model", "predictor")
_SHED = ("deadline", "overload", "queue")
_LATENCY, _SCORE = names.LATENCY_EDGES, names.SCORE_EDGES


class Metrics(Collector):
    """Counters of one scorer, in a registry of its own; all its methods belong to one thread.

    Args:
        features: the categories, whose unknown levels are counted.
    """

    def __init__(self, identity: Identity, features: Sequence[str]) -> None:
        self._values = (identity.model, identity.predictor)
        self._served = (str(identity.version), identity.digest)
        self._requests: dict[int, int] = {200: 0, 400: 0, 500: 0}
        self._latency = [0] * (len(_LATENCY) + 1)
        self._latency_sum = 0.0
        self._score = [0] * (len(_SCORE) + 1)
        self._score_sum = 0.0
        self._decisions: dict[str, int] = {"approve": 0, "review": 0, "decline": 0}
        self._unknown: dict[str, int] = dict.fromkeys(features, 0)
        self._shed: dict[str, int] = dict.fromkeys(_SHED, 0)
        self._dropped = self._in_flight = self._pending = self._keys_put_back = 0
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def register(self, collector: Collector) -> None:
        """Serve another collector's metrics too."""
        self._registry.register(collector)

    def request(self, status: int, seconds: float) -> None:
        """Count one answered scoring request."""
        try:
            self._requests[status] += 1
        except KeyError:
            self._requests[status] = 1
        self._latency[bisect_left(_LATENCY, seconds)] += 1
        self._latency_sum += seconds

    def answers(self, answers: Iterable[Answer] | Answers, unknown: Sequence[str]) -> None:
        """Count decisions, their probabilities, and unseen levels."""
        if isinstance(answers, Answers):
            self._batch(answers)
        else:
            for answer in answers:
                probability = answer.probability
                self._decisions[answer.decision] += 1
                self._score[bisect_left(_SCORE, probability)] += 1
                self._score_sum += probability
        for feature in unknown:
            self._unknown[feature] += 1

    def _batch(self, answers: Answers) -> None:
        for decision, count in Counter(answers.decision).items():
            self._decisions[decision] += count
        places = np.searchsorted(_SCORE, answers.probability, side="left")
        for place, count in enumerate(np.bincount(places, minlength=len(self._score)).tolist()):
            self._score[place] += count
        self._score_sum += float(answers.probability.sum())

    def shed(self, reason: str) -> None:
        """Count a request refused for want of time (``deadline``) or room (``overload``, ``queue``)."""
        self._shed[reason] += 1

    def in_flight(self, change: int) -> None:
        """Count requests that began (1) or ended (-1) to wait."""
        self._in_flight += change

    def dropped(self, count: int = 1) -> None:
        """Count payload events that could not be delivered."""
        self._dropped += count

    def keys_put_back(self) -> None:
        """Count a store of persons' keys that was put back to an earlier state."""
        self._keys_put_back += 1

    def pending(self, count: int) -> None:
        """State how many decisions wait to be written."""
        self._pending = count

    def exposition(self) -> bytes:
        """The text format, version 0.0.4."""
        return generate_latest(self._registry)

    # --- the scrape ------------------------------------------------------

    def describe(self) -> Iterator[Metric]:
        """For the registry: the same families."""
        return self.collect()

    def collect(self) -> Iterator[Metric]:
        """The families as they stand."""
        codes = {str(code): count for code, count in self._requests.items()}
        yield self._counter(names.REQUESTS, "Scoring requests answered.", codes, "code")
        yield self._histogram(
            names.LATENCY,
            "From a scoring request's last byte to the answer's first, in seconds.",
            (_LATENCY, self._latency, self._latency_sum),
        )
        yield self._histogram(
            names.SCORE,
            "Calibrated probability of the bad outcome.",
            (_SCORE, self._score, self._score_sum),
        )
        yield self._counter(names.DECISIONS, "Decisions given.", self._decisions, "decision")
        dropped = CounterMetricFamily(
            names.DROPPED, "Payload events that the drift monitor did not get.", labels=_LABELS
        )
        dropped.add_metric(self._values, self._dropped)
        yield dropped
        yield self._counter(
            names.UNKNOWN_LEVELS, "Levels that training had not seen.", self._unknown, "feature"
        )
        yield self._counter(
            names.SHED, "Scoring requests refused for want of time or room.", self._shed, "reason"
        )
        yield self._gauge(names.LOG_PENDING, "Answered decisions not yet on the disk.", self._pending)
        yield self._gauge(
            names.IN_FLIGHT, "Scoring requests that wait for a thread, a store or the disk.", self._in_flight
        )
        put_back = CounterMetricFamily(
            names.KEYS_PUT_BACK, "Times that the key store lacked what it had confirmed.", labels=_LABELS
        )
        put_back.add_metric(self._values, self._keys_put_back)
        yield put_back
        info = GaugeMetricFamily(names.INFO, "What is served.", labels=(*_LABELS, "version", "digest"))
        info.add_metric((*self._values, *self._served), 1)
        yield info

    def _counter(self, name: str, text: str, counts: dict[str, int], label: str) -> Metric:
        family = CounterMetricFamily(name, text, labels=(*_LABELS, label))
        for value, count in counts.items():
            family.add_metric((*self._values, value), count)
        return family

    def _gauge(self, name: str, text: str, value: int) -> Metric:
        family = GaugeMetricFamily(name, text, labels=_LABELS)
        family.add_metric(self._values, value)
        return family

    def _histogram(self, name: str, text: str, state: tuple[Sequence[float], Sequence[int], float]) -> Metric:
        edges, counts, total = state
        family = HistogramMetricFamily(name, text, labels=_LABELS)
        below = np.cumsum(counts).tolist()
        bounds = [*map(str, edges), "+Inf"]
        family.add_metric(self._values, list(zip(bounds, below, strict=True)), sum_value=total)
        return family
