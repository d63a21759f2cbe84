"""A small, real bundle for tests: LightGBM on synthetic card payments.

The outcome depends on amount, channel and merchant risk, so scores spread over
all three decisions. Everything is seeded: the same arguments give the same
model, and `seed` or `version` gives another one.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from serinus.bundle import (
    Bundle,
    BundleParts,
    SigningKey,
    build_reference,
    write_bundle,
)
from serinus.contract import Contract, parse_contract
from serinus.home import Home
from serinus.model import Calibrator, Vectorizer, fit_isotonic, learn_levels

Floats = NDArray[np.float64]
CHANNELS = ("chip", "online", "swipe")
_DOCUMENT: dict[str, Any] = {
    "apiVersion": "serinus.io/v1",
    "kind": "DataContract",
    "name": "small",
    "columns": {
        "id": {"type": "id"},
        "amount": {"type": "number", "min": 0, "max": 100000, "unit": "EUR"},
        "hour": {"type": "integer", "min": 0, "max": 23},
        "channel": {"type": "category", "categories": list(CHANNELS)},
        "days_since_last": {"type": "number", "min": 0, "missing": "allow"},
        "merchant_risk": {"type": "number", "min": 0, "max": 1},
        "sex": {"type": "category", "missing": "allow"},
        "fraud": {"type": "boolean"},
    },
    "event": {"id": "id"},
    "label": {"column": "fraud", "positive": 1},
    "features": [
        {
            "name": "amount",
            "column": "amount",
            "reason": "The amount is unusually high",
        },
        {
            "name": "hour",
            "column": "hour",
            "reason": "The payment was made at an unusual hour",
        },
        {
            "name": "channel",
            "column": "channel",
            "reason": "The card was not read by its chip",
        },
        {
            "name": "days_since_last",
            "column": "days_since_last",
            "reason": "The card was long unused",
        },
        {
            "name": "merchant_risk",
            "column": "merchant_risk",
            "reason": "The merchant has had fraud before",
        },
    ],
    "decision": {
        "review_at": 0.3,
        "decline_at": 0.6,
        "max_reasons": 3,
        "cost_false_positive": 10,
        "cost_false_negative": 10,
        "currency": "EUR",
    },
    "protected": [{"column": "sex"}],
}


def small_contract() -> Contract:
    """Five features (one categorical, one that may be missing), one protected attribute, all three decisions."""
    return parse_contract(_DOCUMENT, where="tests/support/bundles.py")


def small_records(n: int, seed: int = 7) -> list[dict[str, Any]]:
    """Feature rows by name, as a client would send them; ``days_since_last`` is None in a tenth."""
    columns = _columns(n, seed)
    names = small_contract().feature_names
    rows = zip(*(columns[name] for name in names), strict=True)
    return [dict(zip(names, row, strict=True)) for row in rows]


def small_parts(*, seed: int = 7, version: int = 1, n: int = 2000) -> BundleParts:
    """What ``small_bundle`` writes; change a part with ``dataclasses.replace`` to make a bad candidate."""
    model_text, calibrator = _train(seed, n)
    contract = small_contract()
    columns = _columns(n, seed)
    levels = learn_levels(contract, columns)
    rows = Vectorizer(contract, levels).encode_columns(columns)
    booster = lightgbm.Booster(model_str=model_text)
    raw = np.asarray(booster.predict(rows, num_threads=1), dtype=np.float64)
    scores = calibrator.apply(raw)
    return BundleParts(
        name=contract.name,
        version=version,
        contract=contract,
        model_text=model_text,
        levels=levels,
        calibrator=calibrator,
        reference=build_reference(contract, levels, rows, scores),
        reference_rows=rows[:5000],
        reference_scores=scores[:5000],
        golden_rows=rows[:16],
        golden_scores=scores[:16],
        golden_contributions=np.asarray(booster.predict(rows[:16], pred_contrib=True, num_threads=1)),
        metrics={"rows": n},
        provenance={"seed": seed},
        card={"name": contract.name},
        card_html="<h1>small</h1>",
    )


def small_bundle(tmp_path: Path, *, seed: int = 7, version: int = 1, n: int = 2000) -> Bundle:
    """A signed bundle in ``small_home(tmp_path)``, whose keyring trusts it."""
    home = small_home(tmp_path)
    return write_bundle(
        home.bundles,
        small_parts(seed=seed, version=version, n=n),
        SigningKey.load_or_create(home.keys),
    )


def small_home(tmp_path: Path) -> Home:
    """An installation below ``tmp_path``; the same one at every call."""
    return Home(tmp_path / "home")


def _columns(n: int, seed: int) -> dict[str, list[Any]]:
    random = np.random.default_rng(seed)
    unused = random.exponential(20, n).round(2)
    return {
        "amount": random.lognormal(4, 1, n).clip(0.01, 99_999).round(2).tolist(),
        "hour": random.integers(0, 24, n).tolist(),
        "channel": [CHANNELS[i] for i in random.choice(3, n, p=[0.6, 0.3, 0.1])],
        "days_since_last": [
            None if gone else days for gone, days in zip(random.random(n) < 0.1, unused.tolist(), strict=True)
        ],
        "merchant_risk": random.beta(1, 6, n).round(4).tolist(),
    }


def _outcome(columns: dict[str, list[Any]], seed: int) -> Floats:
    random = np.random.default_rng([seed, 1])
    online = np.array([channel == "online" for channel in columns["channel"]], dtype=np.float64)
    logit = (
        -6.0
        + 1.6 * (np.log(np.array(columns["amount"])) - 4)
        + 2.5 * online
        + 14.0 * np.array(columns["merchant_risk"])
        + 1.5 * (np.array(columns["hour"]) < 6)
    )
    return (random.random(logit.size) < 1 / (1 + np.exp(-logit))).astype(np.float64)


@lru_cache(maxsize=8)
def _train(seed: int, n: int) -> tuple[str, Calibrator]:
    contract = small_contract()
    columns = _columns(n, seed)
    vectorizer = Vectorizer(contract, learn_levels(contract, columns))
    rows, outcome = vectorizer.encode_columns(columns), _outcome(columns, seed)
    fit = slice(0, int(n * 0.7))
    dataset = lightgbm.Dataset(rows[fit], outcome[fit], categorical_feature=list(vectorizer.categorical))
    parameters = {
        "objective": "binary", "num_leaves": 15, "learning_rate": 0.1, "min_data_in_leaf": 10,
        "seed": seed, "deterministic": True, "num_threads": 1, "verbosity": -1,
    }  # fmt: skip
    booster = lightgbm.train(parameters, dataset, num_boost_round=40)
    rest = slice(fit.stop, n)
    raw = np.asarray(booster.predict(rows[rest], num_threads=1), dtype=np.float64)
    return booster.model_to_string(), fit_isotonic(raw, outcome[rest])
