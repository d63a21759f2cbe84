"""Code broken on purpose: each mutant must be caught by a law."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from serinus.watching import Detector, Plan, Tally, ball, bets, detector, reporting, sketch
from serinus.watching.detector import Detector as Watch

from . import laws, test_detector, test_sketch

Floats = laws.Floats


def _no_tolerance(patch: pytest.MonkeyPatch) -> None:
    """The null is the reference alone."""
    real = ball.log_payoff
    patch.setattr(ball, "log_payoff", lambda payoff, centre, radius: real(payoff, centre, 0 * radius))


def _bets_see_the_look(patch: pytest.MonkeyPatch) -> None:
    """The learning bets know the look that they are settled on."""

    def learnt(self: Watch, read: reporting.Reading, stratum: int, grouped: Floats) -> Floats:
        c = self.columns
        centre = c.centre_grouped[stratum]
        seen = grouped / grouped.sum(axis=1, keepdims=True)
        payoff = np.maximum(seen / np.maximum(centre, 1e-9), 0.05)
        logs = ball.log_payoff(payoff, centre, c.radius[stratum])
        return np.repeat(np.einsum("fk,fk->f", grouped, logs)[:, None], len(bets.MEMORIES), axis=1)

    patch.setattr(detector.Detector, "_learnt", learnt)


def _rounding_up(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(detector, "floor32", lambda values: (values * 1.01 + 0.01).astype("<f4"))


@pytest.mark.parametrize("mutate", [_no_tolerance, _bets_see_the_look, _rounding_up])
def test_evidence_from_nothing_is_caught_by_the_exact_mean(
    monkeypatch: pytest.MonkeyPatch, mutate: Callable[[pytest.MonkeyPatch], None]
) -> None:
    mutate(monkeypatch)
    base, plan = laws.three_cells(), Plan(min_rows=1, tolerance=0.02)
    watch = Detector(plan, base)
    means = laws.look_means(watch, watch.start(), laws.on_the_edge(base, plan, np.array([0.0, 0.0, 1.0])), 4)
    assert means.max() > 1 + 1e-6, "the law does not see the mutant"


def test_a_detector_that_never_fires_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        ball, "shrunk", lambda deviation, centre, radius, noise: np.ones_like(deviation + centre)
    )
    with pytest.raises(AssertionError):
        test_detector.test_it_fires_on_a_shift_that_matters_and_names_the_column(test_detector._moved, "age")


def test_a_sketch_that_drops_a_value_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Tally._count
    monkeypatch.setattr(sketch.Tally, "_count", lambda self, rows, first: real(self, rows[:-1], first))
    with pytest.raises(AssertionError):
        test_sketch.test_counts_are_those_of_a_histogram(8)


def test_a_verdict_without_effect_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting.Effect, "material", lambda self, band: True)
    with pytest.raises(AssertionError):
        test_detector.test_evidence_without_effect_is_no_drift()


def test_a_memory_of_values_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Tally._count

    def hoarding(self: Tally, rows: Floats, first: int) -> None:
        held = getattr(self, "_hoard", np.empty((0, 1)))
        object.__setattr__(self, "_hoard", np.concatenate([held, rows[:, :1]]))
        real(self, rows, first)

    monkeypatch.setattr(sketch.Tally, "_count", hoarding)
    with pytest.raises(AssertionError):
        test_sketch.test_memory_does_not_grow()
