"""The steps over a small data set: what they fit, report and refuse."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

from components.config import (
    Gates,
    Split,
)
from components.evaluate.names import METRICS
from components.step import read_json
from components.table import TEST, TRAIN
from components.train.train import MODEL, OUT_OF_FOLD
from serinus.errors import SerinusError
from tests.unit.components.support import QUICK, Run, contract, loans


def test_any_table_with_a_contract_trains_and_passes_the_default_gates(sound: Run) -> None:
    found = read_json(sound.path("validation"))
    assert found["verdict"] == "pass"
    assert {demand["metric"] for demand in found["demands"]} >= {gate.metric for gate in Gates().metrics}


def test_every_metric_is_reported_and_the_unmeasured_is_null(sound: Run) -> None:
    found = read_json(sound.path("metrics"))
    assert set(found["metrics"]) == set(METRICS)
    assert found["metrics"]["auc"] > 0.75
    assert found["metrics"]["cost_per_1000"] is None  # the contract names no costs


def test_every_row_is_scored_by_a_model_that_has_not_seen_it(sound: Run) -> None:
    codes, unseen = np.load(sound.path("assignment")), np.load(sound.path("model") / OUT_OF_FOLD)
    assert np.isfinite(unseen[codes == TRAIN]).all()
    from components.table import encode, read_features
    from components.train.booster import load
    from components.train.train import load_levels

    rows = read_features(sound.contract, sound.path("table"))
    encoded = encode(sound.contract, load_levels(sound.path("model")), rows.columns)
    itself = load((sound.path("model") / MODEL).read_text()).probability(encoded)
    assert (itself[codes == TEST] == unseen[codes == TEST]).all()
    assert not np.isclose(itself[codes == TRAIN], unseen[codes == TRAIN]).all()


def test_monotone_features_are_monotone(sound: Run) -> None:
    from components.train.booster import load

    model = load((sound.path("model") / MODEL).read_text())
    debts = np.column_stack([np.full(50, 40.0), np.linspace(-3, 3, 50), np.zeros(50)])
    assert (np.diff(model.probability(debts)) >= 0).all()


def test_reasons_add_up_and_name_no_protected_attribute(sound: Run) -> None:
    found = read_json(sound.path("explain"))
    assert {item["check"]: item["verdict"] for item in found["checks"]} == {
        "protected_features": "pass",
        "additivity_error": "pass",
        "adverse_without_reason": "pass",
        "says_something": "pass",
    }
    assert next(iter(found["importance"])) == "debt"


def test_the_card_shows_what_the_run_found_and_escapes_what_people_wrote(sound: Run, tmp_path: Path) -> None:
    config = msgspec.structs.replace(QUICK, purpose="<script>alert(1)</script>")
    other = Run(tmp_path, contract(), loans(), config)
    for name in (
        "contract",
        "ingested",
        "profile",
        "split",
        "training",
        "metrics",
        "fairness",
        "explain",
        "challenge",
        "validation",
    ):
        other.path(name).write_bytes(sound.path(name).read_bytes())
    other.card()
    page = other.path("card.html").read_text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;" in page
    for drawing in (
        "ROC",
        "Precision and recall",
        "Calibration",
        "SHAP summary",
        "AUC lost",
        "Adverse impact ratio",
    ):
        assert f"<figcaption>{drawing}" in page
    assert read_json(sound.path("ingested"))["digest"] in page
    assert "The records carry no event time" in page
    assert "adverse_impact_ratio group=a" in page.replace("<wbr>", "")  # where a long name may break


def test_the_card_is_the_same_bytes_again(sound: Run) -> None:
    before = sound.path("card.html").read_bytes()
    sound.card()
    assert sound.path("card.html").read_bytes() == before


def test_reweighing_narrows_the_gap_and_keeps_the_attribute_out_of_the_model(tmp_path: Path) -> None:
    columns = loans(bias=0.6)
    plain, fair = (
        Run(tmp_path / name, contract(), columns, msgspec.structs.replace(QUICK, training=training))
        for name, training in (
            ("plain", QUICK.training),
            ("fair", msgspec.structs.replace(QUICK.training, mitigation="reweigh")),
        )
    )
    ratios = []
    for run in (plain, fair):
        run.prepare()
        run.judge()
        ratios.append(read_json(run.path("fairness"))["findings"][0]["value"])
    assert ratios[1] > ratios[0] + 0.01
    assert "group" not in (fair.path("model") / MODEL).read_text().split("feature_names=")[1].split("\n")[0]


def test_an_excluded_feature_has_no_part_in_any_tree(tmp_path: Path) -> None:
    config = msgspec.structs.replace(
        QUICK, training=msgspec.structs.replace(QUICK.training, exclude=("debt",))
    )
    run = Run(tmp_path, contract(), loans(), config)
    run.prepare()
    run.judge()
    assert read_json(run.path("explain"))["importance"]["debt"] == 0
    run.parts["training_config"] = json.dumps({"exclude": ["dept"]})
    with pytest.raises(SerinusError, match='"dept"') as caught:
        run.judge()
    assert caught.value.code == "SRN-PIPELINE-036"


@pytest.mark.parametrize(
    ("columns", "code"),
    [
        (loans(40), "SRN-PIPELINE-030"),
        ({**loans(300), "bad": np.where(np.arange(300) < 4, "Y", "N")}, "SRN-PIPELINE-033"),
    ],
    ids=["too few rows", "too few bad outcomes"],
)
def test_what_no_model_can_be_trained_on_is_refused(
    columns: dict[str, np.ndarray], code: str, tmp_path: Path
) -> None:
    config = msgspec.structs.replace(QUICK, split=Split(train=0.8, validation=0.1, test=0.1))
    with pytest.raises(SerinusError) as caught:
        Run(tmp_path, contract(), columns, config).prepare()
    assert caught.value.code == code
