"""Judging the model on rows it has never seen."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from components.evaluate import metrics as m
from components.evaluate.names import METRICS
from components.evaluate.recalibration import recalibration
from components.step import Summary, read_contract, write_json
from components.table import TEST, TRAIN, encode, read_features
from components.train.booster import load
from components.train.train import MODEL, OUT_OF_FOLD, load_calibrator, load_levels
from serinus.contract import Contract
from serinus.errors import SerinusError
from serinus.intervals import wilson
from serinus.watching.concept import validated

Floats = NDArray[np.float64]
ENOUGH_FOR_AUC_DROP = 200_000
"""Training rows scored for the AUC drop; beyond that the AUC is known well enough."""


def evaluate(
    contract: Path, features: Path, assignment: Path, model: Path, metrics: Path, scores: Path
) -> Summary:
    """Measure the model on the test rows.

    Args:
        contract, features, assignment, model: as ``components.train`` takes and gives them.
        metrics: JSON to write: ``rows``, ``positives``, ``metrics`` by name (null where
            it could not be measured), ``intervals``, ``curves`` (roc, precision-recall,
            calibration), ``single_features``, ``yardstick``, which live labels are
            held against, and ``calibration`` (slope and intercept, see ``recalibration``).
        scores: ``.npz`` to write: calibrated probability ``test`` of the test rows, NaN
            elsewhere, and ``unseen``, of all rows that some model scored without having
            seen them, both in the table's order.
    """
    checked = read_contract(contract)
    rows, codes = read_features(checked, features), np.load(assignment)
    calibrator, fitted = load_calibrator(model), load((model / MODEL).read_text(encoding="utf-8"))
    encoded = encode(checked, load_levels(model), rows.columns)
    tested = codes == TEST
    outcome = rows.outcome[tested]
    raw = fitted.probability(encoded[tested])
    probability = calibrator.apply(raw)
    trained = np.flatnonzero(codes == TRAIN)
    trained = trained[np.linspace(0, trained.size - 1, min(trained.size, ENOUGH_FOR_AUC_DROP)).astype(int)]
    train_auc = m.auc(rows.outcome[trained], fitted.probability(encoded[trained]))
    single = single_features(checked, encoded[tested], outcome)
    measured = measure(checked, outcome, raw, probability)
    measured["auc_drop"] = train_auc - measured["auc"]
    measured["single_feature_auc"] = max(single.values(), default=math.nan)
    intervals = _intervals(outcome, raw, probability, checked)
    measured["auc_low"] = intervals["auc"][0]
    write_json(
        metrics,
        {
            "rows": int(tested.sum()),
            "positives": int(outcome.sum()),
            "metrics": {name: measured[name] for name in METRICS},
            "intervals": intervals,
            "curves": curves(outcome, raw, probability),
            "single_features": single,
            "train_auc": train_auc,
            "yardstick": _yardstick(checked, probability, outcome),
            "calibration": recalibration(outcome, probability),
        },
    )
    _write_scores(scores, probability, tested, calibrator.apply(np.load(model / OUT_OF_FOLD)))
    shown = ("auc", "average_precision", "precision_at_decline", "recall_at_decline", "calibration_error")
    return {"rows": f"{int(tested.sum()):,}"} | {name: _shown(measured[name]) for name in shown}


def measure(contract: Contract, outcome: Floats, raw: Floats, probability: Floats) -> dict[str, float]:
    """Every metric of ``METRICS`` that one set of rows determines; NaN where it does not.

    Args:
        outcome: 0 or 1, shape (n,).
        raw: scores before calibration (calibration makes ties, which ranking need not suffer).
        probability: calibrated, shape (n,); decisions rest on it.
    """
    rule = contract.decision
    declined = probability >= rule.decline_at
    approved = probability < rule.adverse_at
    bad, good = outcome == 1, outcome == 0
    base = float(outcome.mean())
    area, precision = m.auc(outcome, raw), m.average_precision(outcome, raw)
    error, reference = m.brier(outcome, probability), base * (1 - base)
    return {
        "auc": area,
        "gini": 2 * area - 1,
        "ks": m.ks(outcome, raw),
        "average_precision": precision,
        "average_precision_lift": _ratio(precision, base),
        "precision_at_decline": _ratio(int((declined & bad).sum()), int(declined.sum())),
        "recall_at_decline": _ratio(int((declined & bad).sum()), int(bad.sum())),
        "false_positive_rate_at_decline": _ratio(int((declined & good).sum()), int(good.sum())),
        "accuracy": float((declined == bad).mean()),
        "brier": error,
        "brier_skill": 1 - _ratio(error, reference),
        "log_loss": m.log_loss(outcome, probability),
        "calibration_error": m.calibration_error(outcome, probability),
        "approved_share": float(approved.mean()),
        "cost_per_1000": _cost(
            contract, int((declined & good).sum()), int((~declined & bad).sum()), outcome.size
        ),
    }


def single_features(contract: Contract, rows: Floats, outcome: Floats) -> dict[str, float]:
    """How well each feature alone ranks the outcome: AUC or its mirror, in [0.5, 1].

    A level is ranked by its code, so for a categorical feature of many levels this is
    a lower bound. Missing values are left out; NaN where too little remains.
    """
    found: dict[str, float] = {}
    for i, name in enumerate(contract.feature_names):
        present = ~np.isnan(rows[:, i])
        area = m.auc(outcome[present], rows[present, i]) if present.sum() >= 2 else math.nan
        # a value that is missing exactly where the outcome is bad leaks it as well
        absent = (
            m.auc(outcome, (~present).astype(np.float64)) if not present.all() and present.any() else math.nan
        )
        sides = [max(a, 1 - a) for a in (area, absent) if math.isfinite(a)]
        found[name] = round(max(sides), 6) if sides else math.nan
    return found


def curves(outcome: Floats, raw: Floats, probability: Floats) -> dict[str, Any]:
    """ROC, precision-recall and calibration as points to draw."""
    bad, good, _ = m.ranked(outcome, raw)
    recall = bad / bad[-1] if bad[-1] else bad
    fallout = good / good[-1] if good[-1] else good
    return {
        "roc": m.thinned(np.append(0.0, fallout), np.append(0.0, recall)),
        "precision_recall": m.thinned(recall, bad / np.maximum(bad + good, 1e-12)),
        "calibration": [
            [round(p, 6), round(y, 6), n] for p, y, n in m.calibration_bins(outcome, probability)
        ],
    }


def _yardstick(contract: Contract, probability: Floats, outcome: Floats) -> dict[str, Any] | None:
    """What live labels are held against (``serinus.watching.concept``); None with too few rows."""
    try:
        found = validated(probability, outcome.astype(np.float64), contract.decision.decline_at)
    except SerinusError:
        return None
    return msgspec.to_builtins(found)


def _intervals(outcome: Floats, raw: Floats, probability: Floats, contract: Contract) -> dict[str, Any]:
    declined = probability >= contract.decision.decline_at
    hits = int((declined & (outcome == 1)).sum())
    return {
        **m.bootstrap({"auc": m.auc, "average_precision": m.average_precision}, outcome, raw, seed=1),
        "brier": m.mean_interval((probability - outcome) ** 2),
        "precision_at_decline": wilson(hits, int(declined.sum())),
        "recall_at_decline": wilson(hits, int(outcome.sum())),
    }


def _write_scores(path: Path, probability: Floats, tested: NDArray[np.bool_], unseen: Floats) -> None:
    whole = np.full(tested.size, np.nan)
    whole[tested] = probability
    # By handle: numpy would append .npz to a name, and the pipeline gave the name.
    with path.open("wb") as file:
        np.savez(file, test=whole, unseen=unseen)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


def _cost(contract: Contract, false_positives: int, false_negatives: int, rows: int) -> float:
    rule = contract.decision
    if rule.cost_false_positive is None or rule.cost_false_negative is None or not rows:
        return math.nan
    cost = false_positives * rule.cost_false_positive + false_negatives * rule.cost_false_negative
    return 1000 * cost / rows


def _shown(value: float) -> float | str:
    return round(value, 4) if math.isfinite(value) else "no data"
