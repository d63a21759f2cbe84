"""Sketches: what they count, and that they add."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serinus.errors import SerinusError
from serinus.watching import SCORE, Baseline, Sketch, Tally, build_baseline, decode, empty

from . import worlds

BASE = worlds.baseline()


def _sketch(seed: int, n: int) -> Sketch:
    rng = np.random.default_rng(seed)
    rows = worlds.draw(rng, n)
    rows[rng.random(rows.shape) < 0.1] = np.nan
    tally = Tally(BASE)
    tally.add(rows, at=float(seed), refused=seed % 3)
    tally.add_scores(rng.random(n))
    return tally.take()


sketches = st.builds(_sketch, st.integers(0, 10_000), st.integers(0, 40))


def _same(a: Sketch, b: Sketch) -> None:
    for name in a.__struct_fields__:
        if name in ("sums", "squares"):
            np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=1e-9, atol=1e-9)
        else:
            assert getattr(a, name) == getattr(b, name), name


@settings(max_examples=40, deadline=None)
@given(sketches, sketches, sketches)
def test_sketches_are_a_commutative_monoid_and_survive_the_wire(a: Sketch, b: Sketch, c: Sketch) -> None:
    _same(a + b, b + a)
    _same((a + b) + c, a + (b + c))
    _same(a + empty(BASE), a)
    assert decode(a.encode()) == a


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 3000), st.integers(1, 7))
def test_counting_in_pieces_counts_what_counting_at_once_does(seed: int, n: int, pieces: int) -> None:
    rng = np.random.default_rng(seed)
    rows = worlds.draw(rng, n)
    rows[rng.random(rows.shape) < 0.05] = np.nan
    whole, parts = Tally(BASE), Tally(BASE)
    whole.add(rows)
    for piece in np.array_split(rows, pieces):
        parts.add(piece)
    _same(whole.take(), parts.take())


@pytest.mark.parametrize("n", [1, 7, 8, 1024, 1025, 5000])
def test_counts_are_those_of_a_histogram(n: int) -> None:
    rng = np.random.default_rng(n)
    rows = worlds.draw(rng, n)
    rows[rng.random(rows.shape) < 0.2] = np.nan
    tally = Tally(BASE)
    tally.add(rows)
    sketch = tally.sketch()
    for i, column in enumerate(BASE.columns[:-1]):
        present = rows[~np.isnan(rows[:, i]), i]
        cells = np.searchsorted(column.edges, present, side="right")
        assert sketch.counts[i] == tuple(np.bincount(cells, minlength=column.cells).tolist())
        assert sketch.missing[i] == n - present.size
        assert sketch.outside[i] == np.count_nonzero((present < column.low) | (present > column.high))
        np.testing.assert_allclose(sketch.sums[i], (present - column.mean).sum(), atol=1e-6)
        np.testing.assert_allclose(sketch.squares[i], ((present - column.mean) ** 2).sum(), rtol=1e-9)


def test_a_column_of_many_levels_is_counted_too() -> None:
    rng = np.random.default_rng(3)
    codes = rng.integers(0, 90, (4000, 1)).astype(float)
    base = build_baseline(["merchant"], codes, levels={"merchant": 90})
    tally = Tally(base)
    tally.add(np.r_[codes, [[np.nan]]])
    assert tally.sketch().counts[0] == tuple(np.bincount(codes[:, 0].astype(int), minlength=90).tolist())
    assert tally.sketch().missing == (1,)


def test_an_unknown_level_is_not_a_missing_value() -> None:
    rows = np.full((3, 4), np.nan)
    tally = Tally(BASE)
    tally.add(rows, unknown=np.array([0, 0, 0, 2]))
    sketch = tally.take()
    assert sketch.missing == (3, 3, 3, 1, 0)
    assert sketch.unknown == (0, 0, 0, 2, 0)
    assert tally.sketch() == empty(BASE), "taking starts anew"


def test_infinite_values_fall_into_the_outer_cells_and_out_of_the_sums() -> None:
    rows = np.array([[np.inf, 40.0, 1.0, 0.0], [-np.inf, 40.0, 1.0, 0.0]])
    tally = Tally(BASE)
    tally.add(rows)
    sketch = tally.sketch()
    assert sketch.counts[0][-1] == 1
    assert sketch.counts[0][0] == 1
    assert sketch.outside[0] == 2
    assert np.isfinite(sketch.sums).all()
    assert decode(sketch.encode()) == sketch


def test_memory_does_not_grow() -> None:
    rng, tally = np.random.default_rng(1), Tally(BASE)
    sizes: set[int] = set()
    for _ in range(20):
        tally.add(worlds.draw(rng, 500))
        sizes.add(sum(getattr(v, "nbytes", 0) for v in vars(tally).values()))
    assert len(sizes) == 1


def _other() -> Baseline:
    return worlds.baseline(seed=9)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(SerinusError, match="SRN-WATCHING-001"):
        Tally(BASE).add(np.zeros((3, 2)))
    with pytest.raises(SerinusError, match="SRN-WATCHING-001"):
        build_baseline(["a"], np.zeros((3, 2)))
    with pytest.raises(SerinusError, match="SRN-WATCHING-002"):
        _ = empty(BASE) + empty(_other())
    with pytest.raises(SerinusError, match="SRN-WATCHING-003"):
        decode(b'{"rows": 1}')


def test_an_atom_has_a_cell_to_itself_and_the_score_has_tails() -> None:
    amount, score = BASE.columns[0], BASE.columns[-1]
    zero = np.searchsorted(amount.edges, 0.0, side="right")
    assert amount.counts[0][zero] == pytest.approx(0.6 * 5000, rel=0.05)
    assert amount.counts[0][0] == 0, "nothing lies below zero"
    assert score.name == SCORE
    assert score.counts[0][-1] == pytest.approx(50, abs=3), "the top hundredth is a cell"
