"""The model that is asked by entity: the fraud contract, a warm history of payments, and payments to come."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np

from serinus.contract import Contract, load_contract
from serinus.features import FeatureStream
from serinus.model import Vectorizer

from .data import SEED, Floats

CONTRACT = Path(__file__).parents[2] / "models" / "fraud" / "contract.yaml"
CUSTOMERS, TERMINALS = 2_000, 1_000
PAST, PAST_DAYS, COMING, COMING_DAYS = 30_000, 45.0, 40_000, 3.0
PROVEN = 64  # of the coming payments, in order, the score is known
_START = datetime(2026, 1, 1)


def contract() -> Contract:
    """The fraud demo's: 15 features, windows up to 30 days for two entities, labels a week late."""
    return load_contract(CONTRACT)


def payments(count: int, first: int, begin: float, days: float, seed: int) -> list[dict[str, Any]]:
    """Payments in order of time, from day ``begin`` on, with ids from ``first``."""
    random = np.random.default_rng([SEED, seed])
    at = begin + np.sort(random.random(count)) * days
    customer, terminal = random.integers(0, CUSTOMERS, count), random.integers(0, TERMINALS, count)
    amount = random.lognormal(3.5, 1.0, count).round(2)
    return [
        {
            "TRANSACTION_ID": first + i,
            "TX_DATETIME": (_START + timedelta(days=float(at[i]))).isoformat(timespec="seconds"),
            "CUSTOMER_ID": int(customer[i]),
            "TERMINAL_ID": int(terminal[i]),
            "TX_AMOUNT": float(amount[i]),
        }
        for i in range(count)
    ]


def prepare(folder: Path, trees: int, depth: int) -> None:
    """Warm history, requests, booster, its training rows and the first scores, as files; slow only once."""
    if (folder / "scores.npy").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng([SEED, 9])
    stream, past = FeatureStream(contract()), payments(PAST, 0, 0.0, PAST_DAYS, 1)
    vectorizer = Vectorizer(contract(), {})
    x = np.empty((PAST, len(vectorizer.names)))
    y = np.empty(PAST)
    for i, record in enumerate(past):
        x[i] = vectorizer.encode(stream.features(record))
        risk = 0.012 * record["TX_AMOUNT"] + 2.0 * (record["TERMINAL_ID"] % 40 == 0) - 4.0
        y[i] = float(random.random() < 1 / (1 + np.exp(-risk)))
        record["TX_FRAUD"] = int(y[i])
        stream.update(record)
    parameters: dict[str, Any] = {
        "objective": "binary", "num_leaves": 2**depth, "max_depth": depth, "learning_rate": 0.05,
        "min_data_in_leaf": 20, "seed": SEED, "deterministic": True, "num_threads": 1, "verbosity": -1,
    }  # fmt: skip
    lightgbm.train(parameters, lightgbm.Dataset(x, y), num_boost_round=trees).save_model(
        str(folder / "model.bst")
    )
    coming = payments(COMING, PAST, PAST_DAYS, COMING_DAYS, 2)
    vectors: list[Floats] = []
    for record in coming[:PROVEN]:
        vectors.append(vectorizer.encode(stream.features(record)))
        stream.update(record)
    booster: Any = lightgbm.Booster(model_file=str(folder / "model.bst"))
    _lines(folder / "past.jsonl", past)
    _lines(folder / "coming.jsonl", coming)
    np.save(folder / "x.npy", x[-4000:])
    np.save(folder / "y.npy", y[-4000:])
    np.save(folder / "scores.npy", np.asarray(booster.predict(np.array(vectors), num_threads=1)))


def _lines(path: Path, records: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def bodies(folder: Path) -> list[bytes]:
    """The coming payments, one V1 request each."""
    lines = (folder / "coming.jsonl").read_text().splitlines()
    return [b'{"jsonData":{"records":[%b]}}' % line.encode() for line in lines]
