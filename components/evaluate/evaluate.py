"""Judging the model on rows it has never seen."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from components.challenge.delong import auc_interval
from components.evaluate import metrics as m
from components.evaluate.names import METRICS
from components.evaluate.recalibration import recalibration
from components.step import Summary, read_contract, write_json
from components.table import TEST, TRAIN, encode, read_features
from components.train.booster import load
from components.train.train import MODEL, OUT_OF_FOLD, load_calibrator, load_levels
from serinus.contract import Contract
from serinus.errors import SerinusError
from serinus.intervals import Z95, wilson
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
            it could not be measured), ``intervals`` and ``counts`` (rows behind a metric, where they
            are not all), ``curves`` (roc, precision-recall, calibration), ``single_features``,
            ``yardstick``, which live labels are held against, and ``calibration`` (slope and
            intercept, see ``recalibration``).
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
    learned = auc_interval(rows.outcome[trained], fitted.probability(encoded[trained]))
    train_auc = learned[0]
    taught = encoded[trained], rows.outcome[trained]
    single = single_features(checked, encoded[tested], outcome, taught)
    measured = measure(checked, outcome, raw, probability)
    measured["auc_drop"] = train_auc - measured["auc"]
    measured["single_feature_auc"] = max(single.values(), default=math.nan)
    intervals = intervals_of(outcome, raw, probability, checked)
    measured["auc_low"] = intervals["auc"][0]
    intervals["auc_drop"] = _drop(learned, auc_interval(outcome, raw))
    best = max(single, key=lambda name: (math.isfinite(single[name]), single[name]), default="")
    if best:
        intervals["single_feature_auc"] = _alone(checked, best, encoded[tested], outcome, taught)
    write_json(
        metrics,
        {
            "rows": int(tested.sum()),
            "positives": int(outcome.sum()),
            "metrics": {name: measured[name] for name in METRICS},
            "intervals": intervals,
            "counts": _counts(checked, outcome, probability),
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


def single_features(
    contract: Contract, rows: Floats, outcome: Floats, taught: tuple[Floats, Floats]
) -> dict[str, float]:
    """How well each feature alone ranks the outcome: AUC or its mirror, in [0.5, 1]; NaN where too little is known.

    A level is ranked by the share of bad outcomes that it had among the rows ``taught``
    (training: encoded rows, outcomes), so that a category that names the outcome is found
    whatever its levels are called. A value that is missing exactly where the outcome is bad
    leaks it as well.
    """
    found: dict[str, float] = {}
    for name in contract.feature_names:
        values = _ranking(contract, name, rows, taught)
        present = ~np.isnan(values)
        area = m.auc(outcome[present], values[present]) if present.sum() >= 2 else math.nan
        absent = (
            m.auc(outcome, (~present).astype(np.float64)) if not present.all() and present.any() else math.nan
        )
        sides = [max(a, 1 - a) for a in (area, absent) if math.isfinite(a)]
        found[name] = round(max(sides), 6) if sides else math.nan
    return found


def _ranking(contract: Contract, name: str, rows: Floats, taught: tuple[Floats, Floats]) -> Floats:
    """The feature's values; of a category the share of bad outcomes that its level had in training."""
    place = contract.feature_names.index(name)
    values = rows[:, place]
    if not contract.is_categorical(contract.feature(name)):
        return values
    codes, bad = taught[0][:, place], taught[1]
    known = np.isfinite(codes)
    if not known.any():
        return values
    size = int(max(np.nanmax(codes), np.nanmax(values, initial=0.0))) + 1
    codes = codes[known].astype(np.int64)
    rows_of, bad_of = np.bincount(codes, minlength=size), np.bincount(codes, bad[known], minlength=size)
    rate = (bad_of + bad.mean()) / (rows_of + 1)  # a level of few rows is drawn to the mean
    ranked = np.full(values.size, np.nan)
    there = np.isfinite(values)
    ranked[there] = rate[values[there].astype(np.int64)]
    return ranked


def _alone(
    contract: Contract, name: str, rows: Floats, outcome: Floats, taught: tuple[Floats, Floats]
) -> tuple[float, float]:
    """The interval of the best single feature's AUC, by its values or by their being missing."""
    values = _ranking(contract, name, rows, taught)
    present = ~np.isnan(values)
    candidates = [auc_interval(outcome[present], values[present])] if present.sum() >= 2 else []
    if not present.all():
        candidates.append(auc_interval(outcome, (~present).astype(np.float64)))
    candidates = [found for found in candidates if all(map(math.isfinite, found))]
    if not candidates:
        return math.nan, math.nan
    area, low, high = max(candidates, key=lambda found: abs(found[0] - 0.5))
    return (low, high) if area >= 0.5 else (1 - high, 1 - low)


def _drop(learned: tuple[float, float, float], tested: tuple[float, float, float]) -> tuple[float, float]:
    """The 95 % interval of the training AUC less the test AUC: two samples, so the variances add up."""
    halves = [(found[2] - found[1]) / 2 for found in (learned, tested)]
    middle, half = learned[0] - tested[0], math.hypot(*halves)
    return middle - half, middle + half


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


def intervals_of(outcome: Floats, raw: Floats, probability: Floats, contract: Contract) -> dict[str, Any]:
    """The 95 % interval of each metric: bootstrap for areas, Wilson for shares, the normal law for means."""
    rule = contract.decision
    declined, bad = probability >= rule.decline_at, outcome == 1
    hits, missed, wrong = (
        int((declined & bad).sum()),
        int((~declined & bad).sum()),
        int((declined & ~bad).sum()),
    )
    n, base = outcome.size, float(outcome.mean())
    areas = m.bootstrap(
        {"auc": m.auc, "average_precision": m.average_precision, "ks": m.ks}, outcome, raw, seed=1
    )
    clipped = np.clip(probability, 1e-15, 1 - 1e-15)
    squares = (probability - outcome) ** 2
    error = m.mean_interval(squares)
    found: dict[str, Any] = {
        **areas,
        "gini": tuple(2 * end - 1 for end in areas["auc"]),
        "average_precision_lift": tuple(_ratio(end, base) for end in areas["average_precision"]),
        "precision_at_decline": wilson(hits, hits + wrong),
        "recall_at_decline": wilson(hits, hits + missed),
        "false_positive_rate_at_decline": wilson(wrong, n - hits - missed),
        "accuracy": wilson(n - missed - wrong, n),
        "approved_share": wilson(int((probability < rule.adverse_at).sum()), n),
        "brier": error,
        "brier_skill": skill_interval(squares, outcome),
        "log_loss": m.mean_interval(-np.log(np.where(bad, clipped, 1 - clipped))),
        "calibration_error": m.calibration_error_interval(outcome, probability),
    }
    if rule.cost_false_positive is not None and rule.cost_false_negative is not None:
        cost = np.where(declined & ~bad, rule.cost_false_positive, 0.0)
        cost = np.where(~declined & bad, rule.cost_false_negative, cost)
        found["cost_per_1000"] = tuple(1000 * end for end in m.mean_interval(cost))
    return found


def skill_interval(squares: Floats, outcome: Floats) -> tuple[float, float]:
    """The 95 % interval of Brier's skill: a ratio of two means, by the delta method."""
    base = float(outcome.mean())
    reference = base * (1 - base)
    if outcome.size < 2 or not reference:
        return math.nan, math.nan
    ratio = float(squares.mean()) / reference
    # d(reference) = (1 - 2 base) d(base): the influence of a row on the ratio.
    influence = (squares - ratio * (outcome - base) * (1 - 2 * base)) / reference
    half = Z95 * float(influence.std(ddof=1)) / math.sqrt(outcome.size)
    return 1 - ratio - half, 1 - ratio + half


def _counts(contract: Contract, outcome: Floats, probability: Floats) -> dict[str, int]:
    """Rows behind a metric where they are not all test rows."""
    bad = int(outcome.sum())
    return {
        "precision_at_decline": int((probability >= contract.decision.decline_at).sum()),
        "recall_at_decline": bad,
        "false_positive_rate_at_decline": outcome.size - bad,
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
