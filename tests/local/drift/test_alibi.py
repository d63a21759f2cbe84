"""Alibi Detect's six detectors behind the port: the same tests on 0.13 (Python 3.12) and 0.11.4 (Python 3.11)."""

import sys
from typing import Any

import numpy as np
import pytest

from serinus.watching.online import Calibration, OnlinePlan, Stream, cvm, fisher
from serving.drift.alibi import AlibiLibrary
from serving.drift.alibi_online import Numbers, Share
from serving.drift.detector import Direction, OnlineDetector, OnlineState, TwoSample
from serving.drift.plain import NumpyLibrary

pytestmark = pytest.mark.local

PLAN = OnlinePlan(reference=60, windows=(10, 25), ert=100, streams=1500)
ALIBI, OURS = AlibiLibrary(), NumpyLibrary()
DIRECTIONS: tuple[Direction, ...] = ("more", "fewer")


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    reference = np.sort(np.random.default_rng(1).normal(size=PLAN.reference))
    more, fewer = fisher.thresholds(60, 400, PLAN)
    return Calibration(
        plan=PLAN,
        cvm=cvm.configure(PLAN),
        streams=(
            Stream(name="amount", test="cvm", reference=tuple(reference.tolist())),
            Stream(
                name="declined",
                test="fet",
                hits=60,
                rows=400,
                more=tuple(more.tolist()),
                fewer=tuple(fewer.tolist()),
            ),
        ),
    )


def detectors(library: Any, calibration: Calibration) -> list[OnlineDetector]:
    number, share = calibration.streams
    return [library.online_numbers(number, calibration)] + [
        library.online_share(share, calibration, direction) for direction in DIRECTIONS
    ]


def values(k: int, n: int, seed: int = 2) -> list[float]:
    random = np.random.default_rng(seed)
    if k == 0:
        return random.normal(size=n).tolist()
    return (random.random(n) < 0.15).astype(float).tolist()


# --- batch -----------------------------------------------------------------
def close(found: TwoSample, expected: TwoSample) -> None:
    assert found.distance == pytest.approx(expected.distance, rel=1e-5)
    # The asymptotic p-values differ by a correction for small samples.
    assert found.p_value == pytest.approx(expected.p_value, rel=0.35)


def test_the_batch_detectors_say_what_our_own_say() -> None:
    random = np.random.default_rng(3)
    numbers, moved = random.normal(size=2000), random.normal(0.15, 1, size=500)
    codes, mixed = (
        random.integers(0, 4, 2000).astype(float),
        random.choice(4, 500, p=[0.31, 0.23, 0.23, 0.23]),
    )
    scores, other = random.beta(1, 9, 2000), random.beta(1.2, 9, 500)
    close(ALIBI.numbers(numbers).compare(moved), OURS.numbers(numbers).compare(moved))
    close(ALIBI.levels(codes).compare(mixed.astype(float)), OURS.levels(codes).compare(mixed.astype(float)))
    close(ALIBI.uncertainty(scores).compare(other), OURS.uncertainty(scores).compare(other))
    rows, window = np.stack([numbers, codes], axis=1), np.stack([moved, mixed.astype(float)], axis=1)
    close(ALIBI.rows(rows, [1]).compare(window), OURS.rows(rows, [1]).compare(window))


def test_missing_values_blind_alibi_detect_or_count_as_the_largest_which_is_why_they_are_split_off() -> None:
    random = np.random.default_rng(3)
    detector, clean, shifted = (
        ALIBI.numbers(random.normal(size=2000)),
        random.normal(size=500),
        random.normal(3, 1, size=500),
    )
    assert detector.compare(clean).p_value > 1e-3
    assert detector.compare(shifted).p_value < 1e-30
    clean[::8] = shifted[::8] = np.nan
    if sys.version_info >= (3, 12):
        assert np.isnan(detector.compare(shifted).p_value), (
            "its scipy gives no answer, which it takes for no drift"
        )
    else:
        assert detector.compare(clean).p_value < 1e-3, (
            "its scipy sorts them last, and what is missing is drift"
        )


# --- online ----------------------------------------------------------------
@pytest.mark.parametrize("k", [0, 1, 2], ids=["numbers", "more", "fewer"])
def test_the_online_detectors_read_what_our_own_read(calibration: Calibration, k: int) -> None:
    theirs, ours = (detectors(library, calibration)[k] for library in (ALIBI, OURS))
    for i, value in enumerate(values(k, 120)):
        found, expected = theirs.update(value), ours.update(value)
        assert np.isnan(found.statistic) == (i < PLAN.windows[0] - 1)
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-6, nan_ok=True)


@pytest.mark.parametrize("k", [0, 1, 2], ids=["numbers", "more", "fewer"])
def test_what_is_trimmed_changes_no_statistic_and_the_state_stays_as_it_is(
    calibration: Calibration, k: int
) -> None:
    trimmed, hoarding = (detectors(ALIBI, calibration)[k] for _ in range(2))
    assert isinstance(hoarding, Numbers | Share)
    hoarding._trim = lambda: None  # pyright: ignore[reportAttributeAccessIssue]
    sizes: list[int] = []
    for value in values(k, 300):
        assert trimmed.update(value) == pytest.approx(hoarding.update(value), nan_ok=True)
        sizes.append(held(trimmed))
    assert len(set(sizes[2 * PLAN.windows[-1] :])) == 1
    assert held(hoarding) > 2 * sizes[-1], "what Alibi Detect keeps if it is left alone"


def held(detector: Any) -> int:
    """Bytes of all arrays that a detector of Alibi Detect holds beside its reference and thresholds."""
    inner = detector._detector
    return sum(np.asarray(getattr(inner, key)).nbytes for key in inner.online_state_keys)


@pytest.mark.parametrize("rows", [0, 3, 10, 24, 25, 49, 180])
@pytest.mark.parametrize("library", [ALIBI, OURS], ids=["alibi", "numpy"])
def test_a_restart_goes_on_to_the_bit(calibration: Calibration, library: Any, rows: int) -> None:
    for k in range(3):
        first, second = (detectors(library, calibration)[k] for _ in range(2))
        for value in values(k, rows):
            first.update(value)
        kept = first.state()
        assert len(kept.values) <= PLAN.windows[-1]
        second.restore(kept)
        for value in values(k, 60, seed=5):
            assert first.update(value) == pytest.approx(second.update(value), rel=0, abs=0, nan_ok=True)
        assert first.state() == second.state()


def test_a_state_of_one_library_is_read_by_the_other(calibration: Calibration) -> None:
    for k in range(3):
        theirs, ours = (detectors(library, calibration)[k] for library in (ALIBI, OURS))
        for value in values(k, 70):
            theirs.update(value)
        ours.restore(theirs.state())
        assert ours.update(1.0) == pytest.approx(theirs.update(1.0), rel=1e-5, abs=1e-6)


def test_thresholds_are_the_bundles_and_nothing_is_simulated(
    calibration: Calibration, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("it simulates thresholds of its own")

    for module in ("cvm_online", "fet_online"):
        monkeypatch.setattr(sys.modules[f"alibi_detect.cd.{module}"].np.random, "randn", never)
        monkeypatch.setattr(sys.modules[f"alibi_detect.cd.{module}"].np.random, "choice", never)
    readings = [[d.update(v).threshold for v in values(1, 60)] for d in detectors(ALIBI, calibration)]
    stream, first = calibration.streams[1], PLAN.windows[0] - 1
    for found, kept in zip(readings, (calibration.cvm, stream.more, stream.fewer), strict=True):
        assert found[first : PLAN.steps] == list(kept)
        assert set(found[PLAN.steps :]) == {kept[-1]}


def test_alibis_own_rule_gives_the_same_thresholds_for_the_same_simulated_streams() -> None:
    simulated = np.concatenate(list(cvm.simulate(PLAN)), axis=1)
    early = np.full((PLAN.windows[0] - 1, PLAN.streams), np.nan)

    import serving.drift.alibi_online as module

    class Simulated(module.CVMDriftOnline):
        def _simulate_streams(self, t_max: int) -> Any:
            return np.concatenate([early, simulated]).T[:, :, None]

    reference = np.random.default_rng(1).normal(size=(PLAN.reference, 1))
    theirs = Simulated(reference, PLAN.ert, list(PLAN.windows), n_bootstraps=PLAN.streams, verbose=False)
    own = cvm.thresholds(simulated, PLAN.ert)
    assert theirs.thresholds[PLAN.windows[0] - 1 :, 0] == pytest.approx(own, rel=1e-12)


def test_alibis_own_thresholds_are_near_those_of_the_same_draws() -> None:
    """Not equal: its simulation takes each window's values one row earlier than the window, its detector does not."""
    import serving.drift.alibi_online as module

    source: Any = sys.modules["alibi_detect.cd.cvm_online"]
    compiled = source._ids_to_stats
    source._ids_to_stats = compiled.py_func  # compiling takes a minute
    try:
        np.random.seed(3)
        x = np.random.RandomState(9).randn(40, 1)
        theirs = module.CVMDriftOnline(x, 50, [5, 15], n_bootstraps=1500, batch_size=1500, verbose=False)
    finally:
        source._ids_to_stats = compiled
    draws = np.random.RandomState(3).randn(1500, 40 + 29)
    ranks = [np.searchsorted(np.sort(d[:40]), d[40:], side="right") for d in draws]
    own = cvm.thresholds(cvm.statistics(np.array(ranks, np.int32).T.copy(), 40, (5, 15)), 50)
    assert theirs.thresholds[4:, 0] == pytest.approx(own, rel=0.06)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_alibi_simulates_the_same_fisher_statistics_for_the_same_draws(
    calibration: Calibration, direction: Direction
) -> None:
    detector = ALIBI.online_share(calibration.streams[1], calibration, direction)
    assert isinstance(detector, Share)
    inner = detector._detector
    inner.n_bootstraps = 50
    np.random.seed(3)
    theirs = np.nanmax(inner._simulate_streams(inner.x_ref[:, 0], None)[:, PLAN.windows[0] - 1 :], axis=-1)
    np.random.seed(3)
    share = float(np.mean(inner.x_ref))
    ones = np.random.choice([False, True], (50, PLAN.steps), p=[1 - share, share])
    ours = fisher.statistics(ones.T, 60, 400, PLAN, direction)
    assert pytest.approx(theirs, abs=2e-6) == ours.T


@pytest.mark.parametrize("k", [0, 1], ids=["numbers", "more"])
def test_a_shift_crosses_and_an_empty_state_starts_anew(calibration: Calibration, k: int) -> None:
    detector = detectors(ALIBI, calibration)[k]
    shifted = [3.0 + v for v in values(0, 50)] if k == 0 else [1.0] * 50
    assert not any(detector.update(value).crossed for value in values(k, 40))
    assert any(detector.update(value).crossed for value in shifted)
    detector.restore(OnlineState())
    assert np.isnan(detector.update(0.0).statistic)
