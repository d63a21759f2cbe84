"""Which rows train the model, which choose it and which judge it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.config import Split, parse_config
from components.step import Summary, read_contract, write_json
from components.table import TEST, TRAIN, UNUSED, VALIDATION, Codes, read_features
from serinus.contract import Contract
from serinus.durations import format_duration, parse_duration
from serinus.errors import SerinusError

PARTS = {"train": TRAIN, "validation": VALIDATION, "test": TEST}
MIN_ROWS = 30


def split(contract: Path, features: Path, config: str, assignment: Path, report: Path) -> Summary:
    """Assign every row of the feature table to a part.

    Args:
        contract, features: the contract (JSON) and the feature table (Parquet).
        config: ``Split`` as JSON text.
        assignment: ``.npy`` to write: one ``uint8`` per row, in the table's order.
        report: JSON to write: rows, bad outcomes and period of each part.

    Raises:
        SerinusError: ``SRN-PIPELINE-031`` no row has an outcome; ``-032`` the period
            is too short for the gaps; ``-033`` a part has too few rows or one outcome only.
    """
    checked, settings = read_contract(contract), parse_config(config, Split, where="split")
    rows = read_features(checked, features, names=())
    codes = assign(checked, settings, rows.outcome, rows.time)
    summary = describe(checked, settings, codes, rows.outcome, rows.time)
    _check(summary)
    with assignment.open("wb") as file:
        np.save(file, codes)
    write_json(report, summary)
    return {name: f"{summary['parts'][name]['rows']:,}" for name in PARTS} | {
        "by": summary["by"],
        "gap": summary["gap"],
        "unlabelled": summary["unlabelled"],
    }


def gap_of(contract: Contract, settings: Split) -> float:
    """Seconds kept free between the parts: the configured gap, else the label's delay."""
    return parse_duration(contract.label.delay if settings.gap is None else settings.gap)


def assign(
    contract: Contract,
    settings: Split,
    outcome: NDArray[np.float64],
    time: NDArray[np.int64] | None,
) -> Codes:
    """The part of each row; rows without an outcome, in a gap or in the warm-up are unused.

    Raises:
        SerinusError: ``SRN-PIPELINE-031``, ``-032`` (see ``split``).
    """
    known = np.isfinite(outcome)
    if not known.any():
        raise SerinusError(
            "SRN-PIPELINE-031",
            f"no row has an outcome in {contract.label.column}",
            where=contract.name,
            hint="A model learns from outcomes; check label.column and label.positive in the contract.",
        )
    if time is None:
        return _at_random(settings, outcome, known)
    return _by_time(settings, gap_of(contract, settings), time, known)


def _at_random(settings: Split, outcome: NDArray[np.float64], known: NDArray[np.bool_]) -> Codes:
    codes = np.full(outcome.size, UNUSED, dtype=np.uint8)
    random = np.random.default_rng(settings.seed)
    for value in (0.0, 1.0):
        rows = random.permutation(np.flatnonzero(known & (outcome == value)))
        first = round(rows.size * settings.train)
        second = first + round(rows.size * settings.validation)
        for part, chosen in ((TRAIN, rows[:first]), (VALIDATION, rows[first:second]), (TEST, rows[second:])):
            codes[chosen] = part
    return codes


def _by_time(settings: Split, gap: float, time: NDArray[np.int64], known: NDArray[np.bool_]) -> Codes:
    micros = round(gap * 1e6)
    begin = int(time[known].min()) + round(parse_duration(settings.warmup) * 1e6)
    usable = known & (time >= begin)
    ordered = np.sort(time[usable])
    total, cuts = int(ordered.size), None
    # More training rows leave fewer for the test, so halving finds where the
    # proportions are as asked; cuts are moments, hence rows of one moment stay together.
    low, high = 1, total - 1
    while low <= high:
        middle = (low + high) // 2
        found = _cut(ordered, middle, micros, settings)
        wanted = middle * settings.test / settings.train
        if found is None or found[2] < wanted:
            high = middle - 1
        else:
            cuts, low = found, middle + 1
    if cuts is None:
        span = (int(ordered[-1]) - int(ordered[0])) / 1e6 if total else 0.0
        covered = round(span / 864) * 864 if span > 86400 else round(span)  # to a hundredth of a day
        raise SerinusError(
            "SRN-PIPELINE-032",
            f"the records cover {format_duration(covered)}, and two gaps of {format_duration(gap)} "
            "leave too little to train, validate and test on",
            where="split",
            hint="Give a longer period, or set split.gap in the training config (shorter than the label's "
            "delay, it lets training see labels that were not yet known).",
        )
    first, second, _ = cuts
    codes = np.full(time.size, UNUSED, dtype=np.uint8)
    codes[usable & (time < first)] = TRAIN
    codes[usable & (time >= first + micros) & (time < second)] = VALIDATION
    codes[usable & (time >= second + micros)] = TEST
    return codes


def _cut(ordered: NDArray[np.int64], train: int, gap: int, settings: Split) -> tuple[int, int, int] | None:
    """For so many training rows: where they end, where validation ends, how many test rows remain."""
    first = int(ordered[train])
    start = int(np.searchsorted(ordered, first + gap))
    end = start + round(train * settings.validation / settings.train)
    if end >= ordered.size:
        return None
    second = int(ordered[end])
    return first, second, int(ordered.size - np.searchsorted(ordered, second + gap))


def describe(
    contract: Contract,
    settings: Split,
    codes: Codes,
    outcome: NDArray[np.float64],
    time: NDArray[np.int64] | None,
) -> Summary:
    """Rows, bad outcomes and period of each part."""
    parts: dict[str, Any] = {}
    for name, code in PARTS.items():
        chosen = codes == code
        count = int(chosen.sum())
        parts[name] = {
            "rows": count,
            "positives": int(outcome[chosen].sum()),
            "from": _moment(time[chosen].min()) if time is not None and count else None,
            "to": _moment(time[chosen].max()) if time is not None and count else None,
        }
    return {
        "by": "time" if time is not None else "seed",
        "seed": None if time is not None else settings.seed,
        "gap": format_duration(gap_of(contract, settings)) if time is not None else "none",
        "label_delay": contract.label.delay,
        "unlabelled": int((~np.isfinite(outcome)).sum()),
        "unused": int((codes == UNUSED).sum()),
        "parts": parts,
    }


def _moment(micros: Any) -> str:
    return datetime.fromtimestamp(int(micros) / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _check(summary: Summary) -> None:
    for name, part in summary["parts"].items():
        rows, bad = part["rows"], part["positives"]
        if rows < MIN_ROWS or bad == 0 or bad == rows:
            raise SerinusError(
                "SRN-PIPELINE-033",
                f"the {name} part has {rows:,} rows, {bad:,} of them with the bad outcome",
                where="split",
                hint=f"Each part needs {MIN_ROWS} rows and both outcomes: give more data, other fractions in "
                "split, or check label.positive in the contract.",
            )
