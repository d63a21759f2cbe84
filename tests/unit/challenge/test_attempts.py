"""Attempts to break a model: what each finds, and that it stays silent where there is nothing to find."""

from __future__ import annotations

import numpy as np
import pytest

from components.challenge.challenge import check_settings
from components.challenge.leakage import of_duplicates
from components.challenge.sensitivity import of_directions, of_reasons
from components.challenge.stress import changed, of_edges, of_lost_inputs, of_scenarios
from components.config import Challenge, ModelConfig, Scenario, parse_config
from serinus.errors import SerinusError
from tests.unit.components.support import contract

Floats = np.ndarray
LOANS = contract()  # income (falling), debt (rising, may be missing), purpose (a category of three)
LEVELS = [0, 0, 3]


def rows(n: int = 2000, seed: int = 0) -> Floats:
    random = np.random.default_rng(seed)
    return np.column_stack([random.gamma(4, 10, n), random.normal(0, 1, n), random.integers(0, 3, n)])


def score(part: Floats) -> Floats:
    """A sound model: monotone as declared, a missing debt is a mean one."""
    debt = np.nan_to_num(part[:, 1])
    margin = 1.8 * debt - 0.05 * (np.nan_to_num(part[:, 0], nan=40.0) - 40) - 1
    return 1 / (1 + np.exp(-np.clip(margin, -500, 500)))


def outcomes(part: Floats, seed: int = 1) -> Floats:
    return (np.random.default_rng(seed).random(part.shape[0]) < score(part)).astype(np.float64)


def contributions(part: Floats) -> Floats:
    debt, income = 1.8 * np.nan_to_num(part[:, 1]), -0.05 * (part[:, 0] - 40)
    zero = np.zeros(part.shape[0])
    return np.column_stack([income, debt, zero, zero - 1])


def test_a_scenario_multiplies_shifts_loses_and_keeps_the_contracts_range() -> None:
    part = rows(50)
    there = changed(
        Scenario(name="s", multiply={"income": -1.0}, add={"debt": 2.0}, missing=("purpose",)), LOANS, part
    )
    assert (there[:, 0] == 0).all()  # the contract's least income
    assert there[:, 1] == pytest.approx(part[:, 1] + 2)
    assert np.isnan(there[:, 2]).all()
    assert not np.isnan(part).any()


def test_a_scenario_that_the_model_does_not_survive_fails_and_one_that_it_does_passes() -> None:
    part = rows()
    outcome = outcomes(part)
    config = Challenge(
        scenarios=(
            Scenario(name="debts unknown", missing=("debt",), auc_min=0.7),
            Scenario(name="pay rise", multiply={"income": 1.05}, auc_min=0.7, approved_change_max=0.05),
            Scenario(name="downturn", add={"debt": 1.5}, approved_change_max=0.05),
        )
    )
    items, table = of_scenarios(config, LOANS, part, outcome, score)
    verdicts = {item.name: item.verdict for item in items}
    assert verdicts == {
        "debts unknown AUC": "fail",
        "pay rise AUC": "pass",
        "pay rise approvals": "pass",
        "downturn AUC": "pass",
        "downturn approvals": "fail",
    }
    assert table[0]["auc_lost"] > 0.1
    assert not next(item for item in items if item.name == "downturn AUC").blocks


def test_the_input_whose_loss_costs_most_is_named() -> None:
    part = rows()
    (item,), table = of_lost_inputs(Challenge(input_lost_auc=0.05), LOANS, part, outcomes(part), score)
    assert (item.verdict, item.why) == ("fail", "without debt")
    assert [row["feature"] for row in table] == ["income", "debt", "purpose"]
    assert table[2]["auc_lost"] == 0
    assert (
        of_lost_inputs(Challenge(input_lost_auc=0.9), LOANS, part, outcomes(part), score)[0][0].verdict
        == "pass"
    )


def test_edges_where_the_model_gives_no_probability_are_found() -> None:
    def overflowing(part: Floats) -> Floats:
        return np.where(part[:, 0] > 10_000, np.nan, score(part))

    assert of_edges(LOANS, rows(50), LEVELS, score).verdict == "pass"
    found = of_edges(LOANS, rows(50), LEVELS, overflowing)
    assert found.verdict == "fail"
    assert "income=" in found.why


def test_a_model_that_moves_against_a_declared_direction_is_found() -> None:
    def u_shaped(part: Floats) -> Floats:
        return 1 / (1 + np.exp(-(part[:, 1] ** 2 - 1)))

    limits = Challenge(direction_violations=0.0)
    assert of_directions(limits, LOANS, rows(300), score).verdict == "pass"
    found = of_directions(limits, LOANS, rows(300), u_shaped)
    assert (found.verdict, found.value) == ("fail", 1.0)
    assert found.why.startswith("debt")
    free = contract(features=[{"name": "debt", "column": "debt"}])
    assert of_directions(limits, free, rows(300), score).verdict == "no_data"


def test_reasons_that_change_with_a_little_noise_are_found() -> None:
    def erratic(part: Floats) -> Floats:
        found = contributions(part)
        found[:, :3] = 1 + np.sin(1e6 * part)
        return found

    part = rows()
    limits = Challenge(first_reason_kept=0.8)
    sound = of_reasons(limits, LOANS, part, LEVELS, score, contributions)
    assert (sound.verdict, sound.value is not None and sound.value > 0.9) == ("pass", True)
    assert of_reasons(limits, LOANS, part, LEVELS, score, erratic).verdict == "fail"
    approving = of_reasons(limits, LOANS, part, LEVELS, lambda p: np.zeros(p.shape[0]), contributions)
    assert (approving.verdict, approving.blocks) == ("no_data", False)


def test_test_rows_that_were_trained_on_are_counted() -> None:
    train, test = rows(1000, 1), rows(400, 2)
    labels = outcomes(train), outcomes(test)
    limits = Challenge(test_rows_in_training=0.1)
    assert of_duplicates(limits, (train, labels[0]), (test, labels[1])).value == 0
    test[:100], labels[1][:100] = train[:100], labels[0][:100]
    test[0, 1] = train[0, 1] = np.nan
    found = of_duplicates(limits, (train, labels[0]), (test, labels[1]))
    assert (found.value, found.verdict) == (0.25, "fail")
    labels[1][:100] = 1 - labels[1][:100]  # the same vector with another outcome is no copy
    assert of_duplicates(limits, (train, labels[0]), (test, labels[1])).value == 0


@pytest.mark.parametrize(
    ("scenario", "said"),
    [
        (Scenario(name="s", multiply={"incomes": 2.0}), "s: there is no feature incomes"),
        (Scenario(name="s", add={"purpose": 1.0}), "s: purpose is a category"),
    ],
)
def test_a_scenario_about_what_is_not_there_is_refused(scenario: Scenario, said: str) -> None:
    with pytest.raises(SerinusError, match="SRN-PIPELINE-023") as caught:
        check_settings(Challenge(scenarios=(scenario,)), LOANS)
    assert said in caught.value.what


@pytest.mark.parametrize(
    ("challenge", "said"),
    [
        ({"scenarios": [{"name": "s"}]}, "s changes nothing"),
        ({"scenarios": [{"name": "s", "missing": ["debt"]}] * 2}, "names repeat"),
        ({"score_psi": -1}, "score_psi"),
        ({"score_pis": 1}, "score_pis"),
    ],
)
def test_a_wrong_config_is_refused_by_its_key(challenge: dict[str, object], said: str) -> None:
    with pytest.raises(SerinusError, match=said):
        parse_config({"challenge": challenge}, ModelConfig, where="model.yaml")
