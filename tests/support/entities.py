"""A bundle whose features are read from histories, and card events to fill them."""

from __future__ import annotations

import random
from dataclasses import fields, replace
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np

from serinus.bundle import Bundle, SigningKey, build_reference, write_bundle
from serinus.contract import Contract, parse_contract
from serinus.features import FeatureStream
from serinus.model import Calibrator, Vectorizer, fit_isotonic, learn_levels
from tests.support.bundles import small_home, small_parts

START = datetime(2026, 1, 5)
COLUMNS: dict[str, dict[str, Any]] = {
    "id": {"type": "id"},
    "at": {"type": "timestamp"},
    "card": {"type": "id"},
    "shop": {"type": "id", "missing": "allow"},
    "amount": {"type": "number", "min": 0, "max": 100000},
    "kind": {"type": "category", "categories": ["chip", "web"], "unknown": "refuse"},
    "till": {"type": "integer", "missing": "allow"},
    "home": {"type": "boolean"},
    "sex": {"type": "category", "missing": "allow"},
    "bad": {"type": "integer", "missing": "allow"},
}
FEATURES: list[dict[str, Any]] = [
    {"name": "amount", "column": "amount", "reason": "Amount of this payment"},
    {"name": "kind", "column": "kind", "reason": "How the card was read"},
    {"name": "night", "column": "at", "part": "is_night", "reason": "Time of day"},
    {
        "name": "n_2h",
        "entity": "card",
        "aggregate": "count",
        "window": "2h",
        "reason": "Payments in two hours",
    },
    {"name": "sum_6h", "entity": "card", "aggregate": "sum", "column": "amount", "window": "6h"},
    {"name": "mean_6h", "entity": "card", "aggregate": "mean", "column": "amount", "window": "6h"},
    {
        "name": "risk_1d",
        "entity": "shop",
        "aggregate": "mean",
        "column": "bad",
        "window": "1d",
        "delay": "3h",
    },
]


def cards(**changes: Any) -> Contract:
    """Payments by card and shop: windows up to a day, labels 3 h late, 6 h of lateness. Keys may be replaced."""
    document: dict[str, Any] = {
        "apiVersion": "serinus.io/v1",
        "kind": "DataContract",
        "name": "cards",
        "columns": COLUMNS,
        "event": {"id": "id", "time": "at", "lateness": "6h"},
        "entities": {"card": "card", "shop": "shop"},
        "label": {"column": "bad", "positive": 1, "delay": "3h"},
        "features": FEATURES,
        "decision": {"review_at": 0.3, "decline_at": 0.6},
        "protected": [{"column": "sex"}],
    }
    return parse_contract({**document, **changes}, where="tests/support/entities.py")


def payment(number: int | str, hours: float, **values: Any) -> dict[str, Any]:
    """One record as a client sends it."""
    at = (START + timedelta(hours=hours)).isoformat()
    base = {"id": number, "at": at, "card": "a", "shop": "x", "amount": 10.0, "kind": "chip", "home": True}
    return {**base, **values}


def payments(count: int, seed: int = 3) -> list[dict[str, Any]]:
    """Payments in order of time, ids from 0; some at the same moment."""
    chance = random.Random(seed)
    hours = sorted(chance.randrange(4 * 24 * 12) / 12 for _ in range(count))
    return [
        payment(
            number,
            hour,
            card=f"c{chance.randrange(12)}",
            shop=f"s{chance.randrange(6)}",
            amount=round(chance.lognormvariate(4, 1), 2),
            kind=chance.choice(["chip", "chip", "web"]),
        )
        for number, hour in enumerate(hours)
    ]


@lru_cache
def _trained() -> tuple[str, Calibrator, np.ndarray]:
    contract, stream = cards(), FeatureStream(cards())
    chance = random.Random(1)
    rows: list[dict[str, object]] = []
    outcomes: list[float] = []
    for sent in payments(1500, seed=1):
        found = stream.features(sent)
        risk = 0.01 * sent["amount"] + 1.5 * (found["n_2h"] or 0) + 2 * (found["risk_1d"] or 0) - 2.5  # type: ignore[operator]
        bad = float(chance.random() < 1 / (1 + np.exp(-risk)))
        rows.append(found)
        outcomes.append(bad)
        stream.update({**sent, "bad": int(bad)})
    columns = {name: [row[name] for row in rows] for name in contract.feature_names}
    levels = learn_levels(contract, columns)
    matrix = Vectorizer(contract, levels).encode_columns(columns)
    outcome = np.array(outcomes)
    dataset = lightgbm.Dataset(matrix, outcome, categorical_feature=[1])
    parameters = {"objective": "binary", "num_leaves": 15, "seed": 1, "num_threads": 1, "verbosity": -1}
    booster = lightgbm.train({**parameters, "deterministic": True}, dataset, num_boost_round=30)
    raw = np.asarray(booster.predict(matrix, num_threads=1))
    return booster.model_to_string(), fit_isotonic(raw, outcome), matrix


def cards_bundle(directory: Path, contract: Contract | None = None) -> Bundle:
    """A signed bundle of that contract, or of ``cards()``, in ``small_home(directory)``."""
    contract = contract or cards()
    model_text, calibrator, matrix = _trained()
    booster = lightgbm.Booster(model_str=model_text)
    scores = calibrator.apply(np.asarray(booster.predict(matrix, num_threads=1)))
    levels = {"kind": ("chip", "web")}
    changes: dict[str, Any] = {
        "name": contract.name,
        "contract": contract,
        "model_text": model_text,
        "levels": levels,
        "calibrator": calibrator,
        "reference": build_reference(contract, levels, matrix, scores),
        "reference_rows": matrix,
        "reference_scores": scores,
        "golden_rows": matrix[:16],
        "golden_scores": scores[:16],
        "golden_contributions": np.asarray(booster.predict(matrix[:16], pred_contrib=True, num_threads=1)),
        "card": {"name": contract.name},
    }
    parts = small_parts()
    known = {field.name for field in fields(parts)}
    home = small_home(directory)
    return write_bundle(
        home.bundles,
        replace(parts, **{name: value for name, value in changes.items() if name in known}),
        SigningKey.load_or_create(home.keys),
    )
