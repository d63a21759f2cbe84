"""The plain scorecard: scikit-learn's coefficients, points that add up, and a verdict that chance does not make."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from components.challenge.scorecard import FACTOR, logistic, of_scorecard
from components.config import Scorecard, Training
from components.evaluate.metrics import auc
from tests.unit.components.support import contract

LEVELS = {"purpose": ("car", "home", "tools")}


def drawn(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Encoded rows, outcomes, and the probabilities by which they were drawn."""
    random = np.random.default_rng(seed)
    income, debt, purpose = random.gamma(4, 10, n), random.normal(0, 1, n), random.integers(0, 3, n)
    truth = 1 / (1 + np.exp(-(-1.2 + 1.8 * debt - 0.04 * (income - 40) + 0.8 * (purpose == 0))))
    debt[::20] = np.nan
    rows = np.column_stack([income, debt, purpose.astype(float)])
    return rows, (random.random(n) < truth).astype(float), truth


def made(settings: Scorecard, probability: np.ndarray | None = None, *, n: int = 4000, **training: object):
    rows, outcome, _ = drawn(n, 1)
    others, known, truth = drawn(n, 2)
    return of_scorecard(
        settings, contract(), Training(**training), LEVELS, (rows, outcome),  # type: ignore[arg-type]
        (others, known, truth if probability is None else probability),
    )  # fmt: skip


def test_newton_finds_what_scikit_learn_finds() -> None:
    random = np.random.default_rng(3)
    rows = random.normal(0, 1, (800, 4))
    outcome = (random.random(800) < 1 / (1 + np.exp(-rows @ [1, -2, 0, 0.5]))).astype(float)
    found, error = logistic(rows, outcome)
    oracle = LogisticRegression(C=1.0, tol=1e-10, max_iter=1000).fit(rows, outcome)
    assert found == pytest.approx([*oracle.intercept_, *oracle.coef_[0]], abs=1e-5)
    assert (error > 0).all()


@pytest.mark.parametrize(("rate", "size"), [(0.01, 4.0), (0.1, 1.5), (0.5, 8.0)])
def test_newton_arrives_where_outcomes_are_rare_and_weights_large(rate: float, size: float) -> None:
    """A whole step overshoots there, and the next one is taken from where the curvature is gone."""
    random = np.random.default_rng(4)
    rows = np.where(random.random((6000, 2)) < 0.95, -0.5, size)
    odds = math.log(rate / (1 - rate)) + rows @ [1.0, 0.8]
    outcome = (random.random(6000) < 1 / (1 + np.exp(-odds))).astype(float)
    found, _ = logistic(rows, outcome)
    oracle = LogisticRegression(C=1.0, tol=1e-12, max_iter=5000).fit(rows, outcome)
    assert found == pytest.approx([*oracle.intercept_, *oracle.coef_[0]], abs=1e-4)


def test_a_model_that_knows_more_beats_it_and_the_interval_says_by_how_much() -> None:
    item, card = made(Scorecard())
    assert (item.verdict, item.name) == ("pass", "scorecard_auc_gain")
    assert item.low is not None
    assert item.low < (item.value or 0) < (item.high or 0)
    _, known, truth = drawn(4000, 2)
    assert (item.value or 0) == pytest.approx(auc(known, truth) - card["auc"], abs=1e-9)
    assert card["auc"] > 0.75


@pytest.mark.parametrize(
    ("demand", "verdict", "blocks"),
    [("stop", "fail", True), ("warn", "fail", False), ("report", "pass", False)],
)
def test_a_model_that_a_scorecard_beats_is_stopped_or_told_as_the_config_says(
    demand: str, verdict: str, blocks: bool
) -> None:
    guesses = np.random.default_rng(9).random(4000)
    item, _ = made(Scorecard(demand=demand), guesses)  # type: ignore[arg-type]
    assert (item.verdict, item.blocks) == (verdict, blocks)
    assert (item.value or 0) < -0.1


def test_a_difference_that_may_be_chance_is_no_data() -> None:
    _, _, truth = drawn(4000, 2)
    item, _ = made(Scorecard(demand="stop", auc_gain_min=0.4), truth, n=4000)
    assert item.verdict == "fail"  # beyond chance
    gain = item.value or 0
    item, _ = made(Scorecard(demand="stop", auc_gain_min=gain + 1e-4), truth)
    assert (item.verdict, item.blocks) == ("no_data", False)
    assert "chance" in item.why


def test_points_add_up_to_the_odds() -> None:
    _, card = made(Scorecard())
    weights = {f["feature"]: f["coefficient"] for f in card["features"]}
    for line in card["bins"]:
        assert line["points"] == pytest.approx(
            -FACTOR * weights[line["feature"]] * line["evidence"], abs=0.06
        )
        better = line["evidence"] < 0
        assert (line["points"] > 0) == better or line["evidence"] == pytest.approx(0, abs=0.01)
    assert {line["bin"] for line in card["bins"] if line["feature"] == "purpose"} == {"car", "home", "tools"}
    assert any(line["bin"] == "missing" for line in card["bins"] if line["feature"] == "debt")
    assert math.isclose(sum(line["rows"] for line in card["bins"] if line["feature"] == "debt"), 4000)


def test_it_leaves_out_what_the_model_leaves_out() -> None:
    _, card = made(Scorecard(), exclude=("debt",))
    assert [f["feature"] for f in card["features"]] == ["income", "purpose"]


def test_few_outcomes_are_no_data_and_no_card() -> None:
    item, card = made(Scorecard(demand="stop"), n=40)
    assert (item.verdict, item.blocks, card) == ("no_data", False, {})
    assert "fewer than 20" in item.why


def test_a_count_that_is_mostly_0_has_a_bin_for_it_and_bins_for_the_rest() -> None:
    """Cut by quantiles alone, 0 would be all quantiles: one bin, and a scorecard that does not know the feature."""
    random = np.random.default_rng(5)

    def rows_of(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        risk = np.where(random.random(n) < 0.9, 0.0, random.uniform(0.1, 1, n))
        truth = 0.05 + 0.8 * risk
        noise = random.gamma(4, 10, n)
        return np.column_stack([noise, risk, np.zeros(n)]), (random.random(n) < truth).astype(float), truth

    train, test = rows_of(4000), rows_of(4000)
    _, card = of_scorecard(
        Scorecard(),
        contract(),
        Training(),
        LEVELS,
        train[:2],
        test,  # type: ignore[arg-type]
    )
    bins = [line for line in card["bins"] if line["feature"] == "debt"]
    assert len(bins) == Scorecard().bins
    assert bins[0]["bin"].startswith("below")
    assert bins[0]["rows"] == int((train[0][:, 1] == 0).sum())
    shares = [line["bad_share"] for line in bins]
    assert shares == sorted(shares)
    assert card["auc"] > auc(test[1], test[2]) - 0.03
