"""A leaking, biased, unstable or overfit model is stopped by the gate, and so is what cannot be judged."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

from components.config import (
    Challenge,
    Gate,
    Gates,
    Lightgbm,
    ModelConfig,
    Scenario,
    Scorecard,
    Training,
)
from components.step import StepError, read_json
from serinus.contract import dump_contract
from tests.unit.components.support import ONCE, QUICK, Run, contract, loans


def stopped(run: Run) -> StepError:
    run.prepare()
    run.judge()
    with pytest.raises(StepError) as caught:
        run.gate()
    return caught.value


def failing(error: StepError) -> set[str]:
    return {demand["metric"] for demand in error.details["demands"] if demand["verdict"] == "fail"}


def test_a_feature_that_knows_the_answer_is_stopped_as_a_leak(tmp_path: Path) -> None:
    columns = loans()
    columns["income"] = np.where(columns["bad"] == "Y", 1.0, 100.0) + np.arange(1500) % 7
    error = stopped(Run(tmp_path, contract(), columns, QUICK))
    assert error.code == "SRN-GATE-001"
    assert "single_feature_auc" in failing(error)
    assert "single_feature_auc 1 (<= 0.99)" in error.what


def test_a_feature_that_is_absent_where_the_outcome_is_bad_is_a_leak_too(tmp_path: Path) -> None:
    columns = loans()
    columns["debt"] = np.where(columns["bad"] == "Y", np.nan, np.arange(1500) % 11)
    assert "single_feature_auc" in failing(stopped(Run(tmp_path, contract(), columns, QUICK)))


def test_a_model_that_treats_a_group_worse_is_stopped_by_the_policy(tmp_path: Path) -> None:
    error = stopped(Run(tmp_path, contract(), loans(bias=1.5), QUICK))
    assert failing(error) == {"adverse_impact_ratio group=a"}


def challenged(challenge: Challenge) -> ModelConfig:
    return msgspec.structs.replace(
        QUICK, challenge=msgspec.structs.replace(challenge, retrained=ONCE.retrained)
    )


def test_a_model_whose_world_moved_is_stopped_as_unstable(tmp_path: Path) -> None:
    """Dated loans whose debts rise in the last fifth: the test rows are not the rows that taught."""
    columns = loans(3000)
    columns["debt"] = columns["debt"] + 2.0 * (np.arange(3000) >= 2400)
    day = np.datetime64("2026-01-01", "s") + np.arange(3000) * np.timedelta64(3600, "s")
    dated = contract(
        columns={**dump_contract(contract())["columns"], "at": {"type": "timestamp"}}, event={"time": "at"}
    )
    error = stopped(Run(tmp_path / "moved", dated, {**columns, "at": day}, QUICK))
    assert "score_psi" in failing(error)
    still = Run(tmp_path / "still", dated, {**loans(3000), "at": day}, QUICK)
    still.prepare()
    still.judge()
    assert still.gate()["verdict"] == "pass"
    report = read_json(still.path("challenge"))
    assert [item["verdict"] for item in report["items"] if item["name"] == "worst_period_auc"] == ["pass"]
    assert len(report["periods"]) == 4


def test_a_model_that_does_not_survive_its_stress_test_is_stopped(tmp_path: Path) -> None:
    lost = Scenario(name="bureau silent", missing=("debt",), auc_min=0.75)
    error = stopped(Run(tmp_path / "lost", contract(), loans(), challenged(Challenge(scenarios=(lost,)))))
    assert failing(error) == {"bureau silent AUC"}
    mild = Scenario(name="mild", multiply={"income": 0.98}, auc_min=0.75)
    run = Run(tmp_path / "mild", contract(), loans(), challenged(Challenge(scenarios=(mild,))))
    run.prepare()
    run.judge()
    assert run.gate()["verdict"] == "pass"


def test_a_model_that_a_plain_scorecard_beats_is_stopped_where_the_config_says_so(tmp_path: Path) -> None:
    """One stump sees less than a scorecard does."""
    poor = Training(rounds=1, parameters=Lightgbm(num_leaves=2, min_data_in_leaf=400))
    beaten = ModelConfig(training=poor, challenge=Challenge(scorecard=Scorecard(demand="stop")))
    run = Run(tmp_path / "beaten", contract(), loans(4000), beaten)
    assert "scorecard_auc_gain" in failing(stopped(run))
    warned = ModelConfig(training=poor, challenge=Challenge(scorecard=Scorecard(demand="warn")))
    run = Run(tmp_path / "warned", contract(), loans(4000), warned)
    run.prepare()
    run.judge()
    item = next(i for i in read_json(run.path("challenge"))["items"] if i["name"] == "scorecard_auc_gain")
    assert (item["verdict"], item["blocks"]) == ("fail", False)


def test_a_model_judged_on_rows_it_was_trained_on_is_stopped(tmp_path: Path) -> None:
    once = loans(200)
    columns = {name: np.tile(values, 8) for name, values in once.items()}
    error = stopped(Run(tmp_path, contract(), columns, QUICK))
    assert "test_rows_in_training" in failing(error)


def test_an_overfit_model_is_stopped(tmp_path: Path) -> None:
    wild = Training(
        rounds=400,
        early_stopping=0,
        folds=3,
        parameters=Lightgbm(num_leaves=256, min_data_in_leaf=1, lambda_l2=0.0, learning_rate=0.3),
    )
    free = contract(features=[{"name": name, "column": name} for name in ("income", "debt", "purpose")])
    error = stopped(Run(tmp_path, free, loans(400), msgspec.structs.replace(QUICK, training=wild)))
    assert "auc_drop" in failing(error)


def test_noise_is_stopped(tmp_path: Path) -> None:
    columns = loans()
    columns["bad"] = np.random.default_rng(9).permutation(columns["bad"])
    assert "auc_low" in failing(stopped(Run(tmp_path, contract(), columns, QUICK)))


def test_a_metric_that_cannot_be_measured_stops_unless_the_config_only_reports_it(tmp_path: Path) -> None:
    gates = Gates(metrics=(Gate(metric="cost_per_1000", max=10.0),))
    run = Run(tmp_path, contract(), loans(), msgspec.structs.replace(QUICK, gates=gates))
    error = stopped(run)
    assert error.code == "SRN-GATE-002"
    assert "cost_per_1000 no data" in error.what
    run.parts["gates_config"] = json.dumps(
        {"metrics": [{"metric": "cost_per_1000", "max": 10.0}], "no_data": "report"}
    )
    assert run.gate()["verdict"] == "pass"


def test_a_policy_under_which_nobody_can_be_judged_stops(tmp_path: Path) -> None:
    base = contract()
    assert base.fairness is not None
    strict = msgspec.structs.replace(base, fairness=msgspec.structs.replace(base.fairness, min_group=5000))
    error = stopped(Run(tmp_path, strict, loans(), QUICK))
    assert error.code == "SRN-GATE-002"
    assert "fairness policy" in error.what
