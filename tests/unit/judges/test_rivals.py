"""Each rival's judge, on cases from that rival's own tests and from public threads about it.

Commits: fluxcd/flagger 15bd6ad5, argoproj/argo-rollouts 9f8d111d, spinnaker/kayenta a69573be.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from benchmarks.judges import argo, flagger, kayenta
from benchmarks.judges.traces import Cell, Trace, make
from benchmarks.judges.windows import success_rate

NAN = math.nan


def _checks(text: str) -> np.ndarray:
    """ "x.x" → failed, passed, failed: one replication."""
    return np.array([[c == "x"] for c in text])


# -- Flagger -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("checks", "threshold", "minute"),
    [
        # scheduler_deployment_test.go, TestScheduler_DeploymentRollback: at the threshold (10) the next advance fails.
        ("x" * 10 + "." * 5, 10, 11),
        ("x" * 9 + "." * 20, 10, math.inf),
        # scheduler.go:429-465: failures add up over any number of good checks between them (trap T1) ...
        ("x.........x", 2, 12),
        # ... and are compared before the tick's own analysis (trap T2): threshold 1 means two intervals.
        ("x", 1, 2),
    ],
)
def test_flagger_rolls_back_one_tick_after_its_failures_add_up(
    checks: str, threshold: int, minute: float
) -> None:
    assert flagger.judge(_checks(checks), threshold).rollback[0] == minute


def test_flagger_promotes_by_the_clock_and_a_failed_check_delays_it() -> None:
    assert flagger.judge(_checks("." * 12), 5, 10).promote[0] == 10
    assert flagger.judge(_checks("xx" + "." * 12), 5, 10).promote[0] == 12
    assert math.isinf(flagger.judge(_checks("." * 12), 5).promote[0])


def _trace(n_c: list[int], x_c: list[int], *, seen: bool = True, nan: bool = False) -> Trace:
    steps = len(n_c)
    column = np.array(n_c)[:, None], np.array(x_c)[:, None]
    no, yes = np.zeros((steps, 1), bool), np.ones((steps + 1, 1), bool)
    return Trace(
        n_s=column[0],
        n_c=column[0],
        x_s=column[1],
        x_c=column[1],
        lost_s=no,
        lost_c=no,
        seen_s=yes,
        seen_c=yes & seen,
        nan_s=~yes,
        nan_c=yes & nan,
        share=np.full(steps, 0.5),
    )


@pytest.mark.parametrize(
    ("trace", "failed"),
    [
        # scheduler_metrics_test.go, runMetricChecks/builtinMetric: a success rate inside the range passes.
        (_trace([100] * 4, [0] * 4), False),
        (_trace([100] * 4, [1] * 4), False),
        (_trace([100] * 4, [2, 1, 1, 1]), True),
        # scheduler_metrics_test.go, "no metric Template is defined, but a query is specified" and its kin: no value
        # is a failed check, and so is NaN (providers/prometheus.go:170).
        (_trace([100] * 4, [0] * 4, seen=False), True),
        (_trace([0] * 4, [0] * 4), True),
        (_trace([100] * 4, [0] * 4, nan=True), True),
    ],
    ids=["perfect", "at the minimum", "below", "no samples", "no traffic", "NaN"],
)
def test_flagger_takes_silence_for_failure(trace: Trace, failed: bool) -> None:
    assert bool(flagger.failed_checks(trace, 0.99)[0, 0]) is failed


# -- Argo Rollouts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "success", "failure", "phase"),
    [
        # prometheus_test.go, TestProcessNaNResponse
        (NAN, 0.9, 0.9, "Inconclusive"),
        (NAN, 0.9, None, "Failed"),
        # evaluate_test.go: no failure condition and not successful; no success condition and not failing; neither.
        (0.8, 0.9, None, "Failed"),
        (0.95, None, 0.9, "Successful"),
        (0.95, None, None, "Successful"),
        # The same two lines of evaluate.go with NaN: a failure condition alone fails open (trap T5).
        (NAN, None, 0.9, "Successful"),
        # evaluate_test.go: an expression over an empty result is an error.
        (None, 0.9, None, "Error"),
    ],
)
def test_argo_evaluates_a_measurement(
    value: float | None, success: float | None, failure: float | None, phase: str
) -> None:
    assert argo.measure(value, success, failure) == phase


FAILED, GOOD, ERROR, UNSURE = "Failed", "Successful", "Error", "Inconclusive"


@pytest.mark.parametrize(
    ("phases", "options", "phase", "stopped"),
    [
        # TestAssessMetricStatusNoMeasurements: stopped before any measurement is Successful (trap T4).
        ([], {}, "Pending", "Successful"),
        # TestAssessMetricStatusFailureLimit: 3 failures, limit 2, then limit 3.
        ([FAILED] * 3, {"failure_limit": 2}, "Failed", "Failed"),
        ([FAILED] * 3, {"failure_limit": 3}, "Running", "Successful"),
        # TestAssessMetricStatusInconclusiveLimit
        ([UNSURE] * 3, {"inconclusive_limit": 2}, "Inconclusive", "Inconclusive"),
        ([UNSURE] * 3, {"inconclusive_limit": 3}, "Running", "Successful"),
        # TestAssessMetricStatusConsecutiveErrors: 5 errs, 4 do not.
        ([ERROR] * 5, {}, "Error", "Error"),
        ([ERROR] * 4, {}, "Running", "Successful"),
        # TestAssessMetricStatusCountReached
        ([GOOD] * 10, {"count": 10}, "Successful", "Successful"),
        ([GOOD] * 5 + [UNSURE] * 5, {"count": 10}, "Inconclusive", "Inconclusive"),
    ],
)
def test_argo_assesses_a_metric(
    phases: list[argo.Phase], options: dict[str, Any], phase: str, stopped: str
) -> None:
    assert argo.assess(phases, **options) == phase
    assert argo.assess(phases, terminating=True, **options) == stopped


@pytest.mark.parametrize("seed", range(4))
def test_argo_on_many_traces_is_argo_on_each(seed: int) -> None:
    trace = make(Cell(2.0, 0.1, 0.02, nuisance="gaps"), 12, salt=seed)
    failed, erred = argo.failures(trace, 0.97, 20, 4)
    stops = argo.judge(failed, erred & False, 3, 4).rollback
    rate, empty = success_rate(trace, np.arange(4, trace.steps + 1, 4), 20)
    for run in range(12):
        phases: list[argo.Phase] = [
            argo.measure(None if empty[k, run] else float(rate[k, run]), 0.97, None) for k in range(len(rate))
        ]
        ends = [
            k + 1
            for k in range(len(phases))
            if argo.assess(phases[: k + 1], failure_limit=3, error_limit=99) == "Failed"
        ]
        assert stops[run] == (ends[0] if ends else math.inf)


# -- Kayenta -----------------------------------------------------------------------------------------------------


def _classify(canary: list[float], baseline: list[float], **options: object) -> str:
    return str(kayenta.classify(np.array([canary]), np.array([baseline]), **options)[0])  # type: ignore[arg-type]


SUITE: dict[str, object] = {"tolerance": 0.10, "confidence": 0.95, "direction": "either"}
RATIO: dict[str, object] = {**SUITE, "effect": (0.8, 1.2)}
CASES: list[tuple[str, Sequence[float], Sequence[float], dict[str, object], str]] = [
    ("mean ratio high", [20, 22, 21, 25, 30], [1, 2.2, 1.1, 2.5, 3], RATIO, "High"),
    (
        "mean ratio pass",
        [10, 12.2, 10.1, 12.5, 23],
        [20, 22, 21, 25, 30],
        {**SUITE, "effect": (0.5, 1.0)},
        "Pass",
    ),
    ("identical", [1, 2, 3, 4, 5], [5, 4, 3, 2, 1], {**SUITE, "direction": "decrease"}, "Pass"),
    ("leading zero", [0, 1, 1, 1, 1], [1, 1, 1, 1, 1], {**SUITE, "direction": "decrease"}, "Pass"),
    ("majority tied", [1, 1, 1, 1, 10], [1, 1, 1, 1, 1], SUITE, "Pass"),
    ("tied ranks", [10] * 5, [1] * 5, SUITE, "High"),
    ("tied ranks with zeros", [10] * 5, [0] * 5, SUITE, "High"),
    ("zero mean high", [54.9, 54.5, 55.1, 55.6, 57.4], [0] * 5, RATIO, "High"),
    ("zero mean low", [0] * 5, [54.9, 54.5, 55.1, 55.6, 57.4], RATIO, "Low"),
    ("zero mean pass", [0] * 5, [0] * 5, RATIO, "Pass"),
    ("missing data", [NAN] * 5, [1, 2, 3, 4, 5], SUITE, "Nodata"),
    ("spinnaker#6278: 7 of 10 points at 100", [100] * 7 + [1] * 3, [1] * 10, {"effect": (1.0, 1.05)}, "Pass"),
    ("spinnaker#6278: 8 of 10", [100] * 8 + [1] * 2, [1] * 10, {"effect": (1.0, 1.05)}, "High"),
    ("kayenta#426: sparse", [0, 1, 2, 1, 0, 0], [0] * 6, {}, "Pass"),
    (
        "kayenta#780: variability",
        [10.0, 10.1, 10.2, 10.3, 10.4, 10.5, 10.6, 17.0, 17.1, 17.2, 17.3, 17.4, 17.5, 17.6, 17.7],
        [1, 100, 4, 101, 5, 102, 6, 103, 7, 104, 8, 105, 9, 106, 17],
        {},
        "Pass",
    ),
]


@pytest.mark.parametrize(
    ("canary", "baseline", "options", "label"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_kayenta_classifies(
    canary: Sequence[float], baseline: Sequence[float], options: dict[str, object], label: str
) -> None:
    """ClassifierSuite.scala, and the public threads named."""
    floats = [float(v) for v in canary], [float(v) for v in baseline]
    assert _classify(*floats, **options) == label


def test_kayentas_interval_and_estimate() -> None:
    """MannWhitneySuite.scala, "Confidence Interval & Estimate"; and the figures printed in spinnaker#6278."""
    x, y = np.array([[10.0, 20.0, 30.0, 40.0]]), np.array([[1.0, 2.0, 3.0, 4.0]])
    low, high, estimate = (float(v[0]) for v in kayenta.interval(x, y, 0.95))
    assert (low, high, estimate) == pytest.approx((6.0, 39.0, 22.5), abs=1e-6)
    low, high, estimate = (
        float(v[0]) for v in kayenta.interval(np.array([[100.0] * 7 + [1.0] * 3]), np.array([[1.0] * 10]))
    )
    assert (low, high, estimate) == pytest.approx((6.825022991538781e-5, 99.0, 98.99992904170193), abs=1e-9)


def test_kayentas_statistic_is_the_rank_sum_with_ties() -> None:
    from scipy.stats import mannwhitneyu, norm

    rng = np.random.default_rng(9)
    for _ in range(20):
        x, y = rng.integers(0, 6, 12).astype(float), rng.integers(0, 6, 15).astype(float)
        ours = float(kayenta.statistic(np.zeros(1), x[None, :], y[None, :])[0])
        p = mannwhitneyu(x, y, method="asymptotic", alternative="two-sided").pvalue
        assert 2 * norm.sf(abs(ours)) == pytest.approx(p, rel=1e-9)
