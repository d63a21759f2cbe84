"""Try to break the model: calibration, stability, backtest, stress, sensitivity and leakage in one report."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from components.challenge.calibration import of_calibration
from components.challenge.curves import of_curves, of_shocks
from components.challenge.exposure import amount_of, of_exposure
from components.challenge.leakage import of_duplicates
from components.challenge.migration import of_migration
from components.challenge.overtime import over_time
from components.challenge.point_in_time import (
    Sources,
    of_entities,
    of_labels,
    of_later_records,
    of_timestamps,
)
from components.challenge.retrained import of_retrained
from components.challenge.scorecard import of_scorecard
from components.challenge.sensitivity import of_directions, of_importance, of_reasons
from components.challenge.splitting import of_splitting
from components.challenge.stability import of_periods, of_stability
from components.challenge.stress import of_edges, of_lost_inputs, of_missing, of_scenarios
from components.config import Challenge, Training, parse_config
from components.step import Summary, read_contract, write_json
from components.table import TEST, TRAIN, UNUSED, VALIDATION, encode, read_features
from components.train.booster import load
from components.train.train import MODEL, leave_out, load_calibrator, load_levels
from serinus.contract import Contract
from serinus.errors import SerinusError
from serinus.model.ensemble import load_ensemble

Floats = NDArray[np.float64]
ROWS = 100_000
"""Rows of a part that are scored again for a scenario or compared; more would not change a verdict."""
FEW, EXPLAINED = 20_000, 10_000
"""Rows for what is repeated once a feature."""


def challenge(
    contract: Path,
    records: Path,
    features: Path,
    assignment: Path,
    model: Path,
    training: str,
    config: str,
    report: Path,
) -> Summary:
    """Challenge the model on the test rows.

    Args:
        contract, records, features, assignment, model: as the steps before give them.
        training: ``Training`` as JSON text, by which the model is fitted again.
        config: ``Challenge`` as JSON text.
        report: JSON to write: ``items`` (each with value, interval, limit, verdict and whether it
            blocks) and the tables behind them: ``grades``, ``psi``, ``psi_over_time``, ``periods``,
            ``migration``, ``retrained``, ``scenarios``, ``splitting``, ``inputs``, ``curves``, ``shocks``,
            ``scorecard``, ``exposure``.

    Raises:
        SerinusError: ``SRN-PIPELINE-023`` the config names a feature, a column or an entity that the contract
            does not have, or multiplies a category.
    """
    checked, settings = read_contract(contract), parse_config(config, Challenge, where="challenge")
    taught_by = parse_config(training, Training, where="training")
    check_settings(settings, checked)
    rows, codes = read_features(checked, features), np.load(assignment)
    levels = load_levels(model)
    encoded = encode(checked, levels, rows.columns)
    calibrator, fitted = load_calibrator(model), load((model / MODEL).read_text(encoding="utf-8"))

    # Reasons by what will give them in service, which is also some thirty times faster than LightGBM itself.
    served = load_ensemble(fitted.text, features=len(checked.features), warn=lambda _: None)

    def score(part: Floats) -> Floats:
        return calibrator.apply(fitted.probability(part))

    trained, tested = _some(codes == TRAIN, ROWS), _some(codes == TEST, ROWS)
    few = _some(codes == TEST, FEW)
    counts = [len(levels.get(name, ())) for name in checked.feature_names]
    probability = score(encoded[tested])
    outcome, time = rows.outcome[tested], None if rows.time is None else rows.time[tested]
    # The score's reference is rows that no tree has seen: scores of their own training rows are too sharp, and
    # out-of-fold scores are other models'.
    before = score(encoded[_some(codes == VALIDATION, ROWS)])
    sources = Sources(records, features)
    keys = {entity: sources.keys(checked, entity) for entity in checked.entities}

    calibration, grades = of_calibration(settings, outcome, probability)
    stability, psi = of_stability(
        settings, checked.feature_names, counts, (encoded[trained], before), (encoded[tested], probability)
    )
    backtest, periods = of_periods(settings, outcome, probability, time)
    migration, matrix = of_migration(
        settings.migration,
        checked,
        {name: key[tested] for name, key in keys.items()},
        time,
        probability,
        before,
    )
    scenarios, scenario_table = of_scenarios(settings, checked, encoded[tested], outcome, score)
    splitting, attempts = of_splitting(settings, checked, encoded[tested], outcome, score)
    lost, inputs = of_lost_inputs(settings, checked, encoded[few], rows.outcome[few], score)
    contradicted, curves = of_curves(settings, checked, levels, encoded[few], score)
    shocked, shocks = of_shocks(settings, checked, encoded[few], rows.outcome[few], score)
    plain = _some(codes == TRAIN, settings.scorecard.rows)
    benchmark, scorecard = of_scorecard(
        settings.scorecard,
        checked,
        taught_by,
        levels,
        (encoded[plain], rows.outcome[plain]),
        (encoded[tested], outcome, probability),
    )
    at_stake, exposure = of_exposure(settings.exposure, checked, encoded[tested], outcome, probability)
    with tempfile.TemporaryDirectory(prefix="challenge-", dir=report.parent) as scratch:
        later = of_later_records(settings, checked, sources, codes, Path(scratch))
    items = [
        *calibration,
        *stability,
        *backtest,
        *migration,
        *scenarios,
        *splitting,
        *lost,
        shocked,
        contradicted,
        benchmark,
        *at_stake,
        of_missing(settings, checked, encoded[few], rows.outcome[few], score),
        of_edges(checked, encoded[few[:200]], counts, score),
        of_directions(settings, checked, encoded[few], score),
        of_reasons(settings, checked, encoded[few], counts, score, served.contributions),
        of_importance(settings, served.contributions(encoded[_some(codes != UNUSED, EXPLAINED)])),
        of_duplicates(
            settings, (encoded[trained], rows.outcome[trained]), (encoded[tested], rows.outcome[tested])
        ),
        *of_entities(settings, checked, keys, codes),
        of_timestamps(settings, checked, sources),
        of_labels(settings, checked, codes, rows.time),
        later,
    ]
    if taught_by.exclude:  # in place, and last: nothing after it needs what training leaves out
        leave_out(checked, taught_by, encoded)
    again, fits = of_retrained(settings.retrained, checked, taught_by, encoded, rows, codes, tested)
    items += again
    write_json(
        report,
        {
            "rows": int(tested.size),
            "items": items,
            "grades": grades,
            "psi": psi,
            "psi_over_time": over_time(before, probability, time),
            "periods": periods,
            "migration": matrix,
            "retrained": fits,
            "scenarios": scenario_table,
            "splitting": attempts,
            "inputs": inputs,
            "curves": curves,
            "shocks": shocks,
            "scorecard": scorecard,
            "exposure": exposure,
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


def check_settings(settings: Challenge, contract: Contract) -> None:
    """Raises ``SRN-PIPELINE-023``, naming everything that the contract does not have or that cannot be changed."""
    wrong = [*_wrong_scenarios(settings, contract), *_wrong_splitting(settings, contract)]
    if settings.exposure.column and amount_of(settings.exposure, contract) is None:
        wrong.append(f"exposure: no feature is the number {settings.exposure.column}")
    named = {
        "shared_entities": tuple(settings.shared_entities),
        "migration.entity": (settings.migration.entity,),
    }
    for key, entities in named.items():
        for entity in entities:
            if entity is not None and entity not in contract.entities:
                known = ", ".join(contract.entities) or "none"
                wrong.append(f"{key}: there is no entity {entity} (entities: {known})")
    if wrong:
        raise SerinusError(
            "SRN-PIPELINE-023",
            "; ".join(wrong),
            where="challenge",
            hint=f"The contract's features: {', '.join(contract.feature_names)}.",
        )


def _wrong_scenarios(settings: Challenge, contract: Contract) -> Iterator[str]:
    known = set(contract.feature_names)
    categories = {feature.name for feature in contract.features if contract.is_categorical(feature)}
    for scenario in settings.scenarios:
        for name in [*scenario.multiply, *scenario.add, *scenario.missing]:
            if name not in known:
                yield f"{scenario.name}: there is no feature {name}"
        for name in [*scenario.multiply, *scenario.add]:
            if name in categories:
                yield f"{scenario.name}: {name} is a category, which cannot be multiplied or shifted"


def _wrong_splitting(settings: Challenge, contract: Contract) -> Iterator[str]:
    for attempt in settings.splitting:
        read = [
            feature
            for feature in contract.features
            if feature.column == attempt.column and feature.aggregate is None and feature.part is None
        ]
        if not read or any(contract.is_categorical(feature) for feature in read):
            yield f"splitting: no feature is the number {attempt.column}"
        if attempt.entity is not None and attempt.entity not in contract.entities:
            yield f"splitting: there is no entity {attempt.entity}"


def _some(chosen: NDArray[np.bool_], most: int) -> NDArray[np.intp]:
    found = np.flatnonzero(chosen)
    return found[np.linspace(0, found.size - 1, min(most, found.size)).astype(int)]
