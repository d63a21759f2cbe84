"""The decision about one look: what the evidence and the window tests say, and a policy, in; a verdict out."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from serinus.bundle import Bundle
from serinus.contract import Contract
from serinus.watching import Baseline, Column, Report, ShareReport, Sketch, build_baseline, effect
from serinus.watching.bins import Floats
from serinus.watching.online import kind_of
from serving.drift.detector import Detector, DetectorFactory
from serving.drift.policy import Policy, share
from serving.drift.verdict import ColumnVerdict, Quality, Status, TestResult, Verdict
from serving.drift.window import Sample


@dataclass(frozen=True)
class ColumnYardstick:
    """The reference of one column for the window tests. ``levels`` is 0 for a column of numbers.

    ``detector`` is None where values are never compared, and ``unjudged`` says why.
    ``pooled`` maps a level's code to the code it is tested under: levels too
    rare for the chi-square approximation are tested together.
    """

    name: str
    detector: Detector | None
    levels: int
    unjudged: str
    pooled: Floats


@dataclass(frozen=True)
class Yardstick:
    """The reference of a bundle: bins for the evidence, detectors for the window tests."""

    baseline: Baseline
    features: tuple[ColumnYardstick, ...]
    score: ColumnYardstick

    @property
    def tests(self) -> int:
        """Tests per window that share its alpha: the values of each compared feature, and the score's."""
        return sum(column.detector is not None for column in (*self.features, self.score))


def baseline_of(bundle: Bundle) -> Baseline:
    """The bins of a bundle's reference rows and scores.

    Parts of the time are counted and never judged: a look of minutes lies on one weekday and at one time of day. The
    valid range is the contract's; where it sets none no value is out of range, and one beyond the reference is drift.
    """
    contract, levels = bundle.contract, bundle.levels
    return build_baseline(
        contract.feature_names,
        bundle.reference_rows,
        bundle.reference_scores,
        levels={name: len(known) for name, known in levels.items()},
        unwatched=[f.name for f in contract.features if f.part is not None],
        bounds={f.name: _bounds(contract, i) for i, f in enumerate(contract.features)},
    )


def _bounds(contract: Contract, i: int) -> tuple[float, float]:
    feature = contract.features[i]
    column = contract.source(feature)
    if column is None or feature.aggregate is not None or feature.part is not None:
        return -math.inf, math.inf
    return (
        -math.inf if column.min is None else column.min,
        math.inf if column.max is None else column.max,
    )


def build_yardstick(
    bundle: Bundle, factory: DetectorFactory | None, window: int, policy: Policy
) -> Yardstick:
    """Prepare a bundle's reference for windows of ``window`` rows; without a factory no window is tested."""
    baseline, rows = baseline_of(bundle), bundle.reference_rows
    *columns, score = baseline.columns
    flags = [kind_of(bundle.contract, f, bundle.levels) == "flag" for f in bundle.contract.features]
    return Yardstick(
        baseline,
        tuple(_column(c, rows[:, i], factory, window, policy, flag=flags[i]) for i, c in enumerate(columns)),
        _column(score, bundle.reference_scores, factory, window, policy),
    )


def _column(
    column: Column,
    reference: Floats,
    factory: DetectorFactory | None,
    window: int,
    policy: Policy,
    *,
    flag: bool = False,
) -> ColumnYardstick:
    present = reference[~np.isnan(reference)]
    levels = column.cells if column.kind == "category" else 0
    pooled = np.arange(levels, dtype=np.float64)
    if levels and present.size:
        # A window must be expected to hold at least five of a level (Cochran's rule).
        pooled[np.sum(column.counts, axis=0) / present.size * window < 5] = -1.0
    unjudged = ""
    if factory is None:
        unjudged = "no window tests"
    elif present.size < policy.min_rows:
        unjudged = f"the reference has {present.size} values, {policy.min_rows} are needed"
    elif not column.watched:
        unjudged = "a part of the time: a window holds only its own hours"
    tested = pooled[present.astype(np.int64)] if levels else present
    return ColumnYardstick(
        name=column.name,
        detector=factory(bool(levels) or flag, tested) if factory and not unjudged else None,
        levels=levels,
        unjudged=unjudged,
        pooled=pooled,
    )


def run_tests(yardstick: Yardstick, sample: Sample, policy: Policy) -> tuple[TestResult, ...]:
    """The two-sample tests of one window, for each feature and for the score last."""
    columns = [sample.vectors[:, i] for i in range(len(yardstick.features))]
    return tuple(
        _test(yard, column, values, policy)
        for yard, column, values in zip(
            (*yardstick.features, yardstick.score),
            yardstick.baseline.columns,
            (*columns, sample.scores),
            strict=True,
        )
    )


def _test(yard: ColumnYardstick, column: Column, values: Floats, policy: Policy) -> TestResult:
    # The missing ones are split off: a two-sample test that meets a NaN is silently blind.
    present = values[~np.isnan(values)]
    if yard.detector is None or present.size < policy.min_rows:
        return TestResult(rows=present.size)
    tested = yard.pooled[present.astype(np.int64)] if yard.levels else present
    found = yard.detector.compare(tested)
    counts = np.bincount(np.searchsorted(column.edges, present, side="right"), minlength=column.cells)
    return TestResult(
        rows=present.size,
        # A test that has no answer says nothing: neither a pass nor a fail.
        p_value=None if math.isnan(found.p_value) else found.p_value,
        distance=None if math.isnan(found.distance) else found.distance,
        effect=effect(
            column, counts.astype(np.float64), minimum=policy.min_rows, quantile=policy.psi_quantile
        ),
    )


def evaluate(
    predictor: str,
    yardstick: Yardstick,
    report: Report,
    sketch: Sketch,
    tests: tuple[TestResult, ...] | None,
    policy: Policy,
) -> Verdict:
    """Judge one look: drift of each feature and of the score, and the quality of the data apart.

    Args:
        report: what the e-detector says after the look; ``sketch``: what the look held.
        tests: of the last window that was tested; None before the first.
    """
    p_threshold = share(policy.alpha, yardstick.tests)
    of_column: dict[str, dict[str, ShareReport]] = {}
    for found in report.shares:
        of_column.setdefault(found.column, {})[found.kind] = found
    columns = tuple(
        _judge(policy, p_threshold, report, i, tests[i] if tests else None, of_column.get(found.name, {}))
        for i, found in enumerate(report.columns)
    )
    excess = [s.share - s.reference_share for s in report.shares if s.share is not None]
    return Verdict(
        predictor=predictor,
        rows=sketch.rows,
        refused=sketch.refused,
        looks=report.looks,
        evidence_log10=report.log10_e,
        column_threshold_log10=report.columns[0].threshold_log10,
        quality_threshold_log10=report.shares[0].threshold_log10,
        p_threshold=p_threshold,
        features=columns[:-1],
        score=columns[-1],
        quality=report.quality,
        quality_score=1 - max(0.0, *excess) if excess else None,
        quality_reason="; ".join(_said(s) for s in report.bad),
        shares=report.shares,
    )


def _said(found: ShareReport) -> str:
    where = f"{found.column}: " if found.column else ""
    what = {"outside": "out of range", "refused": "of the rows refused by the contract"}.get(
        found.kind, found.kind
    )
    return f"{where}{found.share or 0:.1%} {what}, {found.reference_share:.1%} in the reference"


def _judge(
    policy: Policy,
    p_threshold: float,
    report: Report,
    i: int,
    test: TestResult | None,
    shares: dict[str, ShareReport],
) -> ColumnVerdict:
    column = report.columns[i]
    by_test = policy.decides == "tests"
    found = test.effect if by_test and test else None if by_test else column.effect
    limit = None if found is None else max(policy.min_psi, found.psi_null)
    status, reason = (
        _by_tests(policy, p_threshold, test, limit) if by_test else (column.status, column.reason)
    )
    qualities = {s.quality for s in shares.values()}
    quality: Quality = "bad" if "bad" in qualities else "good" if "good" in qualities else "no_data"
    return ColumnVerdict(
        name=column.name,
        status=status,
        reason=reason,
        rows=0 if found is None else round(found.n),
        evidence_log10=None if column.reason.startswith("not judged") else column.log10_e,
        effect=found,
        psi_limit=limit,
        test=test,
        quality=quality,
        missing_ratio=_ratio(shares, "missing"),
        unknown_ratio=_ratio(shares, "unknown"),
        outside_ratio=_ratio(shares, "outside"),
    )


def _by_tests(
    policy: Policy, p_threshold: float, test: TestResult | None, limit: float | None
) -> tuple[Status, str]:
    if test is None:
        return "no_data", "no window was tested yet"
    if test.p_value is None or test.effect is None or limit is None:
        return "no_data", f"no test of {test.rows} values"
    evidence, material = test.p_value <= p_threshold, test.effect.psi > limit
    return (
        "drift" if evidence and material else "stable",
        f"p {test.p_value:.2g} {'≤' if evidence else '>'} {p_threshold:.2g}, "
        f"PSI {test.effect.psi:.3f} {'>' if material else '≤'} {limit:.3f}",
    )


def _ratio(shares: dict[str, ShareReport], kind: str) -> float | None:
    return shares[kind].share if kind in shares else None
