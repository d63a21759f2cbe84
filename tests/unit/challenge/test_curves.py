"""Partial dependence, local effects and shocks: what is known of a model whose formula is known."""

from __future__ import annotations

import numpy as np
import pytest

from components.challenge.curves import of_curves, of_shocks
from components.config import Challenge
from tests.unit.components.support import contract

LEVELS = {"purpose": ("car", "home", "tools")}
SLOPE = 0.004


def rows(n: int = 3000) -> np.ndarray:
    """Income, debt and purpose; debt hangs together with income."""
    random = np.random.default_rng(5)
    income = random.uniform(0, 100, n)
    debt = income / 50 + random.normal(0, 0.2, n)
    return np.column_stack([income, debt, random.integers(0, 3, n).astype(float)])


def linear(sign: float):
    """Income moves the probability by SLOPE a unit in this direction, debt by nothing."""
    return lambda part: 0.5 + sign * SLOPE * (np.nan_to_num(part[:, 0]) - 50)


def test_both_curves_of_a_line_are_that_line_and_what_does_nothing_is_flat() -> None:
    _, table = of_curves(Challenge(), contract(), LEVELS, rows(), linear(-1))
    curves = {curve["feature"]: curve for curve in table}
    for kind in ("pdp", "ale"):
        at, mean = np.array([point[:2] for point in curves["income"][kind]], dtype=float).T
        assert np.polyfit(at, mean, 1)[0] == pytest.approx(-SLOPE, abs=1e-5)
        assert np.ptp([point[1] for point in curves["debt"][kind]]) == pytest.approx(0)
    assert [point[0] for point in curves["purpose"]["pdp"]] == ["car", "home", "tools"]
    assert curves["purpose"]["ale"] == []
    for point in curves["income"]["pdp"]:
        assert point[2] <= point[1] <= point[3]


def test_where_features_hang_together_only_local_effects_keep_to_rows_that_exist() -> None:
    """y = income·debt/200: held at its data, debt matters by its neighbours; set anywhere, by every income."""

    def score(part: np.ndarray) -> np.ndarray:
        # A spike where no row is: large debt with small income.
        return np.where((part[:, 0] < 30) & (part[:, 1] > 1.6), 0.9, 0.1)

    _, table = of_curves(Challenge(), contract(), LEVELS, rows(), score)
    debt = next(curve for curve in table if curve["feature"] == "debt")
    assert np.ptp([point[1] for point in debt["pdp"]]) > 0.15
    assert np.ptp([point[1] for point in debt["ale"]]) < 0.05


@pytest.mark.parametrize(
    ("sign", "limit", "verdict", "blocks"),
    [(-1.0, 0, "pass", True), (1.0, 0, "fail", True), (1.0, 1, "pass", True), (1.0, None, "pass", False)],
)
def test_a_direction_that_the_answer_goes_against_is_counted(
    sign: float, limit: int | None, verdict: str, blocks: bool
) -> None:
    settings = Challenge(contradicted_directions=limit)
    item, _ = of_curves(settings, contract(), LEVELS, rows(), linear(sign))
    assert (item.verdict, item.blocks, item.value) == (verdict, blocks, 1.0 if sign > 0 else 0.0)
    assert ("income" in item.why) == (sign > 0)


def test_without_a_declared_direction_there_is_none_to_contradict() -> None:
    undeclared = contract(features=[{"name": "income", "column": "income"}])
    item, table = of_curves(Challenge(contradicted_directions=0), undeclared, {}, rows()[:, :1], linear(1))
    assert (item.verdict, item.blocks) == ("no_data", False)
    assert len(table) == 1


def test_a_shock_moves_the_answer_by_the_slope_times_the_deviation() -> None:
    found, outcome = rows(), np.tile([0.0, 1.0], 1500)
    item, table = of_shocks(Challenge(), contract(), found, outcome, linear(-1))
    shocks = {(shock["feature"], shock["moved"]): shock for shock in table}
    assert set(shocks) == {(name, word) for name in ("income", "debt") for word in ("up", "down")}
    up = shocks["income", "up"]
    kept = np.minimum(
        found[:, 0] + found[:, 0].std(), found[:, 0].max()
    )  # no end in the contract: the largest seen
    assert up["probability_change"] == pytest.approx(-SLOPE * (kept - found[:, 0]).mean())
    assert up["probability_change_low"] < up["probability_change"] < up["probability_change_high"]
    assert shocks["debt", "up"]["probability_change"] == 0
    assert shocks["debt", "up"]["decisions_changed"] == 0
    assert item.value == max(shock["decisions_changed"] for shock in table) > 0.1
    assert "income" in item.why


@pytest.mark.parametrize(("limit", "verdict"), [(0.01, "fail"), (0.99, "pass")])
def test_decisions_that_turn_at_a_shock_are_stopped_at_the_limit(limit: float, verdict: str) -> None:
    settings = Challenge(shock_decisions_changed=limit)
    item, _ = of_shocks(settings, contract(), rows(), np.tile([0.0, 1.0], 1500), linear(-1))
    assert (item.verdict, item.blocks) == (verdict, True)


def test_a_flag_moves_by_one_and_not_beyond_what_there_is() -> None:
    flags = contract(features=[{"name": "debt", "column": "debt"}])
    found = np.tile([[0.0], [1.0]], (100, 1))
    seen: list[np.ndarray] = []

    def score(part: np.ndarray) -> np.ndarray:
        seen.append(np.unique(part))
        return np.full(part.shape[0], 0.5)

    of_shocks(Challenge(), flags, found, np.tile([0.0, 1.0], 100), score)
    assert [values.tolist() for values in seen] == [[0, 1], [1], [0]]
