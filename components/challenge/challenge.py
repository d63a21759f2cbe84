"""Try to break the model: calibration, stability, backtest, stress, sensitivity and leakage in one report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from components.challenge.calibration import of_calibration
from components.challenge.leakage import of_duplicates
from components.challenge.overtime import over_time
from components.challenge.sensitivity import of_directions, of_reasons
from components.challenge.stability import of_periods, of_stability
from components.challenge.stress import of_edges, of_lost_inputs, of_scenarios
from components.config import Challenge, parse_config
from components.step import Summary, read_contract, write_json
from components.table import TEST, TRAIN, VALIDATION, encode, read_features
from components.train.booster import load
from components.train.train import MODEL, OUT_OF_FOLD, load_calibrator, load_levels
from serinus.contract import Contract
from serinus.errors import SerinusError

Floats = NDArray[np.float64]
ROWS = 100_000
"""Rows of a part that are scored again for a scenario or compared; more would not change a verdict."""
FEW = 20_000
"""Rows for what is repeated once a feature."""


def challenge(
    contract: Path, features: Path, assignment: Path, model: Path, config: str, report: Path
) -> Summary:
    """Challenge the model on the test rows.

    Args:
        contract, features, assignment, model: as ``components.train`` takes and gives them.
        config: ``Challenge`` as JSON text.
        report: JSON to write: ``items`` (each with value, interval, limit, verdict and whether it
            blocks) and the tables behind them: ``grades``, ``psi``, ``psi_over_time``,
            ``periods``, ``scenarios``, ``inputs``.

    Raises:
        SerinusError: ``SRN-PIPELINE-023`` a scenario names a feature that the contract does not
            have, or multiplies a category.
    """
    checked, settings = read_contract(contract), parse_config(config, Challenge, where="challenge")
    check_scenarios(settings, checked)
    rows, codes = read_features(checked, features), np.load(assignment)
    levels = load_levels(model)
    encoded = encode(checked, levels, rows.columns)
    calibrator, fitted = load_calibrator(model), load((model / MODEL).read_text(encoding="utf-8"))

    def score(part: Floats) -> Floats:
        return calibrator.apply(fitted.probability(part))

    trained, tested = _some(codes == TRAIN, ROWS), _some(codes == TEST, ROWS)
    few = _some(codes == TEST, FEW)
    counts = [len(levels.get(name, ())) for name in checked.feature_names]
    probability = score(encoded[tested])
    outcome, time = rows.outcome[tested], None if rows.time is None else rows.time[tested]
    # The score's reference is rows that no tree has seen: scores of their own training rows are too sharp.
    unseen = calibrator.apply(np.load(model / OUT_OF_FOLD))[trained]
    before = unseen if np.isfinite(unseen).any() else score(encoded[_some(codes == VALIDATION, ROWS)])

    calibration, grades = of_calibration(settings, outcome, probability)
    stability, psi = of_stability(
        settings, checked.feature_names, counts, (encoded[trained], before), (encoded[tested], probability)
    )
    backtest, periods = of_periods(settings, outcome, probability, time)
    scenarios, scenario_table = of_scenarios(settings, checked, encoded[tested], outcome, score)
    lost, inputs = of_lost_inputs(settings, checked, encoded[few], rows.outcome[few], score)
    items = [
        *calibration,
        *stability,
        *backtest,
        *scenarios,
        *lost,
        of_edges(checked, encoded[few[:200]], counts, score),
        of_directions(settings, checked, encoded[few], score),
        of_reasons(settings, checked, encoded[few], counts, score, fitted.contributions),
        of_duplicates(
            settings, (encoded[trained], rows.outcome[trained]), (encoded[tested], rows.outcome[tested])
        ),
    ]
    write_json(
        report,
        {
            "rows": int(tested.size),
            "items": items,
            "grades": grades,
            "psi": psi,
            "psi_over_time": over_time(before, probability, time),
            "periods": periods,
            "scenarios": scenario_table,
            "inputs": inputs,
        },
    )
    failed = [item.name for item in items if item.verdict == "fail"]
    unmeasured = sum(item.verdict == "no_data" for item in items)
    return {
        "tests": len(items),
        "failed": ", ".join(failed) or "none",
        "no data": unmeasured,
        "score PSI": round(stability[0].value, 4) if stability[0].value is not None else "no data",
    }


def check_scenarios(settings: Challenge, contract: Contract) -> None:
    """Raises ``SRN-PIPELINE-023``, naming every feature that a scenario cannot change."""
    known = set(contract.feature_names)
    categories = {feature.name for feature in contract.features if contract.is_categorical(feature)}
    wrong: list[str] = []
    for scenario in settings.scenarios:
        for name in [*scenario.multiply, *scenario.add, *scenario.missing]:
            if name not in known:
                wrong.append(f"{scenario.name}: there is no feature {name}")
        for name in [*scenario.multiply, *scenario.add]:
            if name in categories:
                wrong.append(f"{scenario.name}: {name} is a category, which cannot be multiplied or shifted")
    if wrong:
        raise SerinusError(
            "SRN-PIPELINE-023",
            "; ".join(wrong),
            where="challenge.scenarios",
            hint=f"The contract's features: {', '.join(contract.feature_names)}.",
        )


def _some(chosen: NDArray[np.bool_], most: int) -> NDArray[np.intp]:
    found = np.flatnonzero(chosen)
    return found[np.linspace(0, found.size - 1, min(most, found.size)).astype(int)]
