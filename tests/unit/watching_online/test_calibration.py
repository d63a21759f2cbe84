"""Which column gets which online test, and that ties do not spoil the run length."""

from collections.abc import Callable

import msgspec
import numpy as np
import pytest

from serinus.contract import parse_contract
from serinus.watching import SCORE
from serinus.watching.online import DECISION, Calibration, OnlinePlan, calibrate, cvm, kind_of
from serinus.watching.online.calibrate import tie_spread

PLAN = OnlinePlan(reference=50, windows=(5, 20), ert=100, streams=2000)
CONTRACT = parse_contract(
    {
        "apiVersion": "serinus.io/v1",
        "kind": "DataContract",
        "name": "kinds",
        "columns": {
            "id": {"type": "id"},
            "card": {"type": "id"},
            "at": {"type": "timestamp"},
            "amount": {"type": "number"},
            "age": {"type": "integer"},
            "insured": {"type": "boolean"},
            "sector": {"type": "category"},
            "employed": {"type": "category"},
            "rarely": {"type": "number", "missing": "allow"},
            "bad": {"type": "boolean"},
        },
        "event": {"id": "id", "time": "at"},
        "entities": {"card": "card"},
        "label": {"column": "bad"},
        "features": [
            {"name": "amount", "column": "amount"},
            {"name": "age", "column": "age"},
            {"name": "insured", "column": "insured"},
            {"name": "sector", "column": "sector"},
            {"name": "employed", "column": "employed"},
            {"name": "rarely", "column": "rarely"},
            {"name": "weekend", "column": "at", "part": "is_weekend"},
            {"name": "recent", "entity": "card", "aggregate": "count", "window": "1d"},
        ],
    },
    where="test",
)
LEVELS = {"sector": ("a", "b", "c"), "employed": ("no", "yes")}


def reference(rows: int = 400) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(4)
    columns = [
        random.lognormal(size=rows),
        random.integers(18, 80, rows),
        random.random(rows) < 0.3,
        random.integers(0, 3, rows),
        random.integers(0, 2, rows),
        np.where(random.random(rows) < 0.95, np.nan, random.random(rows)),
        random.random(rows) < 0.2,
        random.poisson(2, rows),
    ]
    return np.stack([c.astype(float) for c in columns], axis=1), random.beta(2, 3, rows).round(2)


def made() -> Calibration:
    return calibrate(CONTRACT, LEVELS, *reference(), PLAN)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("amount", "number"),
        ("age", "whole"),
        ("insured", "flag"),
        ("sector", "category"),
        ("employed", "flag"),
        ("rarely", "number"),
        ("weekend", "clock"),
        ("recent", "whole"),
    ],
)
def test_the_contract_says_what_a_column_is(name: str, kind: str) -> None:
    assert kind_of(CONTRACT, CONTRACT.feature(name), LEVELS) == kind


def test_each_kind_gets_its_test_and_a_column_without_one_a_reason() -> None:
    calibration = made()
    assert {s.name: s.test for s in calibration.streams} == {
        "amount": "cvm",
        "age": "cvm",
        "insured": "fet",
        "employed": "fet",
        "recent": "cvm",
        SCORE: "cvm",
        DECISION: "fet",
    }
    assert set(calibration.unwatched) == {"sector", "weekend", "rarely"}
    assert "values, 50 are needed" in calibration.unwatched["rarely"]


def test_a_column_of_one_value_has_no_test() -> None:
    rows, scores = reference()
    rows[:, 2] = 0.0
    assert (
        calibrate(CONTRACT, LEVELS, rows, scores, PLAN).unwatched["insured"] == "the reference holds 0 alone"
    )


def test_the_same_reference_gives_the_same_thresholds_and_json_keeps_them_to_the_bit() -> None:
    once, again = made(), made()
    assert once == again
    assert msgspec.json.decode(msgspec.json.encode(once), type=Calibration) == once


@pytest.mark.parametrize(
    ("values", "spread"),
    [
        pytest.param([1.0, 2.5, 7.0], 0.0, id="no ties, no shift"),
        pytest.param([0, 0, 1, 3, 3], 1.0, id="integers"),
        pytest.param([0, 0, 0, 0.25, 9.0], 0.25, id="zero-inflated: no further than the next value"),
        pytest.param([5, 5, 5], 1.0, id="one value"),
    ],
)
def test_the_shift_that_breaks_ties_keeps_the_order_of_different_values(
    values: list[float], spread: float
) -> None:
    assert tie_spread(np.array(values, float)) == pytest.approx(spread)


def crossed_early(draw: Callable[[np.random.Generator, int], np.ndarray], *, shifted: bool) -> float:
    """Share of streams of a law that cross within the simulated rows, with and without their ties broken."""
    random, limits = np.random.default_rng(8), np.array(cvm.configure(PLAN))
    crossed = 0
    for _ in range(600):
        reference, stream = draw(random, PLAN.reference), draw(random, PLAN.steps)
        if shifted:
            spread = tie_spread(reference)
            reference = reference + spread * (random.random(reference.size) - 0.5)
            stream = stream + spread * (random.random(stream.size) - 0.5)
        crossed += bool((as_alibi_has_it(np.sort(reference), stream) > limits).any())
    return crossed / 600


def as_alibi_has_it(reference: np.ndarray, stream: np.ndarray) -> np.ndarray:
    """The largest statistic by its definition, ties included."""
    below = (reference[None] <= stream[:, None]).mean(axis=1)
    own = (reference[None] <= reference[:, None]).mean(axis=1)
    best = np.full(stream.size - PLAN.windows[0] + 1, -np.inf)
    n = reference.size
    for m in PLAN.windows:
        mean = 1 / 6 + 1 / (6 * (n + m))
        variance = (n + m + 1) * (4 * n * m * (n + m) - 3 * (n * n + m * m) - 2 * n * m)
        sd = np.sqrt(variance / (45 * (n + m) ** 2 * 4 * n * m))
        windows = np.lib.stride_tricks.sliding_window_view(stream, m)
        at_reference = (windows[:, :, None] <= reference).mean(axis=1)
        at_window = (windows[:, :, None] <= windows[:, None, :]).mean(axis=1)
        there = np.lib.stride_tricks.sliding_window_view(below, m)
        u = ((own - at_reference) ** 2).sum(axis=1) + ((there - at_window) ** 2).sum(axis=1)
        rest = best[m - PLAN.windows[0] :]
        np.maximum(rest, (u * n * m / (n + m) ** 2 - mean) / sd, out=rest)
    return best


def zero_inflated(random: np.random.Generator, n: int) -> np.ndarray:
    return np.where(random.random(n) < 0.7, 0.0, random.lognormal(size=n))


def integers(random: np.random.Generator, n: int) -> np.ndarray:
    return random.integers(0, 6, n).astype(float)


@pytest.mark.parametrize("law", [zero_inflated, integers])
def test_a_column_with_ties_crosses_no_more_often_than_expected_once_they_are_broken(
    law: Callable[[np.random.Generator, int], np.ndarray],
) -> None:
    expected = 1 - (1 - 1 / PLAN.ert) ** (PLAN.steps - PLAN.windows[0] + 1)
    assert crossed_early(law, shifted=True) == pytest.approx(expected, abs=4 * np.sqrt(expected / 600))


def test_a_zero_inflated_column_with_its_ties_crosses_twice_as_often() -> None:
    expected = 1 - (1 - 1 / PLAN.ert) ** (PLAN.steps - PLAN.windows[0] + 1)
    assert crossed_early(zero_inflated, shifted=False) > 1.8 * expected
