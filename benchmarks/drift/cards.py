"""The published simulation of card transactions as a scored stream: features, a model, and its scores in time order.

The file is not part of the project (``docs/benchmarks/drift/method.md`` says where it comes from). Days 0 to 37 only
fill the windows; a model is fitted on days 37 to 77 and calibrated on days 77 to 90; the reference is drawn from days
77 to 107; the stream is what follows.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
ROOT = Path(__file__).parents[2]
SOURCE = Path(
    os.environ.get("CARD_TRANSACTIONS", ROOT.parent / "shared" / "data" / "card_transactions_2018.csv.gz")
)
_CACHE = ROOT / ".serinus" / "bench" / "cards.npz"
DAY = 86_400.0


@dataclass(frozen=True)
class Cards:
    """Rows in time order: vectors (n, F), calibrated scores (n,), labels (n,), days since the start (n,)."""

    names: tuple[str, ...]
    timed: tuple[str, ...]
    rows: Floats
    scores: Floats
    labels: Floats
    days: Floats
    attack: Floats
    attack_scores: Floats

    def part(self, first: float, last: float) -> Cards:
        """The rows of days ``first`` to ``last``."""
        begin, end = np.searchsorted(self.days, [first, last])
        cut = slice(begin, end)
        return replace(
            self, rows=self.rows[cut], scores=self.scores[cut], labels=self.labels[cut], days=self.days[cut]
        )


def load() -> Cards | None:
    """The scored stream, computed once and kept; None where the file is absent."""
    if not _CACHE.exists():
        if not SOURCE.exists():
            return None
        _CACHE.parent.mkdir(parents=True, exist_ok=True)
        _build()
    with np.load(_CACHE) as held:
        return Cards(
            names=tuple(held["names"].tolist()),
            timed=tuple(held["timed"].tolist()),
            rows=held["rows"].astype(np.float64),
            scores=held["scores"].astype(np.float64),
            labels=held["labels"].astype(np.float64),
            days=held["days"],
            attack=held["attack"].astype(np.float64),
            attack_scores=held["attack_scores"].astype(np.float64),
        )


def _attack(rows: Floats, names: tuple[str, ...]) -> Floats:
    """A fraud pattern that the simulation does not contain: cards used many times a day, just below the known limit.

    20,000 vectors of ordinary traffic with the amount in 150 to 219 and 8 to 15 transactions in the last day.
    """
    rng = np.random.default_rng(20)
    made = rows[rng.choice(len(rows), 20_000, replace=False)].copy()
    made[:, names.index("amount")] = rng.uniform(150, 219, len(made))
    made[:, names.index("customer_count_1d")] = rng.integers(8, 16, len(made))
    return made


def _build() -> None:
    import duckdb
    import lightgbm
    from sklearn.linear_model import LogisticRegression

    from components.ingest import ingest
    from serinus.contract import load_contract
    from serinus.features.batch import compute_features

    contract = load_contract(ROOT / "models" / "fraud" / "contract.yaml")
    folder = _CACHE.parent
    records, features = folder / "records.parquet", folder / "features.parquet"
    ingest(SOURCE, contract, records)
    compute_features(contract, records, features)
    names = contract.feature_names
    columns = ", ".join(f'"{name}"::FLOAT AS "{name}"' for name in names)
    table = (
        duckdb.connect()
        .execute(
            f"SELECT epoch(event_time) AS t, label, {columns} FROM '{features}' ORDER BY event_time, row_id"
        )
        .fetchnumpy()
    )
    rows = np.stack([np.ma.filled(table[name].astype(np.float32), np.nan) for name in names], axis=1)
    labels = np.asarray(table["label"], np.float32)
    days = (np.asarray(table["t"]) - float(np.min(table["t"]))) / DAY
    fit, check = (days >= 37) & (days < 77), (days >= 77) & (days < 90)
    model = lightgbm.LGBMClassifier(
        n_estimators=150, num_leaves=31, learning_rate=0.05, n_jobs=1, verbose=-1, random_state=7
    )
    model.fit(rows[fit], labels[fit])
    raw = np.asarray(model.predict(rows, raw_score=True)).reshape(-1, 1)
    line = LogisticRegression(C=1e6).fit(raw[check], labels[check])
    attack = _attack(rows[days >= 107], names)
    timed = tuple(f.name for f in contract.features if f.part is not None)
    np.savez(
        _CACHE,
        names=np.array(names),
        timed=np.array(timed),
        rows=rows,
        scores=line.predict_proba(raw)[:, 1].astype(np.float32),
        labels=labels,
        days=days,
        attack=attack,
        attack_scores=line.predict_proba(np.asarray(model.predict(attack, raw_score=True)).reshape(-1, 1))[
            :, 1
        ],
    )
    records.unlink()
    features.unlink()
