"""The small bundle without its category: a model that takes a matrix of numbers."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import lightgbm
import numpy as np

from serinus.bundle import Bundle, SigningKey, build_reference, write_bundle
from serinus.contract import parse_contract
from serinus.model import Calibrator, Vectorizer
from tests.support import bundles


def numeric_bundle(tmp_path: Path, *, seed: int = 7, n: int = 1000) -> Bundle:
    """A signed bundle in ``small_home(tmp_path)``; its features are four numbers, one of which may be missing."""
    document = copy.deepcopy(bundles._DOCUMENT)
    document["features"] = [f for f in document["features"] if f["name"] != "channel"]
    contract = parse_contract(document, where="tests/support/numeric.py")
    columns = bundles._columns(n, seed)
    rows = Vectorizer(contract, {}).encode_columns(columns)
    outcome = bundles._outcome(columns, seed)
    parameters = {"objective": "binary", "num_leaves": 15, "seed": seed, "num_threads": 1, "verbosity": -1}
    booster = lightgbm.train(parameters, lightgbm.Dataset(rows, outcome), num_boost_round=20)
    raw = np.asarray(booster.predict(rows, num_threads=1), dtype=np.float64)
    calibrator = Calibrator()
    parts = replace(
        bundles.small_parts(seed=seed, n=n),
        contract=contract,
        model_text=booster.model_to_string(),
        levels={},
        calibrator=calibrator,
        reference=build_reference(contract, {}, rows, raw),
        reference_rows=rows,
        reference_scores=raw,
        golden_rows=rows[:16],
        golden_scores=raw[:16],
        golden_contributions=np.asarray(booster.predict(rows[:16], pred_contrib=True, num_threads=1)),
    )
    home = bundles.small_home(tmp_path)
    return write_bundle(home.bundles, parts, SigningKey.load_or_create(home.keys))
