"""Whether the built model answers fast enough, and answers what the trained one does."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from components.challenge.item import Item, judged
from components.config import Latency, parse_config
from components.step import Summary, read_contract, write_json
from components.table import TEST, encode, read_features
from components.train.booster import load
from components.train.train import MODEL, load_calibrator, load_levels
from serinus.bundle import BundleParts, SigningKey, build_reference, write_bundle
from serinus.contract import Contract
from serinus.scoring import Scorer

Floats = NDArray[np.float64]
Clock = Callable[[], int]
"""Nanoseconds of processor time of this process: what others do on the machine does not count."""
CALLS = 64
"""Rows scored one after the other in a round, so that the clock's own grain does not show."""
PARITY = 1e-9
QUANTILES = (0.5, 0.9, 0.99)


def latency(
    contract: Path,
    features: Path,
    assignment: Path,
    model: Path,
    config: str,
    report: Path,
    clock: Clock = time.process_time_ns,
) -> Summary:
    """Export the model as a bundle, load it as the scorer does, and time it on test rows.

    Each figure is taken ``rounds`` times, single rows and batches interleaved, and judged by the
    least: whatever else runs can only make a round slower, never faster. Processor time rather
    than the clock on the wall, for the same reason. The distribution stands in the report.

    Args:
        contract, features, assignment, model: as ``components.train`` takes and gives them.
        config: ``Latency`` as JSON text.
        report: JSON to write: ``items``, ``backend`` (native, or library where the kernel cannot hold the
            model), ``distribution`` (quantiles in microseconds a row), ``load_ms``. Timings differ from
            machine to machine, so the report has no place in a bundle.
        clock: tells the time; only a test gives another.
    """
    checked, settings = read_contract(contract), parse_config(config, Latency, where="latency")
    rows = _rows(checked, features, assignment, model, settings.rows)
    scratch = Path(tempfile.mkdtemp(prefix="latency-", dir=report.parent))
    try:
        bundle = write_bundle(
            scratch, _parts(checked, model, rows), SigningKey.load_or_create(scratch / "key")
        )
        begin = clock()
        scorer = Scorer(bundle, warn=lambda _: None)
        load_ms = (clock() - begin) / 1e6
        taken = measure(scorer, rows, settings.rounds, clock)
        differs = float(np.max(np.abs(scorer.probabilities(rows)[1] - _trained(model, rows)), initial=0.0))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    items = [
        judged(
            "implementation", "served_as_trained", differs, maximum=PARITY, n=rows.shape[0],
            why=f"{scorer.backend} kernel against the library that trained it",
        ),
        *(_item(name, getattr(settings, key), taken[name]) for name, key in BOUNDS.items()),
    ]  # fmt: skip
    write_json(
        report,
        {
            "backend": scorer.backend,
            "rows": int(rows.shape[0]),
            "rounds": settings.rounds,
            "load_ms": round(load_ms, 3),
            "items": msgspec.to_builtins(items),
            "distribution": [{"figure": name} | _distribution(values) for name, values in taken.items()],
        },
    )
    return {
        "backend": scorer.backend,
        "one row": f"{min(taken['one_row_us']):.3g} us",
        "explained": f"{min(taken['one_row_explained_us']):.3g} us",
        "in a batch": f"{min(taken['batch_row_us']):.3g} us",
    }


BOUNDS = {"one_row_us": "one", "one_row_explained_us": "one_explained", "batch_row_us": "batch"}


def measure(scorer: Scorer, rows: Floats, rounds: int, clock: Clock) -> dict[str, list[float]]:
    """Microseconds a row, by figure and round; a round warms up before the first that counts."""
    single = [np.ascontiguousarray(row) for row in rows[np.arange(CALLS) % rows.shape[0]]]
    found: dict[str, list[float]] = {name: [] for name in BOUNDS}

    def timed(call: Callable[[], object], count: int) -> float:
        begin = clock()
        call()
        return (clock() - begin) / 1000 / count

    def plain() -> None:
        for row in single:
            scorer.one(row, "never")

    def explained() -> None:
        for row in single:
            scorer.one(row, "always")

    def batch() -> None:
        scorer.many(rows, "never")

    for number in range(rounds + 1):
        for name, call, count in (
            ("one_row_us", plain, CALLS),
            ("one_row_explained_us", explained, CALLS),
            ("batch_row_us", batch, rows.shape[0]),
        ):
            value = timed(call, count)
            if number:
                found[name].append(value)
    return found


def _item(name: str, bound: float | None, values: list[float]) -> Item:
    least = min(values)
    middle = float(np.quantile(values, 0.5))
    why = f"median {middle:.3g}, largest {max(values):.3g} us of {len(values)} rounds"
    return judged("implementation", name, least, maximum=bound, why=why, n=len(values))


def _distribution(values: list[float]) -> dict[str, float]:
    return {
        "least": round(min(values), 4),
        **{f"p{100 * q:g}": round(float(np.quantile(values, q)), 4) for q in QUANTILES},
        "largest": round(max(values), 4),
    }


def _rows(contract: Contract, features: Path, assignment: Path, model: Path, most: int) -> Floats:
    rows, codes = read_features(contract, features), np.load(assignment)
    tested = np.flatnonzero(codes == TEST)
    chosen = tested[np.linspace(0, tested.size - 1, min(most, tested.size)).astype(int)]
    return np.ascontiguousarray(
        encode(contract, load_levels(model), {name: values[chosen] for name, values in rows.columns.items()})
    )


def _trained(model: Path, rows: Floats) -> Floats:
    fitted = load((model / MODEL).read_text(encoding="utf-8"))
    return load_calibrator(model).apply(fitted.probability(rows))


def _parts(contract: Contract, model: Path, rows: Floats) -> BundleParts:
    """The bundle as far as it matters for scoring; nobody else will see it."""
    levels, scores = load_levels(model), _trained(model, rows)
    extra: dict[str, Any] = {"golden_rows": rows[:1], "golden_scores": scores[:1]}
    return BundleParts(
        name="candidate",
        version=1,
        contract=contract,
        model_text=(model / MODEL).read_text(encoding="utf-8"),
        levels=levels,
        calibrator=load_calibrator(model),
        reference=build_reference(contract, levels, rows, scores),
        reference_rows=rows,
        reference_scores=scores,
        **extra,
    )
