import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.drift.window import Reservoir, Window


@settings(deadline=None)
@given(st.integers(1, 20), st.lists(st.integers(0, 30), max_size=8), st.integers(0, 99))
def test_a_sample_is_of_what_came_without_repeats_in_order(size: int, batches: list[int], seed: int) -> None:
    reservoir, came = Reservoir(size, 1, seed), 0
    for batch in batches:
        reservoir.add(np.arange(came, came + batch, dtype=float).reshape(-1, 1))
        came += batch
    sample = reservoir.take()[:, 0]
    assert len(sample) == min(size, came)
    assert (np.diff(sample) > 0).all()
    assert ((sample >= 0) & (sample < came)).all()
    assert reservoir.seen == 0


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_everything_that_came_is_as_likely_to_be_in_the_sample(batch: int) -> None:
    hits = np.zeros(70)
    for seed in range(3000):
        reservoir = Reservoir(14, 1, seed)
        for begin in range(0, 70, batch):
            reservoir.add(np.arange(begin, min(70, begin + batch), dtype=float).reshape(-1, 1))
        hits[reservoir.take()[:, 0].astype(int)] += 1
    # A fifth each; 70 binomial shares of 3,000, none beyond 4.5 standard deviations.
    assert np.abs(hits / 3000 - 0.2).max() < 4.5 * np.sqrt(0.2 * 0.8 / 3000)


def test_a_closed_window_starts_anew() -> None:
    window = Window(100, 2, 5.0)
    window.add(np.ones((150, 2)))
    window.add_scores(np.full(30, 0.5))
    assert (window.rows, window.full) == (150, True)
    sample = window.close(9.0)
    assert (sample.vectors.shape, sample.scores.shape) == ((100, 2), (30,))
    assert (window.rows, window.full, window.opened) == (0, False, 9.0)
