"""A model that reads a bought credit score: its bundle, a policy that declares the score, and declined applications."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import lightgbm
import msgspec
import numpy as np

from serinus.bundle import Bundle, SigningKey, build_reference, write_bundle
from serinus.contract import parse_contract
from serinus.events import Decision, DecisionEvent
from serinus.model import Vectorizer, fit_isotonic, learn_levels
from serinus.scoring import Scorer
from tests.support.bundles import small_contract, small_home, small_parts
from tests.unit.notice.support import DAY, POLICY

CODES = ("09", "14", "38", "40")
CREATED = 20_716  # 2026-09-20, in days since 1970-01-01
COLUMNS: dict[str, Any] = {
    "bureau_score": {"type": "integer", "missing": "allow"},
    "bureau_at": {"type": "timestamp", "missing": "allow"},
    "factor_1": {"type": "category", "categories": list(CODES), "missing": "allow"},
    "factor_2": {"type": "category", "categories": list(CODES), "missing": "allow"},
    "factor_3": {"type": "integer", "missing": "allow"},
}
FEATURES: list[dict[str, Any]] = [
    {"name": "bureau_score", "column": "bureau_score", "monotone": -1, "reason": "Credit score"},
    {"name": "bureau_day", "column": "bureau_at", "part": "day", "missing": "allow"},
    {"name": "factor_1", "column": "factor_1"},
    {"name": "factor_2", "column": "factor_2"},
    {"name": "factor_3", "column": "factor_3"},
]
SCORE: dict[str, Any] = {
    "feature": "bureau_score",
    "provider": {"name": "Bureau", "address": ["2 Street", "Town"], "telephone": "800-555"},
    "low": 300,
    "high": 850,
    "created": "bureau_day",
    "factors": ["factor_1", "factor_2", "factor_3"],
    "max_factors": 2,
    "inquiries": ["9"],
}
TEXTS: dict[str, Any] = {
    "opening": [
        "We also obtained your credit score and used it.",
        "Your credit score: {score}, of {scored}. Scores range from a low of {low} to a high of {high}.",
    ],
    "heading": "Key factors that adversely affected your credit score:",
    "closing": ["Ask {provider}."],
    "factors": {
        "bureau_score": {
            "09": "Recent inquiries", "14": "Young accounts", "38": "Serious delinquency", "40": "Derogatory record",
            "9": "Number of recent inquiries", "7": "Seven accounts",
        }
    },
}  # fmt: skip
BOUGHT: dict[str, Any] = {
    "bureau_score": 612, "bureau_day": CREATED, "factor_1": "38", "factor_2": "14", "factor_3": None,
}  # fmt: skip


def scored_policy(**changes: Any) -> dict[str, Any]:
    """The policy with that score declared for the US; ``changes`` are to its declaration."""
    policy = copy.deepcopy(POLICY)
    rules = policy["jurisdictions"]["US"]
    rules["scores"] = [copy.deepcopy(SCORE) | changes]
    for letter in rules["letters"].values():
        letter["score"] = copy.deepcopy(TEXTS)
    return policy


def scored_bundle(
    place: Path,
    *,
    exclude: tuple[str, ...] = ("bureau_day", "factor_1", "factor_2", "factor_3"),
    name: str | None = None,
) -> Bundle:
    """A signed bundle whose model reads amounts and the score; ``exclude`` is what its training left out."""
    document = msgspec.to_builtins(small_contract())
    document["columns"] |= COLUMNS
    document["features"] = [*document["features"], *FEATURES]
    document["name"] = name or document["name"]
    contract = parse_contract(document, where="test")
    random, n = np.random.default_rng(3), 2000
    columns: dict[str, list[Any]] = {
        "amount": random.lognormal(4, 1, n).round(2).tolist(), "hour": random.integers(0, 24, n).tolist(),
        "channel": ["chip", "online"] * (n // 2), "days_since_last": [None] * n,
        "merchant_risk": random.beta(1, 6, n).tolist(), "bureau_score": random.integers(300, 851, n).tolist(),
        "bureau_day": [CREATED] * n, "factor_1": list(CODES) * (n // 4), "factor_2": list(CODES) * (n // 4),
        "factor_3": [9, 7] * (n // 2),
    }  # fmt: skip
    levels = learn_levels(contract, columns)
    vectorizer = Vectorizer(contract, levels)
    rows = vectorizer.encode_columns(columns)
    outcome = (random.random(n) < 1 / (1 + np.exp((rows[:, 5] - 575) / 40))).astype(np.float64)
    fitted = rows.copy()
    for name in exclude:
        fitted[:, contract.feature_names.index(name)] = np.nan
    booster = lightgbm.train(
        {
            "objective": "binary",
            "num_leaves": 7,
            "seed": 1,
            "deterministic": True,
            "num_threads": 1,
            "verbosity": -1,
        },
        lightgbm.Dataset(fitted, outcome, categorical_feature=list(vectorizer.categorical)),
        num_boost_round=20,
    )
    raw = np.asarray(booster.predict(rows, num_threads=1), dtype=np.float64)
    calibrator = fit_isotonic(raw, outcome)
    scores = calibrator.apply(raw)
    parts = dataclasses.replace(
        small_parts(), name=contract.name, contract=contract,
        model_text=booster.model_to_string(), levels=levels, calibrator=calibrator,
        reference=build_reference(contract, levels, rows, scores), reference_rows=rows, reference_scores=scores,
        golden_rows=rows[:16], golden_scores=scores[:16],
        golden_contributions=np.asarray(booster.predict(rows[:16], pred_contrib=True, num_threads=1)),
        provenance={"config": {"training": {"exclude": list(exclude)}}}, online=None,
    )  # fmt: skip
    home = small_home(place)
    return write_bundle(home.bundles, parts, SigningKey.load_or_create(home.keys))


def decision(bundle: Bundle, name: str = "decline", **bought: Any) -> DecisionEvent:
    """An honest decision, by default on an applicant with a low score; ``bought`` changes what was sent of it."""
    scorer = Scorer(bundle)
    record = {"amount": 400.0, "hour": 3, "channel": "online", "days_since_last": None, "merchant_risk": 0.3}
    told = BOUGHT | {"bureau_score": 400} | bought
    vector = scorer.vectorizer.encode(
        record | {name: told[name] for name in told if name in bundle.contract.feature_names}
    )
    answer = scorer.one(vector, "always")
    return DecisionEvent(
        id=name,
        source="/models/small/predictors/champion",
        time=f"{DAY}T10:00:00.000000Z",
        data=Decision(
            model=bundle.name, version=bundle.version, digest=bundle.digest, predictor="champion",
            score=answer.score, probability=answer.probability, decision=answer.decision, reasons=answer.reasons,
            features=tuple(None if value != value else value for value in vector.tolist()),
        ),
    )  # fmt: skip
