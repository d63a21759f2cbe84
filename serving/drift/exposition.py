"""The monitor's state as Prometheus metrics: one consistent snapshot per scrape.

A number that is not known is a series that is absent, never a zero.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from serinus import metrics as names
from serinus.watching import SCORE, PairReport, Performance
from serving.drift.intake import Intake
from serving.drift.replica import Replica
from serving.drift.report import KINDS, OUTCOMES, Evaluation, State
from serving.drift.second import Online, Opinion
from serving.drift.verdict import ColumnVerdict

_BY_PREDICTOR = ("model", "predictor")
_BY_FEATURE = ("model", "predictor", "feature")
_MEASURES = {
    "auc": "auc",
    "precision": "precision",
    "recall": "recall",
    "brier": "brier",
    "flagged": "flagged",
    "base_rate": "base",
}


class DriftCollector:
    """Collects a monitor's metrics."""

    def __init__(self, monitor: Intake) -> None:
        self._monitor = monitor

    def describe(self) -> Iterator[Metric]:
        """Nothing ahead of time; the registry need not collect at registration."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """All metrics of one moment."""
        state, model = self._monitor.snapshot(), self._monitor.settings.model
        yield from _traffic(model, state, judges=not isinstance(self._monitor, Replica))
        if isinstance(self._monitor, Replica):
            forwarded = CounterMetricFamily(
                names.DRIFT_FORWARDED, "Messages to the monitor that judges.", labels=("model", "outcome")
            )
            for outcome in ("taken", "failed", "refused"):
                forwarded.add_metric((model, outcome), self._monitor.relay.outcomes[outcome])
            yield forwarded
        else:
            info = GaugeMetricFamily(
                names.DRIFT_INFO, "The bundle whose reference is the yardstick.", labels=("model", "digest")
            )
            info.add_metric((model, self._monitor.measure.digest), 1)
            yield info
        yield from _verdicts(model, state.evaluations)
        yield from _columns(model, state.evaluations, state.opinions)
        yield from _online(model, state.online)
        yield from _quality(model, state.evaluations)
        yield from _pairs(model, state.pairs)
        yield from _estimates(model, state.estimated)


def _traffic(model: str, state: State, *, judges: bool) -> Iterator[Metric]:
    payloads = CounterMetricFamily(
        names.DRIFT_PAYLOADS, "Payload events by what became of them.", labels=(*_BY_PREDICTOR, "outcome")
    )
    events = CounterMetricFamily(
        names.DRIFT_EVENTS,
        "Times that drift, bad data or a difference between predictors began.",
        labels=(*_BY_PREDICTOR, "kind"),
    )
    filling = GaugeMetricFamily(names.DRIFT_WINDOW_ROWS, "Rows in the open look.", labels=_BY_PREDICTOR)
    judged = CounterMetricFamily(
        names.DRIFT_ROWS, "Rows in the looks that were judged.", labels=_BY_PREDICTOR
    )
    for predictor in sorted({p for p, _ in state.payloads} | set(state.evaluations)):
        for outcome in OUTCOMES:
            payloads.add_metric((model, predictor, outcome), state.payloads[predictor, outcome])
        for kind in KINDS:
            events.add_metric((model, predictor, kind), state.events[predictor, kind])
        filling.add_metric((model, predictor), state.filling.get(predictor, 0))
        # What a replica counted the monitor judges, and a sum over both would count twice.
        if judges:
            judged.add_metric((model, predictor), state.rows[predictor])
    unsaved = CounterMetricFamily(
        names.DRIFT_UNSAVED, "Times that the state could not be kept.", labels=("model",)
    )
    unsaved.add_metric((model,), state.unsaved)
    yield from (payloads, events, filling, judged, unsaved)


def _verdicts(model: str, evaluations: dict[str, Evaluation]) -> Iterator[Metric]:
    active = GaugeMetricFamily(
        names.DRIFT_ACTIVE,
        "1 while there is drift, by evidence and effect.",
        labels=(*_BY_PREDICTOR, "kind"),
    )
    bad = GaugeMetricFamily(
        names.DATA_QUALITY_BAD, "1 while a share of bad values has risen.", labels=_BY_PREDICTOR
    )
    quality = GaugeMetricFamily(
        names.DATA_QUALITY, "1 is as clean as the reference, 0 is useless.", labels=_BY_PREDICTOR
    )
    last = GaugeMetricFamily(
        names.DRIFT_LAST_EVALUATION,
        "When the last look with data was judged, Unix time.",
        labels=_BY_PREDICTOR,
    )
    threshold = GaugeMetricFamily(
        names.DRIFT_THRESHOLD, "What a feature's evidence is held against.", labels=_BY_PREDICTOR
    )
    p_threshold = GaugeMetricFamily(
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
        threshold.add_metric(key, verdict.column_threshold_log10)
        p_threshold.add_metric(key, verdict.p_threshold)
    yield from (active, bad, quality, last, threshold, p_threshold)


def _columns(
    model: str, evaluations: dict[str, Evaluation], opinions: dict[str, tuple[Opinion, ...]]
) -> Iterator[Metric]:
    texts = {
        names.DRIFT_EVIDENCE: "Evidence of a shift beyond the tolerance, log10 of the e-value.",
        names.DRIFT_PSI: "Population stability index against the reference.",
        names.DRIFT_PSI_LIMIT: "PSI above which the effect counts: the policy's or that of chance.",
        names.DRIFT_KL: "Kullback-Leibler divergence from the reference, nats.",
        names.DRIFT_WASSERSTEIN: "Wasserstein distance from the reference, in units of the feature.",
        names.DRIFT_EFFECT_ROWS: "Values that the effect rests on.",
        names.DRIFT_P_VALUE: "p-value of the last window's test of a feature.",
        names.DRIFT_DISTANCE: "Distance of that test: Kolmogorov-Smirnov, or chi-square for levels.",
        names.FEATURE_MISSING: "Share of missing values.",
    }
    families = {name: GaugeMetricFamily(name, text, labels=_BY_FEATURE) for name, text in texts.items()}
    for predictor, evaluation in evaluations.items():
        verdict = evaluation.verdict
        for column in (*verdict.features, verdict.score):
            for name, value in _values(column).items():
                if value is not None:
                    families[name].add_metric((model, predictor, column.name), value)
        for found in opinions.get(predictor, ()):
            if found.p_value is not None and found.distance is not None:
                families[names.DRIFT_P_VALUE].add_metric((model, predictor, found.name), found.p_value)
                families[names.DRIFT_DISTANCE].add_metric((model, predictor, found.name), found.distance)
    yield from families.values()


def _online(model: str, online: dict[str, tuple[Online, ...]]) -> Iterator[Metric]:
    labels = (*_BY_FEATURE, "test")
    statistic = GaugeMetricFamily(
        names.DRIFT_ONLINE, "Statistic of an online test after its last value.", labels=labels
    )
    threshold = GaugeMetricFamily(
        names.DRIFT_ONLINE_THRESHOLD, "What it is held against, as the bundle has it.", labels=labels
    )
    crossings = CounterMetricFamily(
        names.DRIFT_ONLINE_CROSSINGS, "Times that an online test went above its threshold.", labels=labels
    )
    for predictor, tests in online.items():
        for found in tests:
            key = (model, predictor, found.name, found.test)
            if found.statistic is not None and found.threshold is not None:
                statistic.add_metric(key, found.statistic)
                threshold.add_metric(key, found.threshold)
            crossings.add_metric(key, found.crossings)
    yield from (statistic, threshold, crossings)


def _values(column: ColumnVerdict) -> dict[str, float | None]:
    effect, test = column.effect, column.test
    return {
        names.DRIFT_EVIDENCE: column.evidence_log10,
        names.DRIFT_PSI: effect.psi if effect else None,
        names.DRIFT_PSI_LIMIT: column.psi_limit,
        names.DRIFT_KL: effect.kl if effect else None,
        names.DRIFT_WASSERSTEIN: effect.wasserstein if effect else None,
        names.DRIFT_EFFECT_ROWS: effect.n if effect else None,
        names.DRIFT_P_VALUE: test.p_value if test else None,
        names.DRIFT_DISTANCE: test.distance if test else None,
        names.FEATURE_MISSING: column.missing_ratio,
    }


def _quality(model: str, evaluations: dict[str, Evaluation]) -> Iterator[Metric]:
    labels = (*_BY_FEATURE, "kind")
    share = GaugeMetricFamily(names.DATA_QUALITY_SHARE, "Share of bad values.", labels=labels)
    evidence = GaugeMetricFamily(
        names.DATA_QUALITY_EVIDENCE, "Evidence that the share has risen, log10 of the e-value.", labels=labels
    )
    threshold = GaugeMetricFamily(
        names.DATA_QUALITY_THRESHOLD, "What that evidence is held against.", labels=_BY_PREDICTOR
    )
    for predictor, evaluation in evaluations.items():
        for found in evaluation.verdict.shares:
            key = (model, predictor, found.column, found.kind)
            if found.share is not None:
                share.add_metric(key, found.share)
            evidence.add_metric(key, found.log10_e)
        threshold.add_metric((model, predictor), evaluation.verdict.quality_threshold_log10)
    yield from (share, evidence, threshold)


def _pairs(model: str, pairs: dict[str, PairReport]) -> Iterator[Metric]:
    evidence = GaugeMetricFamily(
        names.DRIFT_PAIR_EVIDENCE, "Evidence that a predictor differs from the champion.", labels=_BY_FEATURE
    )
    psi = GaugeMetricFamily(
        names.DRIFT_PAIR_PSI, "PSI between a predictor and the champion in the last look.", labels=_BY_FEATURE
    )
    threshold = GaugeMetricFamily(
        names.DRIFT_PAIR_THRESHOLD, "What the evidence of a difference is held against.", labels=_BY_PREDICTOR
    )
    active = GaugeMetricFamily(
        names.DRIFT_PAIR_ACTIVE,
        "1 while a predictor differs from the champion, by evidence and effect.",
        labels=(*_BY_PREDICTOR, "kind"),
    )
    for predictor, report in pairs.items():
        key = (model, predictor)
        for column in report.columns:
            evidence.add_metric((*key, column.name), column.log10_e)
            if column.effect is not None:
                psi.add_metric((*key, column.name), column.effect.psi)
        threshold.add_metric(key, report.columns[0].threshold_log10)
        for kind in ("feature", "score"):
            known = [c.status for c in report.columns if (c.name == SCORE) == (kind == "score")]
            if any(status != "no_data" for status in known):
                active.add_metric((*key, kind), float("drift" in known))
    yield from (evidence, psi, threshold, active)


def _estimates(model: str, estimated: dict[str, Performance]) -> Iterator[Metric]:
    labels = (*_BY_PREDICTOR, "measure")
    value = GaugeMetricFamily(
        names.ESTIMATED, "Performance that calibrated probabilities promise, before labels.", labels=labels
    )
    low = GaugeMetricFamily(names.ESTIMATED_LOW, "Lower end of its 95 % band.", labels=labels)
    high = GaugeMetricFamily(names.ESTIMATED_HIGH, "Upper end of its 95 % band.", labels=labels)
    rows = GaugeMetricFamily(names.ESTIMATED_ROWS, "Scores that the estimate rests on.", labels=_BY_PREDICTOR)
    for predictor, found in estimated.items():
        rows.add_metric((model, predictor), found.rows)
        for measure, attribute in _MEASURES.items():
            figure = getattr(found, attribute)
            if figure is not None:
                key = (model, predictor, measure)
                value.add_metric(key, figure.value)
                low.add_metric(key, figure.low)
                high.add_metric(key, figure.high)
    yield from (value, low, high, rows)
