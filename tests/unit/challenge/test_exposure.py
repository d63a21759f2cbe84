"""The amount behind decisions: sums that a reader can check, and a share with its interval."""

from __future__ import annotations

import numpy as np
import pytest

from components.challenge.challenge import check_settings
from components.challenge.exposure import of_exposure, ratio
from components.config import Challenge, Exposure
from serinus.errors import SerinusError
from tests.unit.components.support import contract

ROWS = np.array([[100.0, 0, 0], [200.0, 0, 0], [300.0, 0, 0], [400.0, 0, 0], [np.nan, 0, 0]])
OUTCOME = np.array([0.0, 1.0, 1.0, 0.0, 1.0])
PROBABILITY = np.array([0.1, 0.2, 0.9, 0.8, 0.9])
INCOME = Exposure(column="income")


def test_amounts_by_decision_are_sums_over_the_rows_that_have_one() -> None:
    items, found = of_exposure(INCOME, contract(), ROWS, OUTCOME, PROBABILITY)
    approved, declined = found["decisions"]
    assert (approved["decision"], approved["rows"], approved["amount"]) == ("approve", 2, 300)
    assert (approved["expected"], approved["bad"]) == (pytest.approx(50), 200)
    assert (declined["amount"], declined["bad"], declined["bad_share"]) == (700, 300, pytest.approx(3 / 7))
    assert (found["rows"], found["without"]) == (4, 1)
    assert items[0].value == pytest.approx(300 / 500)
    for table in (found["decisions"], found["bands"]):
        assert sum(row["amount"] for row in table) == 1000
        assert sum(row["rows"] for row in table) == 4


@pytest.mark.parametrize(("least", "verdict"), [(0.5, "pass"), (0.7, "fail")])
def test_too_little_of_the_bad_amount_stopped_is_stopped(least: float, verdict: str) -> None:
    settings = Exposure(column="income", bad_stopped_min=least)
    item = of_exposure(settings, contract(), ROWS, OUTCOME, PROBABILITY)[0][0]
    assert (item.verdict, item.blocks) == (verdict, True)


@pytest.mark.parametrize(
    ("settings", "rows", "why"),
    [(Exposure(), ROWS, "names no amount"), (INCOME, np.full((5, 3), np.nan), "no test row has an amount")],
)
def test_without_an_amount_it_is_no_data_and_says_why(settings: Exposure, rows: np.ndarray, why: str) -> None:
    items, found = of_exposure(settings, contract(), rows, OUTCOME, PROBABILITY)
    assert (items[0].verdict, found) == ("no_data", {})
    assert why in items[0].why


def test_the_interval_holds_the_true_share_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(4)
    held = 0
    for _ in range(400):
        amount = random.gamma(2, 50, 500)
        part = amount * (random.random(500) < 0.3)
        _, low, high = ratio(part, amount)
        held += low <= 0.3 <= high
    assert 0.92 <= held / 400 <= 0.98


def test_rows_that_do_not_vary_have_no_interval() -> None:
    value, low, high = ratio(np.ones(5), np.ones(5))
    assert value == 1
    assert np.isnan([low, high]).all()


@pytest.mark.parametrize("column", ["purpose", "nothing"])
def test_an_amount_that_is_no_number_of_the_features_is_refused(column: str) -> None:
    with pytest.raises(SerinusError, match=f"no feature is the number {column}"):
        check_settings(Challenge(exposure=Exposure(column=column)), contract())
