"""The monitor's state as Prometheus metrics: one consistent snapshot per scrape.

A number that is not known is a series that is absent, never a zero.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from serinus import metrics as names
from serving.drift.monitor import KINDS, OUTCOMES, Evaluation, Monitor
from serving.drift.verdict import ColumnVerdict

_BY_PREDICTOR = ("model", "predictor")
_BY_FEATURE = ("model", "predictor", "feature")


class DriftCollector:
    """Collects a monitor's metrics."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor

    def describe(self) -> Iterator[Metric]:
        """Nothing ahead of time; the registry need not collect at registration."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """All metrics of one moment."""
        state, model = self._monitor.snapshot(), self._monitor.settings.model
        predictors = sorted({p for p, _ in state.payloads} | set(state.evaluations))
        payloads = CounterMetricFamily(
            names.DRIFT_PAYLOADS, "Payload events by what became of them.", labels=(*_BY_PREDICTOR, "outcome")
        )
        events = CounterMetricFamily(
            names.DRIFT_EVENTS, "Windows judged as drifted or as bad data.", labels=(*_BY_PREDICTOR, "kind")
        )
        filling = GaugeMetricFamily(
            names.DRIFT_WINDOW_ROWS, "Rows in the window being filled.", labels=_BY_PREDICTOR
        )
        for predictor in predictors:
            for outcome in OUTCOMES:
                payloads.add_metric((model, predictor, outcome), state.payloads[predictor, outcome])
            for kind in KINDS:
                events.add_metric((model, predictor, kind), state.events[predictor, kind])
            filling.add_metric((model, predictor), state.filling.get(predictor, 0))
        yield payloads
        yield events
        yield filling
        yield from _verdicts(model, state.evaluations)
        yield from _columns(model, state.evaluations)


def _verdicts(model: str, evaluations: dict[str, Evaluation]) -> Iterator[Metric]:
    active = GaugeMetricFamily(
        names.DRIFT_ACTIVE,
        "1 while the last window drifted, by evidence and effect.",
        labels=(*_BY_PREDICTOR, "kind"),
    )
    bad = GaugeMetricFamily(
        names.DATA_QUALITY_BAD, "1 while the last window's data were bad.", labels=_BY_PREDICTOR
    )
    quality = GaugeMetricFamily(
        names.DATA_QUALITY, "1 is as clean as the reference, 0 is useless.", labels=_BY_PREDICTOR
    )
    last = GaugeMetricFamily(
        names.DRIFT_LAST_EVALUATION, "When a window was last judged, Unix time.", labels=_BY_PREDICTOR
    )
    threshold = GaugeMetricFamily(
        names.DRIFT_P_THRESHOLD, "p-value at or below which a test is evidence.", labels=_BY_PREDICTOR
    )
    for predictor, evaluation in evaluations.items():
        verdict, key = evaluation.verdict, (model, predictor)
        for kind, status in (("feature", verdict.feature_status), ("score", verdict.score.status)):
            if status != "no_data":
                active.add_metric((*key, kind), float(status == "drift"))
        if verdict.quality != "no_data":
            bad.add_metric(key, float(verdict.quality == "bad"))
        if verdict.quality_score is not None:
            quality.add_metric(key, verdict.quality_score)
        last.add_metric(key, evaluation.time)
        threshold.add_metric(key, verdict.p_threshold)
    yield from (active, bad, quality, last, threshold)


def _columns(model: str, evaluations: dict[str, Evaluation]) -> Iterator[Metric]:
    texts = {
        names.DRIFT_P_VALUE: "p-value of the last window's test of a feature.",
        names.DRIFT_DISTANCE: "Distance to the reference: Kolmogorov-Smirnov, or chi-square for levels.",
        names.DRIFT_PSI: "Population stability index against the reference.",
        names.DRIFT_PSI_LIMIT: "PSI above which the effect counts: the policy's or that of chance.",
        names.FEATURE_MISSING: "Share of missing or unknown values in the last window.",
    }
    families = {name: GaugeMetricFamily(name, text, labels=_BY_FEATURE) for name, text in texts.items()}
    for predictor, evaluation in evaluations.items():
        verdict = evaluation.verdict
        for column in (*verdict.features, verdict.score):
            for name, value in _values(column).items():
                if value is not None:
                    families[name].add_metric((model, predictor, column.name), value)
    yield from families.values()


def _values(column: ColumnVerdict) -> dict[str, float | None]:
    return {
        names.DRIFT_P_VALUE: column.p_value,
        names.DRIFT_DISTANCE: column.distance,
        names.DRIFT_PSI: column.psi,
        names.DRIFT_PSI_LIMIT: column.psi_limit,
        names.FEATURE_MISSING: column.missing_ratio,
    }
