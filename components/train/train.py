"""Fitting, calibrating, and scoring rows that the model has not seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.config import Training, parse_config
from components.step import Summary, read_contract, read_struct, write_json
from components.table import TEST, TRAIN, UNUSED, VALIDATION, Rows, encode, learn, read_features
from components.train.booster import Model, fit
from components.train.mitigation import reweigh
from serinus.contract import Contract
from serinus.errors import SerinusError
from serinus.model import Calibrator, Levels, fit_isotonic, fit_logistic

Floats = NDArray[np.float64]
MODEL, LEVELS, CALIBRATOR, OUT_OF_FOLD = "model.txt", "levels.json", "calibrator.json", "out_of_fold.npy"


def train(
    contract: Path, features: Path, assignment: Path, config: str, model: Path, report: Path
) -> Summary:
    """Train a model and its calibrator.

    Args:
        contract, features, assignment: as ``components.split`` takes and gives them.
        config: ``Training`` as JSON text.
        model: directory to write: ``model.txt`` (LightGBM's text), ``levels.json``,
            ``calibrator.json`` and ``out_of_fold.npy``: for each row of the table the raw
            probability by a model that has not seen it, NaN where there is none.
        report: JSON to write: trees, what was calibrated on, weights by group.

    Raises:
        SerinusError: ``SRN-PIPELINE-034`` reweighing without a protected attribute;
            ``-036`` a feature to be left out does not exist, or none is left.
    """
    checked, settings = read_contract(contract), parse_config(config, Training, where="training")
    rows, codes = read_features(checked, features), np.load(assignment)
    levels = learn(checked, rows.columns, codes == TRAIN)
    encoded = encode(checked, levels, rows.columns)
    leave_out(checked, settings, encoded)
    fitted, weights = _fit(checked, settings, encoded, rows, codes)
    unseen = _out_of_fold(checked, settings, encoded, rows, codes, fitted)
    calibrator, basis = _calibrate(settings, fitted, encoded, rows, codes, unseen)
    model.mkdir(parents=True, exist_ok=True)
    (model / MODEL).write_text(fitted.text, encoding="utf-8")
    write_json(model / LEVELS, levels)
    write_json(model / CALIBRATOR, calibrator)
    np.save(model / OUT_OF_FOLD, unseen)
    summary: Summary = {
        "rows": int((codes == TRAIN).sum()),
        "features": len(checked.features),
        "trees": fitted.trees,
        "calibrated_on": basis,
        "mitigation": settings.mitigation,
        "without": ", ".join(settings.exclude) or "none",
    }
    write_json(report, summary | {"weights": weights, "out_of_fold_rows": int(np.isfinite(unseen).sum())})
    return summary | {"rows": f"{summary['rows']:,}"}


def load_levels(model: Path) -> Levels:
    """Levels of a model that ``train`` wrote."""
    return read_struct(model / LEVELS, Levels)


def load_calibrator(model: Path) -> Calibrator:
    """Calibrator of a model that ``train`` wrote."""
    return read_struct(model / CALIBRATOR, Calibrator)


def leave_out(contract: Contract, settings: Training, encoded: Floats) -> None:
    """Blank the excluded features in training: a tree cannot split on what never varies,
    and the vector keeps the shape that the contract declares."""
    unknown = sorted(set(settings.exclude) - set(contract.feature_names))
    if unknown or len(set(settings.exclude)) == len(contract.features):
        raise SerinusError(
            "SRN-PIPELINE-036",
            f'training.exclude names "{unknown[0]}", which is no feature of the contract'
            if unknown
            else "training.exclude leaves no feature",
            where=contract.name,
            hint=f"The features are {', '.join(contract.feature_names)}.",
        )
    for name in settings.exclude:
        encoded[:, contract.feature_names.index(name)] = np.nan


def weights_of(
    contract: Contract, settings: Training, rows: Rows, chosen: NDArray[Any]
) -> tuple[Floats | None, Any]:
    """Weights of the chosen rows and their table by group; None where nothing is mitigated.

    Raises:
        SerinusError: ``SRN-PIPELINE-034`` there is no protected attribute to weigh by.
    """
    if settings.mitigation == "none":
        return None, {}
    if not contract.protected:
        raise SerinusError(
            "SRN-PIPELINE-034",
            "training.mitigation is reweigh, but the contract has no protected attribute to weigh by",
            where=contract.name,
            hint="Declare the attribute under protected in the contract, or set mitigation: none.",
        )
    values = [rows.protected[p.column][chosen].tolist() for p in contract.protected]
    groups = np.array([" / ".join(combination) for combination in zip(*values, strict=True)], dtype=object)
    return reweigh(groups, rows.outcome[chosen])


def _fit(
    contract: Contract, settings: Training, encoded: Floats, rows: Rows, codes: NDArray[Any]
) -> tuple[Model, Any]:
    inside, check = codes == TRAIN, codes == VALIDATION
    weight, table = weights_of(contract, settings, rows, inside)
    fitted = fit(
        contract,
        settings,
        encoded[inside],
        rows.outcome[inside],
        weight=weight,
        validation=(encoded[check], rows.outcome[check]),
    )
    return fitted, table


def _out_of_fold(
    contract: Contract, settings: Training, encoded: Floats, rows: Rows, codes: NDArray[Any], fitted: Model
) -> Floats:
    """Raw probabilities by models that have not seen the row: of the test rows by the
    model itself, of the others by one trained without their part, with as many trees."""
    unseen = np.full(codes.size, np.nan)
    if not 0 < int((codes != UNUSED).sum()) <= settings.out_of_fold_rows:
        return unseen
    unseen[codes == TEST] = fitted.probability(encoded[codes == TEST])
    inside = np.flatnonzero((codes == TRAIN) | (codes == VALIDATION))
    random = np.random.default_rng(settings.seed)
    fold = np.empty(inside.size, dtype=np.int64)
    for value in (0.0, 1.0):  # the same share of bad outcomes in every fold
        same = np.flatnonzero(rows.outcome[inside] == value)
        fold[random.permutation(same)] = np.arange(same.size) % settings.folds
    for part in range(settings.folds):
        out, rest = inside[fold == part], inside[fold != part]
        weight, _ = weights_of(contract, settings, rows, rest)
        other = fit(contract, settings, encoded[rest], rows.outcome[rest], weight=weight, rounds=fitted.trees)
        unseen[out] = other.probability(encoded[out])
    return unseen


def curve_of(settings: Training) -> Callable[[Floats, Floats], Calibrator] | None:
    """What fits the calibration on raw probabilities and outcomes; None for the identity."""
    return {"logistic": fit_logistic, "isotonic": fit_isotonic, "identity": None}[settings.calibration]


def _calibrate(
    settings: Training, fitted: Model, encoded: Floats, rows: Rows, codes: NDArray[Any], unseen: Floats
) -> tuple[Calibrator, str]:
    """On the validation rows; on all rows but the test's, scored out of fold, where there are those."""
    fit_curve = curve_of(settings)
    if fit_curve is None:
        return Calibrator(), "nothing (identity)"
    folded = np.isfinite(unseen) & (codes != TEST)
    if folded.any():
        return fit_curve(unseen[folded], rows.outcome[folded]), f"{int(folded.sum()):,} rows out of fold"
    check = codes == VALIDATION
    raw = fitted.probability(encoded[check])
    return fit_curve(raw, rows.outcome[check]), f"{int(check.sum()):,} validation rows"
