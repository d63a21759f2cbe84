"""The program's HTTP face: metrics, status, health."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import get_args

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serinus import http
from serinus import metrics as names
from serving.outcomes.engine import BusyError, Engine, State
from serving.outcomes.records import Kind

MAX_BODY = 8 << 20
TIMEOUT = 20.0
"""Seconds that lines may wait to be stored."""
_DECISIONS = ("approve", "review", "decline")


class OutcomeCollector:
    """The state as Prometheus metrics. What could not be judged has no series: absent, not zero."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._model = engine.settings.model

    def describe(self) -> Iterator[Metric]:
        """Nothing ahead of time."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """All metrics of one moment."""
        state = self._engine.snapshot()
        yield from self._counters(state)
        yield from self._figures(state)
        yield from self._fairness(state)
        yield from self._concept(state)
        yield from self._business(state)
        last = GaugeMetricFamily(
            names.OUTCOMES_LAST, "When the logs were last read to their ends.", labels=("model",)
        )
        if state.read_at is not None:
            last.add_metric((self._model,), state.read_at)
        yield last

    def _counters(self, state: State) -> Iterator[Metric]:
        model = self._model
        outcomes = CounterMetricFamily(
            names.OUTCOMES, "Labelled decisions.", labels=("model", "predictor", "decision", "outcome")
        )
        # Each pair stands from its predictor's first label on, so that a first increase is seen.
        for predictor in sorted({predictor for predictor, _, _ in state.outcomes} | set(state.measured)):
            for decision in _DECISIONS:
                for outcome in ("good", "bad"):
                    n = state.outcomes.get((predictor, decision, outcome), 0)
                    outcomes.add_metric((model, predictor, decision, outcome), n)
        decided = CounterMetricFamily(
            names.OUTCOMES_DECISIONS, "Decisions that the join knows of.", labels=("model", "predictor")
        )
        for predictor, n in state.decisions.items():
            decided.add_metric((model, predictor), n)
        results = CounterMetricFamily(
            names.LABEL_RESULTS, "Labels by what became of them.", labels=("model", "result")
        )
        for result, n in state.results.items():
            results.add_metric((model, result), n)
        delay = HistogramMetricFamily(
            names.LABEL_DELAY, "From a decision to its label, in seconds.", labels=("model",)
        )
        counts, total = state.delays
        running, buckets = 0, []
        for edge, n in zip((*names.LABEL_DELAY_EDGES, float("inf")), counts, strict=True):
            running += n
            buckets.append(("+Inf" if edge == float("inf") else str(edge), running))
        delay.add_metric((model,), buckets, total)
        yield from (outcomes, decided, results, delay)

    def _figures(self, state: State) -> Iterator[Metric]:
        model, labels = self._model, ("model", "predictor")
        coverage = GaugeMetricFamily(
            names.LABEL_COVERAGE, "Labelled share of the decisions whose label is due.", labels=labels
        )
        due = GaugeMetricFamily(names.LABELS_DUE, "Decisions whose label is due.", labels=labels)
        rows = GaugeMetricFamily(
            names.REALISED_ROWS, "Labelled decisions the figures rest on.", labels=labels
        )
        figures = [
            GaugeMetricFamily(name, text, labels=(*labels, "measure"))
            for name, text in (
                (names.REALISED, "Performance on labelled decisions."),
                (names.REALISED_LOW, "Lower end of its 95 % interval."),
                (names.REALISED_HIGH, "Upper end of its 95 % interval."),
            )
        ]
        below = GaugeMetricFamily(
            names.PERFORMANCE_BELOW, "The whole interval is beyond the floor.", labels=(*labels, "measure")
        )
        floors = GaugeMetricFamily(names.PERFORMANCE_FLOOR, "What is asked for.", labels=("model", "measure"))
        for name, floor in self._engine.settings.policy.floors.items():
            floors.add_metric((model, name), floor)
        for predictor, measured in state.measured.items():
            at = (model, predictor)
            if measured.due:
                coverage.add_metric(at, measured.labelled_of_due / measured.due)
            due.add_metric(at, measured.due)
            rows.add_metric(at, measured.rows)
            for name, figure in measured.figures.items():
                for family, value in zip(figures, (figure.value, figure.low, figure.high), strict=True):
                    if value == value:
                        family.add_metric((*at, name), value)
            for name, fails in measured.below.items():
                below.add_metric((*at, name), float(fails))
        yield from (coverage, due, rows, *figures, below, floors)

    def _concept(self, state: State) -> Iterator[Metric]:
        labels = ("model", "predictor")
        evidence = GaugeMetricFamily(
            names.CONCEPT_EVIDENCE, "Evidence that the model is worse.", labels=(*labels, "question")
        )
        threshold = GaugeMetricFamily(names.CONCEPT_THRESHOLD, "What it is held against.", labels=labels)
        worse = GaugeMetricFamily(
            names.CONCEPT_WORSE, "The model is worse than at validation.", labels=labels
        )
        for predictor, report in state.concept.items():
            at = (self._model, predictor)
            for question, value in report.log10_e.items():
                evidence.add_metric((*at, question), value)
            threshold.add_metric(at, report.threshold_log10)
            if report.rows:
                worse.add_metric(at, float(bool(report.worse)))
        yield from (evidence, threshold, worse)

    def _business(self, state: State) -> Iterator[Metric]:
        labels = ("model", "predictor")
        load = GaugeMetricFamily(names.REVIEW_LOAD, "Referred share of the latest decisions.", labels=labels)
        waiting = GaugeMetricFamily(names.REVIEW_WAITING, "Referred, without an answer.", labels=labels)
        oldest = GaugeMetricFamily(names.REVIEW_OLDEST, "When the oldest of them was decided.", labels=labels)
        answers = GaugeMetricFamily(
            names.REVIEW_ANSWERS, "People's answers.", labels=(*labels, "answer", "leaning")
        )
        override = GaugeMetricFamily(
            names.REVIEW_OVERRIDE, "Answers against the model's leaning.", labels=labels
        )
        saved = GaugeMetricFamily(
            names.FALSE_POSITIVES_SAVED, "Good ones that a person saved from the model.", labels=labels
        )
        rows = GaugeMetricFamily(names.COST_ROWS, "Decisions that the cost rests on.", labels=labels)
        costs = [
            GaugeMetricFamily(name, text, labels=(*labels, "currency"))
            for name, text in (
                (names.COST, "Mean cost of a settled decision."),
                (names.COST_LOW, "Lower end of its 95 % interval."),
                (names.COST_HIGH, "Upper end of its 95 % interval."),
            )
        ]
        currency = self._engine.settings.contract.decision.currency
        for predictor, found in state.business.items():
            at = (self._model, predictor)
            waiting.add_metric(at, found.waiting)
            rows.add_metric(at, found.cost_rows)
            for family, value in (
                (load, found.load),
                (oldest, found.oldest),
                (override, found.override),
                (saved, found.saved),
            ):
                if value is not None:
                    family.add_metric(at, value)
            for key, n in found.answers.items():
                answers.add_metric((*at, *key.split("/")), n)
            if found.cost is not None:
                for family, value in zip(
                    costs, (found.cost.value, found.cost.low, found.cost.high), strict=True
                ):
                    family.add_metric((*at, currency), value)
        yield from (load, waiting, oldest, answers, override, saved, *costs, rows)

    def _fairness(self, state: State) -> Iterator[Metric]:
        labels = ("model", "predictor", "attribute")
        selection = GaugeMetricFamily(names.FAIRNESS_SELECTION, "Share approved.", labels=(*labels, "group"))
        impact = GaugeMetricFamily(
            names.FAIRNESS_IMPACT, "Share approved over the reference group's.", labels=(*labels, "group")
        )
        high = GaugeMetricFamily(
            names.FAIRNESS_IMPACT_HIGH, "Upper end of its 95 % interval.", labels=(*labels, "group")
        )
        breach = GaugeMetricFamily(
            names.FAIRNESS_BREACH, "A group is surely beyond the policy's limit.", labels=labels
        )
        for predictor, measured in state.measured.items():
            at = (self._model, predictor)
            for attribute, members in measured.selection.items():
                for group, share in members.items():
                    selection.add_metric((*at, attribute, group), share)
            for finding in measured.fairness:
                if finding.measure == "adverse_impact_ratio" and finding.value is not None:
                    impact.add_metric((*at, finding.attribute, finding.group), finding.value)
                    if finding.high is not None:
                        high.add_metric((*at, finding.attribute, finding.group), finding.high)
            for attribute, broken in measured.breach.items():
                breach.add_metric((*at, attribute), float(broken))
        yield from (selection, impact, high, breach)


async def _lines(request: Request) -> list[bytes] | None:
    """The body's lines; None if it is too large."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            return None
    return [line for line in bytes(body).splitlines() if line.strip()]


def build_app(engine: Engine) -> Starlette:
    """The ASGI application over a started engine."""
    registry = CollectorRegistry()
    registry.register(OutcomeCollector(engine))  # pyright: ignore[reportArgumentType]

    async def metrics(request: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    async def status(request: Request) -> Response:
        state = engine.snapshot()
        return http.json(
            {
                "model": engine.settings.model,
                "labels": state.results,
                "predictors": state.measured,
                "concept": state.concept,
                "business": state.business,
                "read_at": state.read_at,
                "behind": state.behind,
                "problem": state.problem,
            }
        )

    async def ready(request: Request) -> Response:
        return http.json({"ready": engine.alive}, status=200 if engine.alive else 503)

    async def live(request: Request) -> Response:
        # Without its thread the program takes lines in and joins none.
        return http.json({"live": engine.alive}, status=200 if engine.alive else 503)

    def takes(kind: Kind) -> Route:
        async def take(request: Request) -> Response:
            lines = await _lines(request)
            if lines is None:
                what = f"the body exceeds {MAX_BODY} bytes; send it in parts"
                return http.json({"code": "SRN-OUTCOMES-004", "what": what}, status=413)
            try:
                taken = await asyncio.wait_for(asyncio.wrap_future(engine.send(kind, lines)), TIMEOUT)
            except (BusyError, TimeoutError) as error:
                what = f"not taken now ({str(error) or 'no time'}); send the same again, nothing counts twice"
                return http.json({"code": "SRN-OUTCOMES-005", "what": what}, status=503)
            return http.json(taken)

        return Route(f"/{kind}", take, methods=["POST"])

    return Starlette(
        routes=[
            Route("/metrics", metrics),
            Route("/prometheus", metrics),
            Route("/status", status),
            Route("/health/ready", ready),
            Route("/health/live", live),
            *(takes(kind) for kind in get_args(Kind)),
        ]
    )
