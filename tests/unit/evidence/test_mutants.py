"""Code broken on purpose: each mutant must be caught by a named law."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
import pytest

from serinus.evidence import Evidence, Guard, Plan, Sample, deltas, grid, primitive, start, updating
from serinus.evidence.types import Counter
from tests.unit.evidence import laws

HISTORY = [(300, 20, 3, 1), (280, 25, 2, 0), (310, 22, 4, 2)]


def _replace_counters(sample: Sample, fill: Callable[[Counter], Counter]) -> Sample:
    def arm(sources: dict[str, dict[str, Counter]]) -> dict[str, dict[str, Counter]]:
        return {s: {m: fill(c) for m, c in counters.items()} for s, counters in sources.items()}

    return msgspec.structs.replace(sample, stable=arm(sample.stable), canary=arm(sample.canary))


def _overlapping_windows(patch: pytest.MonkeyPatch) -> None:
    carry, turn = deltas.carry, iter(range(10**6))
    patch.setattr(deltas, "carry", lambda old, new: carry(old, new if next(turn) % 2 == 0 else old))


def _double_counted_scrape(patch: pytest.MonkeyPatch) -> None:
    deltas_of = deltas.deltas_of

    def from_zero(
        old: deltas.Counters, new: deltas.Counters, edges: dict[str, int]
    ) -> dict[str, deltas.Delta]:
        zero = deltas.Counters(old.spans, np.zeros_like(old.values))
        return deltas_of(zero, new, edges)

    patch.setattr(deltas, "deltas_of", from_zero)


def _nominal_weight(patch: pytest.MonkeyPatch) -> None:
    """Binomial at the declared weight of 10 %, whatever traffic really came."""

    def nominal(
        n_c: int, n_s: int, bad_c: np.ndarray, bad_s: np.ndarray, thetas: tuple[float, ...]
    ) -> np.ndarray:
        psi = np.exp(np.asarray(thetas))
        p = 0.1 * psi / (0.1 * psi + 0.9)
        return bad_c[:, None] * np.log(p) + bad_s[:, None] * np.log(1 - p)

    patch.setattr(primitive, "log_likelihoods", nominal)


def _nan_is_success(patch: pytest.MonkeyPatch) -> None:
    read = deltas.read

    def fill(counter: Counter) -> Counter:
        n = 200.0 if np.isnan(counter.n) else counter.n
        return Counter(n, tuple(1.0 if np.isnan(b) else b for b in counter.bad))

    patch.setattr(deltas, "read", lambda sample, metrics: read(_replace_counters(sample, fill), metrics))


def _nan_is_failure(patch: pytest.MonkeyPatch) -> None:
    read = deltas.read

    def fill(counter: Counter) -> Counter:
        n = 200.0 if np.isnan(counter.n) else counter.n
        return Counter(n, tuple(n if np.isnan(b) else b for b in counter.bad))

    patch.setattr(deltas, "read", lambda sample, metrics: read(_replace_counters(sample, fill), metrics))


def _two_sided(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(updating, "grid_of", lambda guard: grid._grid("both", guard.margin_ratio))
    patch.setattr("serinus.evidence.judging.grid_of", lambda guard: grid._grid("both", guard.margin_ratio))


def _counters_forgotten(plan: Plan, evidence: Evidence) -> Evidence:
    return msgspec.structs.replace(laws.by_json(plan, evidence), baseline=b"")


def _evidence_forgotten(plan: Plan, evidence: Evidence) -> Evidence:
    return msgspec.structs.replace(laws.by_json(plan, evidence), guards=start(plan).guards)


def _onsets_forgotten(plan: Plan, evidence: Evidence) -> Evidence:
    return msgspec.structs.replace(laws.by_json(plan, evidence), epoch=0)


def _nan_law() -> None:
    for broken in ((float("nan"), float("nan")), (200.0, float("nan")), (float("nan"), 2.0)):
        laws.what_cannot_be_read_is_not_evidence(broken)


PATCHED = [
    ("overlapping windows", _overlapping_windows, lambda: laws.every_unit_counts_once(HISTORY)),
    ("double-counted scrape", _double_counted_scrape, lambda: laws.every_unit_counts_once(HISTORY)),
    (
        "nominal weight in place of margins",
        _nominal_weight,
        lambda: laws.evidence_is_a_supermartingale(HISTORY, (60, 40, 12)),
    ),
    ("NaN as success", _nan_is_success, _nan_law),
    ("NaN as failure", _nan_is_failure, _nan_law),
    ("two-sided where one-sided is meant", _two_sided, laws.a_better_canary_is_never_harm),
]


@pytest.mark.parametrize(("name", "mutate", "law"), PATCHED, ids=[name for name, _, _ in PATCHED])
def test_the_law_holds_and_its_mutant_dies(
    name: str,
    mutate: Callable[[pytest.MonkeyPatch], None],
    law: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    law()
    mutate(monkeypatch)
    with pytest.raises(AssertionError):
        law()


@pytest.mark.parametrize("forget", [_counters_forgotten, _evidence_forgotten, _onsets_forgotten])
def test_evidence_lost_on_restart_is_noticed(forget: Callable[[Plan, Evidence], Evidence]) -> None:
    batches = HISTORY * 10  # past the first onset, so that a forgotten epoch shows
    laws.a_restart_changes_nothing(batches)
    with pytest.raises(AssertionError):
        laws.a_restart_changes_nothing(batches, restart=forget)


def test_a_scrape_delivered_twice_under_a_later_time_still_counts_once() -> None:
    plan = Plan(guards=(Guard(name="errors", metric="errors"),))
    samples = laws.scrapes(HISTORY)
    late = msgspec.structs.replace(samples[-1], at=samples[-1].at + 1)
    once, twice = laws.gather(plan, samples), laws.gather(plan, [*samples, late])
    assert twice.guards == once.guards
