"""What drives the model, and whether its reasons can be given to a customer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.evaluate.metrics import auc
from components.step import Summary, read_contract, write_json
from components.table import TEST, Rows, encode, read_features
from components.train.booster import load
from components.train.train import MODEL, load_calibrator, load_levels
from serinus.contract import Contract
from serinus.model import decide, reason_codes

Floats = NDArray[np.float64]
SAMPLE = 1000
SHOWN, DOTS = 10, 150
ADDITIVITY = 1e-6


def explain(contract: Path, features: Path, assignment: Path, model: Path, report: Path) -> Summary:
    """Explain a sample of the test rows, evenly spaced.

    Contributions are exact TreeSHAP in log-odds (LightGBM's ``pred_contrib``), for a forest in
    probability; exact for a linear model.

    Args:
        contract, features, assignment, model: as ``components.train`` takes and gives them.
        report: JSON to write: ``importance`` (mean absolute contribution by feature),
            ``checks`` (name, value, limit, verdict), ``summary`` (see there) and ``proxies`` (by protected group,
            how well the best single feature tells who belongs to it).
    """
    checked = read_contract(contract)
    rows, codes = read_features(checked, features), np.load(assignment)
    tested = np.flatnonzero(codes == TEST)
    chosen = tested[np.linspace(0, tested.size - 1, min(SAMPLE, tested.size)).astype(int)]
    sample = encode(checked, load_levels(model), {name: v[chosen] for name, v in rows.columns.items()})
    fitted = load((model / MODEL).read_text(encoding="utf-8"))
    contributions, margin = fitted.contributions(sample), fitted.margin(sample)
    probability = load_calibrator(model).apply(fitted.probability(sample))
    importance = dict(
        sorted(
            zip(checked.feature_names, np.abs(contributions[:, :-1]).mean(axis=0).tolist(), strict=True),
            key=lambda item: (-item[1], item[0]),
        )
    )
    checks = check(checked, contributions, margin, probability)
    write_json(
        report,
        {
            "rows": int(chosen.size),
            "base_value": float(contributions[0, -1]),
            "importance": importance,
            "checks": checks,
            "summary": summary(list(importance), checked.feature_names, contributions, sample),
            "proxies": proxies(checked, sample, rows, chosen),
        },
    )
    top = [name for name, value in list(importance.items())[:3] if value > 0]
    failed = [item["check"] for item in checks if item["verdict"] != "pass"]
    return {
        "rows": f"{chosen.size:,}",
        "top": ", ".join(top),
        "checks": "all pass" if not failed else ", ".join(failed),
    }


def check(
    contract: Contract, contributions: Floats, margin: Floats, probability: Floats
) -> list[dict[str, Any]]:
    """What must hold for contributions (n, F + 1) to serve as reasons."""
    protected = {p.column for p in contract.protected} & {f.column for f in contract.features}
    error = float(np.max(np.abs(contributions.sum(axis=1) - margin), initial=0.0))
    adverse = [i for i, p in enumerate(probability.tolist()) if decide(contract, p) != "approve"]
    speechless = sum(not reason_codes(contract, contributions[i]) for i in adverse)
    silent = float(np.abs(contributions[:, :-1]).sum())
    return [
        _item("protected_features", len(protected), 0, len(protected) == 0),
        _item("additivity_error", error, ADDITIVITY, error < ADDITIVITY),
        _item("adverse_without_reason", speechless, 0, speechless == 0 if adverse else None),
        _item("says_something", silent, 0, silent > 0),
    ]


def summary(
    strongest: Sequence[str], names: Sequence[str], contributions: Floats, sample: Floats
) -> dict[str, list[tuple[float, float | None]]]:
    """What a SHAP summary plot is drawn of: for each of the strongest features, row by row, its contribution and the
    rank of its value in [0, 1]; None where it was missing. Ranks, so that nobody's value stands in a report.

    Args:
        strongest: names, the strongest first; those beyond ``SHOWN`` are left out, as are rows beyond ``DOTS``.
        contributions: (n, F + 1); sample: encoded rows (n, F).
    """
    rows = np.linspace(0, sample.shape[0] - 1, min(DOTS, sample.shape[0])).astype(int)
    found: dict[str, list[tuple[float, float | None]]] = {}
    for name in strongest[:SHOWN]:
        place = list(names).index(name)
        values, moved = sample[:, place], contributions[:, place]
        if not moved.any():
            continue
        present = np.sort(values[np.isfinite(values)])
        # The middle of ties: a flag that is nearly always 0 must not look high.
        rank = (np.searchsorted(present, values) + np.searchsorted(present, values, side="right")) / 2
        ranks = rank / max(present.size, 1)
        found[name] = [
            (round(float(moved[i]), 4), round(float(ranks[i]), 3) if math.isfinite(values[i]) else None)
            for i in rows
        ]
    return found


def proxies(contract: Contract, sample: Floats, rows: Rows, chosen: NDArray[Any]) -> dict[str, Any]:
    """For each protected group the feature that tells its members best, as AUC (0.5: not at all).

    Reported, not judged: income may tell a group and be a lawful reason all the same.
    """
    found: dict[str, Any] = {}
    for attribute in contract.protected:
        values = rows.protected[attribute.column][chosen]
        for group in sorted(set(values.tolist()) - {""}):
            member = (values == group).astype(np.float64)
            best = ("", 0.5)
            for i, name in enumerate(contract.feature_names):
                present = ~np.isnan(sample[:, i])
                area = auc(member[present], sample[present, i]) if present.any() else math.nan
                if math.isfinite(area) and max(area, 1 - area) > best[1]:
                    best = (name, max(area, 1 - area))
            found[f"{attribute.column}={group}"] = {"feature": best[0], "auc": round(best[1], 4)}
    return found


def _item(name: str, value: float, limit: float, holds: bool | None) -> dict[str, Any]:
    verdict = "no_data" if holds is None else "pass" if holds else "fail"
    return {"check": name, "value": value, "limit": limit, "verdict": verdict}
