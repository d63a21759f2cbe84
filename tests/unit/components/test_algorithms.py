"""Every algorithm goes the same way: trained, judged, explained, registered, and scored as it was validated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.config import Boosting, Forest, Logistic, ModelConfig, Training
from components.step import read_json
from serinus.bundle import Keyring, open_bundle
from serinus.errors import SerinusError
from serinus.home import Home
from serinus.model.portable import is_portable
from serinus.scoring import Scorer
from tests.unit.components.support import Run, contract, loans

ALGORITHMS: list[tuple[dict[str, Any], str]] = [
    ({"algorithm": "random_forest", "forest": Forest(n_estimators=30, max_depth=5)}, "trees"),
    ({"algorithm": "extra_trees", "forest": Forest(n_estimators=30, max_depth=5)}, "trees"),
    ({"algorithm": "hist_gradient_boosting", "boosting": Boosting(max_depth=3), "rounds": 30}, "trees"),
    ({"algorithm": "logistic_regression", "logistic": Logistic(c=0.5)}, "linear"),
]


def config(**training: Any) -> ModelConfig:
    options: dict[str, Any] = {"out_of_fold_rows": 0} | training
    return ModelConfig(name="loans", training=Training(**options))


@pytest.mark.parametrize(("training", "kind"), ALGORITHMS, ids=[t["algorithm"] for t, _ in ALGORITHMS])
def test_it_is_registered_and_scores_and_explains_as_it_was_validated(
    tmp_path: Path, training: dict[str, Any], kind: str
) -> None:
    run = Run(tmp_path, contract(), loans(), config(**training))
    run.prepare()
    run.judge()
    run.gate()
    run.card()
    home = Home(tmp_path / "home")
    run.register(home.root)
    (path,) = home.bundles.iterdir()
    bundle = open_bundle(path, trusted=Keyring.load(home.keys))
    assert bundle.manifest.model_kind == kind
    assert is_portable(bundle.model_text)
    warnings: list[SerinusError] = []
    scorer = Scorer(bundle, warn=warnings.append)
    scorer.self_test()
    assert scorer.backend == "native"
    assert not warnings
    rows = bundle.golden_rows
    answers = scorer.score(rows, "always")
    np.testing.assert_array_equal([a.probability for a in answers], bundle.golden_scores)
    for row, answer in zip(rows, answers, strict=True):
        assert scorer.one(np.ascontiguousarray(row), "always") == answer
    assert any(answer.reasons for answer in answers)
    assert read_json(run.path("metrics"))["metrics"]["auc"] > 0.7


def test_training_again_gives_the_same_model(tmp_path: Path) -> None:
    texts = set()
    for name in ("a", "b"):
        run = Run(tmp_path / name, contract(), loans(), config(**ALGORITHMS[0][0]))
        run.prepare()
        run.judge()
        texts.add((run.path("model") / "model.txt").read_text())
    assert len(texts) == 1


def test_boosting_that_takes_no_missing_values_says_which_column_has_some(tmp_path: Path) -> None:
    run = Run(tmp_path, contract(), loans(), config(algorithm="gradient_boosting"))
    run.prepare()
    with pytest.raises(SerinusError, match="debt has some") as caught:
        run.judge()
    assert caught.value.code == "SRN-PIPELINE-038"
