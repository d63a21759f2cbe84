"""What LightGBM cannot train on is told in the words of config and data, not as a fault of ours."""

from __future__ import annotations

import numpy as np
import pytest

from components.config import Training
from components.config.training import Lightgbm
from components.train.booster import fit, refused
from serinus.errors import SerinusError
from tests.unit.components.support import contract


def rows(n: int) -> tuple[np.ndarray, np.ndarray]:
    width = len(contract().features)
    values = np.random.default_rng(1).normal(size=(n, width))
    return np.abs(values), (values[:, 0] > 0).astype(float)


@pytest.mark.parametrize(
    ("parameters", "n", "says", "hint"),
    [
        (
            Lightgbm(bagging_fraction=0.001, bagging_freq=1),
            200,
            "num_data",
            "bagging_fraction, of which 200 rows",
        ),
        (Lightgbm(), 0, "num_data", "No row is left to learn from"),
        (Lightgbm(lambda_l1=-1.0), 200, "lambda_l1", "training.parameters.lambda_l1 in model.yaml"),
    ],
    ids=["a bag without a row", "no row at all", "a parameter out of range"],
)
def test_what_it_refuses_names_the_key(parameters: Lightgbm, n: int, says: str, hint: str) -> None:
    features, outcome = rows(n)
    with pytest.raises(SerinusError, match=rf"SRN-PIPELINE-043.*{n} rows: Check failed: \({says}\)") as error:
        fit(contract(), Training(parameters=parameters, rounds=3), features, outcome)
    assert hint in error.value.hint
    assert ".cpp" not in str(error.value)


@pytest.mark.parametrize(
    ("message", "hint"),
    [
        (
            "Check failed: (best_split_info.left_count) > (0) at /w/src/x.cpp, line 1 .",
            "min_sum_hessian_in_leaf",
        ),
        ("Something that nobody has seen yet", "Look at training.parameters"),
    ],
)
def test_its_rarer_words_are_passed_on_with_a_way(message: str, hint: str) -> None:
    found = refused(message, rows=7, where="fraud")
    assert hint in found.hint
    assert message.partition(" at /")[0] in found.what


def test_what_it_takes_is_trained() -> None:
    features, outcome = rows(200)
    assert fit(contract(), Training(rounds=3), features, outcome).trees > 0
