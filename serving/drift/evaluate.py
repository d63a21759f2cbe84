"""The decision about one window: a yardstick, a sample and a policy in, a verdict out."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np

from serinus.bundle import Bundle
from serving.drift import statistics
from serving.drift.detector import Detector, DetectorFactory
from serving.drift.policy import Policy, share
from serving.drift.statistics import Counts, Floats
from serving.drift.verdict import ColumnVerdict, Quality, Verdict
from serving.drift.window import Sample

SCORE = "model score"
"""The score's name among the columns; with a space, so that no feature can have it."""


@dataclass(frozen=True)
class ColumnYardstick:
    """The reference of one column, prepared once. ``levels`` is 0 for a column of numbers.

    ``constant`` is the only value in the reference, if it has but one.
    ``unjudged`` says why its values are never compared; empty where they are.
    ``pooled`` maps a level's code to the code it is tested under: levels too
    rare for the chi-square approximation are tested together.
    """

    name: str
    detector: Detector | None
    rows: int
    missing: int
    levels: int
    edges: Floats
    counts: Counts
    constant: float | None
    unjudged: str
    pooled: Floats


@dataclass(frozen=True)
class Yardstick:
    """The reference of a bundle: what windows are held against."""

    features: tuple[ColumnYardstick, ...]
    score: ColumnYardstick

    @property
    def tests(self) -> int:
        """Tests per window that share its alpha: values and missing share of each feature, and the score."""
        compared = sum(not column.unjudged for column in self.features)
        return compared + len(self.features) + 1


def build_yardstick(bundle: Bundle, factory: DetectorFactory, window: int, policy: Policy) -> Yardstick:
    """Prepare a bundle's reference rows and scores for windows of ``window`` rows."""
    rows, levels = bundle.reference_rows, bundle.levels
    features = tuple(
        _column(
            f.name, rows[:, i], len(levels.get(f.name, ())), factory, window, policy, clock=f.part is not None
        )
        for i, f in enumerate(bundle.contract.features)
    )
    return Yardstick(features, _column(SCORE, bundle.reference_scores, 0, factory, window, policy))


def _column(
    name: str,
    reference: Floats,
    levels: int,
    factory: DetectorFactory,
    window: int,
    policy: Policy,
    *,
    clock: bool = False,
) -> ColumnYardstick:
    present = reference[~np.isnan(reference)]
    edges = np.empty(0) if levels else statistics.numeric_edges(present)
    counts = statistics.level_counts(present, levels) if levels else statistics.cell_counts(present, edges)
    pooled = np.arange(levels, dtype=np.float64)
    if levels and present.size:
        # A window must be expected to hold at least five of a level (Cochran's rule).
        pooled[counts / present.size * window < 5] = -1.0
    unjudged = ""
    if clock:
        # A window of minutes lies on one weekday and at one time of day; that is no drift of anything.
        unjudged = "a part of the time: a window holds only its own hours"
    elif present.size < policy.min_rows:
        unjudged = f"the reference has {present.size} values, {policy.min_rows} are needed"
    tested = pooled[present.astype(np.int64)] if levels else present
    return ColumnYardstick(
        name=name,
        detector=None if unjudged else factory(bool(levels), tested),
        rows=present.size,
        missing=reference.size - present.size,
        levels=levels,
        edges=edges,
        counts=counts,
        constant=float(present[0]) if present.size and (present == present[0]).all() else None,
        unjudged=unjudged,
        pooled=pooled,
    )


def evaluate(predictor: str, yardstick: Yardstick, sample: Sample, policy: Policy) -> Verdict:
    """Judge one window: drift of each feature and of the score, and the quality of the data apart."""
    threshold = share(policy.alpha, yardstick.tests)
    accepted = sample.vectors.shape[0]
    features = tuple(
        _judge(column, sample.vectors[:, i], sample.unknown[i], threshold, policy)
        for i, column in enumerate(yardstick.features)
    )
    score = _judge(yardstick.score, sample.scores, 0, threshold, policy)
    refused_ratio = 1 - accepted / sample.rows if sample.rows else 0.0
    excess = [_excess(column) for column in features]
    quality: Quality = "good"
    reasons = [f"{c.name}: {c.missing_ratio or 0:.1%} missing" for c in features if c.quality == "bad"]
    if sample.rows < policy.min_rows:
        quality, reasons = "no_data", [f"{sample.rows} rows, {policy.min_rows} are needed"]
    elif refused_ratio > policy.max_excess:
        worst = max(sample.refused, key=lambda name: sample.refused[name])
        reasons.append(f"{refused_ratio:.1%} of the rows refused by the contract, most for {worst}")
    if quality == "good" and reasons:
        quality = "bad"
    return Verdict(
        predictor=predictor,
        rows=sample.rows,
        refused=sample.rows - accepted,
        p_threshold=threshold,
        features=features,
        score=score,
        quality=quality,
        quality_score=1 - max([refused_ratio, *excess]) if sample.rows else None,
        quality_reason="; ".join(reasons),
    )


def _judge(
    column: ColumnYardstick, values: Floats, unknown: int, threshold: float, policy: Policy
) -> ColumnVerdict:
    present = values[~np.isnan(values)]
    verdict = _drift(column, present, threshold, policy)
    if values.size < policy.min_rows or column.rows + column.missing < policy.min_rows:
        return verdict
    absent = values.size - present.size
    reference_ratio = column.missing / (column.rows + column.missing)
    ratio = absent / values.size
    p_value = statistics.more_often(absent, values.size, column.missing, column.rows + column.missing)
    bad = p_value <= threshold and ratio - reference_ratio > policy.max_excess
    return msgspec.structs.replace(
        verdict,
        quality="bad" if bad else "good",
        missing_ratio=ratio,
        reference_missing_ratio=reference_ratio,
        unknown_ratio=unknown / values.size,
        missing_p_value=p_value,
    )


def _drift(column: ColumnYardstick, present: Floats, threshold: float, policy: Policy) -> ColumnVerdict:
    def no_data(reason: str) -> ColumnVerdict:
        return ColumnVerdict(name=column.name, status="no_data", reason=reason, rows=present.size)

    if column.detector is None:
        return no_data(column.unjudged)
    if present.size < policy.min_rows:
        return no_data(f"{present.size} values, {policy.min_rows} are needed")
    if column.constant is not None and (present == column.constant).all():
        return no_data(f"constant at {column.constant:g}, as in the reference")
    if column.levels:
        counts = statistics.level_counts(present, column.levels)
        tested = column.pooled[present.astype(np.int64)]
    else:
        counts, tested = statistics.cell_counts(present, column.edges), present
    test = column.detector.compare(tested)
    psi = statistics.population_stability_index(column.counts, counts)
    cells = statistics.occupied(column.counts, counts)
    limit = max(
        policy.min_psi,
        statistics.psi_null_quantile(column.rows, present.size, cells, policy.psi_quantile),
    )
    if np.isnan(test.p_value):
        # Neither a pass nor a fail: a test that has no answer says nothing.
        return no_data("the test has no p-value")
    evidence, effect = test.p_value <= threshold, psi > limit
    reason = (
        f"p {test.p_value:.2g} {'≤' if evidence else '>'} {threshold:.2g}, "
        f"PSI {psi:.3f} {'>' if effect else '≤'} {limit:.3f}"
    )
    return ColumnVerdict(
        name=column.name,
        status="drift" if evidence and effect else "stable",
        reason=reason,
        rows=present.size,
        p_value=test.p_value,
        distance=test.distance,
        psi=psi,
        psi_limit=limit,
    )


def _excess(column: ColumnVerdict) -> float:
    if column.missing_ratio is None or column.reference_missing_ratio is None:
        return 0.0
    return max(0.0, column.missing_ratio - column.reference_missing_ratio)
