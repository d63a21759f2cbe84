"""Each bad model is stopped by the gate that is meant for it, and by no other; sound ones pass.

Every case goes through the pipeline's own step functions, from records to the gate.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from components.config import (
    Challenge,
    Champion,
    Gate,
    Gates,
    Latency,
    Lightgbm,
    ModelConfig,
    Retrained,
    Splitting,
    Training,
)
from components.step import StepError, read_json
from components.train.train import MODEL
from pipelines.run import champion_of
from serinus.contract import Contract, dump_contract
from serinus.home import Home
from serinus.registry import Registry
from tests.unit.components.support import Run, contract, loans, ticking

ROWS = 2400
ONCE = Challenge(retrained=Retrained(fits=0))
"""Fitting again costs most of a case's time, and is of interest in two of them."""
SOUND = ModelConfig(name="loans", training=Training(rounds=40, folds=3), challenge=ONCE)
FREE = [{"name": name, "column": name} for name in ("income", "debt", "purpose")]
"""The features without declared directions, which hold a model back from overfitting."""
START = np.datetime64("2026-01-01T00:00:00", "s")


def dated(**changes: Any) -> Contract:
    """Loans with a date and a customer."""
    columns: dict[str, Any] = dump_contract(contract())["columns"] | {
        "at": {"type": "timestamp"}, "customer": {"type": "id"},
    }  # fmt: skip
    entities = {"customer": "customer"}
    return contract(**({"columns": columns, "event": {"time": "at"}, "entities": entities} | changes))


def records(rows: int = ROWS, **options: Any) -> dict[str, np.ndarray]:
    hours = np.arange(rows) * np.timedelta64(3600, "s")
    return {**loans(rows, **options), "at": START + hours, "customer": np.arange(rows) % 500}


def trained(**changes: Any) -> ModelConfig:
    return msgspec.structs.replace(SOUND, training=msgspec.structs.replace(SOUND.training, **changes))


def challenged(**changes: Any) -> ModelConfig:
    return msgspec.structs.replace(SOUND, challenge=msgspec.structs.replace(ONCE, **changes))


def leaking() -> dict[str, np.ndarray]:
    """Income as it was after the outcome: nearly tells it, with some noise."""
    columns, noise = records(), np.random.default_rng(1).normal(0, 25, ROWS)
    columns["income"] = np.where(columns["bad"] == "Y", 101.0, 200.0) + noise.clip(-100, 100)
    return columns


def telling() -> dict[str, np.ndarray]:
    """A purpose whose name was given after the outcome; its levels' order says nothing."""
    columns, random = records(), np.random.default_rng(2)
    told = np.where(
        columns["bad"] == "Y", random.choice(["b", "d"], ROWS), random.choice(["a", "c", "e"], ROWS)
    )
    columns["purpose"] = np.where(random.random(ROWS) < 0.004, "c", told)
    return columns


def stamped(late: float) -> dict[str, np.ndarray]:
    """When the application was decided: before the event, or for a share of the rows after it."""
    columns, random = records(), np.random.default_rng(3)
    hours = np.where(random.random(ROWS) < late, 5, -5) * np.timedelta64(3600, "s")
    return {**columns, "decided": columns["at"] + hours}


def with_decided() -> Contract:
    agreed = dump_contract(dated())
    features = [*agreed["features"], {"name": "decided_at_hour", "column": "decided", "part": "hour"}]
    return dated(columns=agreed["columns"] | {"decided": {"type": "timestamp"}}, features=features)


def separate() -> dict[str, np.ndarray]:
    """Every row another customer."""
    return {**records(), "customer": np.arange(ROWS)}


@dataclass(frozen=True)
class Case:
    """A pipeline, and the demands that it must fail; none for a sound one."""

    stopped_by: set[str] = field(default_factory=set)
    columns: Any = records
    agreed: Any = dated
    config: ModelConfig = SOUND
    tick: int = 1


WILD = Lightgbm(num_leaves=200, min_data_in_leaf=1, lambda_l2=0.0, learning_rate=0.3)
ERRATIC = Lightgbm(
    num_leaves=64,
    min_data_in_leaf=1,
    lambda_l2=0.0,
    learning_rate=1.0,
    feature_fraction=0.34,
    extra_trees=True,
)
CASES = {
    "sound": Case(config=challenged(retrained=Retrained())),
    "sound, undated": Case(columns=lambda: loans(ROWS), agreed=contract),
    "sound, other customers in test": Case(
        columns=separate, config=challenged(shared_entities={"customer": 0.0})
    ),
    "sound, decided before": Case(columns=lambda: stamped(0.0), agreed=with_decided),
    "a feature knows the answer": Case({"single_feature_auc"}, leaking),
    "a category knows the answer": Case({"single_feature_auc"}, telling),
    "a timestamp from the future": Case({"future_timestamps"}, lambda: stamped(0.3), with_decided),
    "labels that were not known yet": Case(
        {"labels_not_yet_known"},
        agreed=lambda: dated(label={"column": "bad", "positive": "Y", "delay": "10d"}),
        config=msgspec.structs.replace(SOUND, split=msgspec.structs.replace(SOUND.split, gap="1d")),
    ),
    "the same applicants again": Case(
        {"test_rows_of_trained_customer"}, config=challenged(shared_entities={"customer": 0.0})
    ),
    "biased": Case({"adverse_impact_ratio group=a"}, lambda: records(bias=1.5)),
    "overfit": Case(
        {"auc_drop"},
        agreed=lambda: dated(features=FREE),
        config=trained(rounds=60, early_stopping=0, parameters=WILD),
    ),
    "unstable": Case(
        {"retrained_auc_sd", "retrained_decisions_changed"},
        agreed=lambda: dated(features=FREE),
        config=msgspec.structs.replace(
            trained(rounds=1, early_stopping=0, parameters=ERRATIC), challenge=Challenge()
        ),
    ),
    "miscalibrated": Case(
        {"calibration_error"}, config=trained(rounds=8, early_stopping=0, calibration="identity")
    ),
    "slow": Case(
        {"one_row_us", "one_row_explained_us"},
        config=msgspec.structs.replace(SOUND, latency=Latency(one=1000, one_explained=1000)),
        tick=2_000_000_000,
    ),
    "no better than chance": Case(
        {"auc_low"},
        lambda: {**loans(ROWS), "bad": np.random.default_rng(9).permutation(loans(ROWS)["bad"])},
        contract,
        msgspec.structs.replace(SOUND, gates=Gates(metrics=(Gate(metric="auc_low", min=0.5),))),
    ),
    "fooled by smaller amounts": Case(
        {"debt split into 4"},
        config=challenged(splitting=(Splitting(column="debt", parts=4, escaped_max=0.1),)),
    ),
}


def run(case: Case, directory: Path) -> Run:
    found = Run(directory, case.agreed(), case.columns(), case.config)
    found.clock = ticking(case.tick)
    found.prepare()
    found.judge()
    return found


@pytest.mark.parametrize("name", CASES)
def test_a_model_is_stopped_by_the_gate_that_is_meant_for_it_and_by_no_other(
    name: str, tmp_path: Path
) -> None:
    case = CASES[name]
    made = run(case, tmp_path)
    if case.stopped_by:
        with pytest.raises(StepError) as caught:
            made.gate()
        assert caught.value.code == "SRN-GATE-001"
    else:
        assert made.gate()["verdict"] == "pass"
    demands = read_json(made.path("judgement"))["demands"]
    failed = [d for d in demands if d["verdict"] == "fail"]
    assert {d["metric"] for d in failed if d["blocks"]} == case.stopped_by
    # That a plain scorecard does better is a warning, and nothing is warned of in a sound model.
    warned = {d["metric"] for d in failed if not d["blocks"]}
    assert warned <= ({"scorecard_auc_gain"} if case.stopped_by else set())


def test_every_demand_says_what_it_is_and_has_a_value_or_says_why_not(tmp_path: Path) -> None:
    made = run(CASES["sound"], tmp_path)
    made.gate()
    for demand in read_json(made.path("judgement"))["demands"]:
        assert demand["what"], demand["metric"]
        assert demand["threshold"], demand["metric"]
        told = demand["verdict"] not in ("no_data", "no_champion")
        assert told or demand["note"], demand["metric"]
        assert told or demand["value"] is None or "may be chance" in demand["note"], demand["metric"]
        assert not told or demand["value"] is not None, demand["metric"]
        assert demand["n"] or demand["value"] is None or demand["group"] == "performance", demand["metric"]
        if demand["low"] is not None:
            assert demand["low"] <= demand["value"] <= demand["high"], demand["metric"]


def test_what_depends_on_the_machine_or_the_installation_is_not_in_what_the_bundle_holds(
    tmp_path: Path,
) -> None:
    made = run(CASES["sound"], tmp_path)
    made.gate()
    model, whole = (read_json(made.path(name))["demands"] for name in ("validation", "judgement"))
    assert {d["group"] for d in whole} - {d["group"] for d in model} == {"champion", "implementation"}
    assert [d for d in whole if d["group"] not in ("champion", "implementation")] == model
    before = made.path("validation").read_bytes()
    made.clock = ticking(500)
    made.judge()
    made.gate()
    assert made.path("validation").read_bytes() == before


def test_a_worse_model_than_the_champion_is_stopped_and_an_equal_one_passes(tmp_path: Path) -> None:
    """Trained without the feature that matters most, which no gate on the model alone minds."""
    champion = run(CASES["sound"], tmp_path / "champion")
    champion.gate()
    champion.card()
    champion.register(tmp_path / "home")
    version = read_json(champion.path("version"))

    def against(config: ModelConfig, name: str) -> Run:
        other = Run(tmp_path / name, dated(), records(), config)
        other.champion = version["bundle"], version["digest"]
        other.prepare()
        other.judge()
        return other

    home = Home(tmp_path / "home")
    assert champion_of(home, "loans") == {"champion_bundle": "", "champion_digest": ""}, (
        "validated is not champion"
    )
    Registry(home).set_stage("loans", version["version"], "champion", by="bob", reason="first")
    assert champion_of(home, "loans") == {
        "champion_bundle": str(Path(version["bundle"]).resolve()), "champion_digest": version["digest"],
    }  # fmt: skip
    assert champion_of(home, "cards")["champion_bundle"] == ""
    assert champion_of(Home(tmp_path / "nowhere"), "loans")["champion_bundle"] == ""
    stop = Champion(undecided="stop")
    again = against(msgspec.structs.replace(SOUND, champion=stop), "again")
    assert again.gate()["verdict"] == "pass"
    found = read_json(again.path("champion"))
    assert (found["champion"]["digest"], found["items"][0]["value"]) == (version["digest"], 0.0)

    worse = msgspec.structs.replace(trained(exclude=("debt",)), champion=stop)
    poor = against(worse, "poor")
    with pytest.raises(StepError) as caught:
        poor.gate()
    demands = caught.value.details["demands"]
    assert {d["metric"] for d in demands if d["verdict"] == "fail"} == {"champion_auc"}
    assert read_json(poor.path("validation"))["verdict"] == "pass", "the model alone would have passed"
    assert (poor.path("model") / MODEL).exists()


def test_a_first_model_is_not_stopped_for_want_of_a_champion_unless_the_config_says_so(
    tmp_path: Path,
) -> None:
    case = Case(config=msgspec.structs.replace(SOUND, champion=Champion(no_champion="stop")))
    with pytest.raises(StepError, match="champion_auc no champion") as caught:
        run(case, tmp_path).gate()
    assert caught.value.code == "SRN-GATE-002"
