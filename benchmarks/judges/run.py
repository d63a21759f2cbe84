"""Running cells: every judge on the same traces, one row of figures per cell and judge."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np
from scipy.stats import beta as beta_law

from . import argo, flagger, kayenta, others, ours
from .traces import NOT_EXCHANGEABLE, STEP, Cell, Decision, Trace, decision, make, shares
from .tuning import knobs

OURS, OURS_05, OURS_1 = "ours", "ours (alpha 5 %)", "ours (no margin)"
OURS_PROMOTING = "ours, promoting when cleared"
FLAGGER, FLAGGER_DOCS = "Flagger (tuned)", "Flagger (docs: 99 %, threshold 5)"
ARGO, ARGO_DOCS, ARGO_99 = "Argo (tuned)", "Argo (docs: 95 %, 5 m, limit 3)", "Argo (99 %, 1 m, limit 0)"
KAYENTA, Z, Z_TUNED, NONE = (
    "Kayenta (5-min looks)",
    "z-test peeking",
    "z-test (tuned)",
    "KServe, Seldon (no judge)",
)
TUNED = (FLAGGER, ARGO, KAYENTA)  # the rivals of the targets, at equal false rollback


@dataclass(frozen=True)
class Row:
    """Figures of one judge in one cell. Times are minutes; empty where there is none.

    ``rolled_back`` counts rollbacks after the onset, ``early`` before it; the interval is Clopper-Pearson's at 95 %.
    ``delay`` is the median over all replications (infinite if fewer than half were rolled back); ``bad_requests`` the
    mean number of bad requests answered in excess of stable's rate until rollback, promotion or the end.
    """

    rate: float
    share: float | str
    base: float
    effect: float
    onset: float
    nuisance: str
    minutes: float
    exchangeable: bool
    judge: str
    runs: int
    early: int
    rolled_back: int
    low: float
    high: float
    delay: float
    bad_requests: float
    promoted: int
    promote: float
    undecided: float


def interval(hits: int, runs: int) -> tuple[float, float]:
    """Clopper-Pearson, 95 %."""
    low = 0.0 if hits == 0 else float(beta_law.ppf(0.025, hits, runs - hits + 1))
    high = 1.0 if hits == runs else float(beta_law.ppf(0.975, hits + 1, runs - hits))
    return low, high


def _median(values: np.ndarray) -> float:
    return float(np.sort(values)[(len(values) - 1) // 2])


def _row(cell: Cell, name: str, made: Decision) -> Row:
    runs = len(made.rollback)
    after = np.isfinite(made.rollback) & (made.rollback > cell.onset)
    early = int((made.rollback <= cell.onset).sum())
    low, high = interval(int(after.sum()), runs)
    share = shares(cell, round(cell.minutes * 60 / STEP))
    excess = np.concatenate([[0.0], np.cumsum(cell.rate * STEP * share * cell.base * (cell.effect - 1))])
    # Once promoted, a canary answers everything until the end.
    ends = np.minimum(made.rollback, cell.minutes)
    stop = np.minimum(ends, made.promote)
    at, begin = (
        np.round(np.maximum(t, cell.onset) * 60 / STEP).astype(int) for t in (stop, np.full(runs, cell.onset))
    )
    bad = excess[at] - excess[begin]
    everything = cell.rate * 60 * cell.base * (cell.effect - 1)
    bad += np.where(np.isfinite(made.promote), (cell.minutes - np.maximum(stop, cell.onset)) * everything, 0)
    promoted = np.isfinite(made.promote)
    return Row(
        **asdict(cell),
        exchangeable=cell.nuisance not in NOT_EXCHANGEABLE,
        judge=name,
        runs=runs,
        early=early,
        rolled_back=int(after.sum()),
        low=low,
        high=high,
        delay=_median(np.where(after, made.rollback - cell.onset, np.inf)),
        bad_requests=float(bad.mean()),
        promoted=int(promoted.sum()),
        promote=_median(made.promote),
        undecided=float((~promoted & np.isinf(made.rollback)).mean()),
    )


def _head(trace: Trace, runs: int) -> Trace:
    """The first replications."""
    cut = {f.name: getattr(trace, f.name)[:, :runs] for f in fields(trace) if f.name != "share"}
    return replace(trace, **cut)


def decisions(cell: Cell, runs: int, slow_runs: int) -> dict[str, Decision]:
    """What each judge does. All analyses go on to the end of the trace, so that an hour is an hour; promotions, ours
    by evidence and theirs by the clock, are rows of their own."""
    trace = make(cell, runs)
    tuned = knobs(cell.rate, cell.share, cell.base)
    shipped = ours.judge(trace)
    out = {
        OURS: decision(shipped.rollback[0.01]),
        OURS_05: decision(shipped.rollback[0.05]),
        OURS_PROMOTING: decision(shipped.rollback[0.01], shipped.cleared),
    }
    out[OURS_1] = decision(ours.judge(trace, alphas=(0.01,), margin=1.0, promotes=False).rollback[0.01])
    out[FLAGGER] = flagger.judge(flagger.failed_checks(trace, tuned.minimum), tuned.flagger)
    docs = flagger.failed_checks(trace)
    out[FLAGGER_DOCS] = flagger.judge(docs, 5)
    out[f"{FLAGGER_DOCS}, promoting after 10 good checks"] = flagger.judge(docs, 5, flagger.GOOD_CHECKS)
    out[ARGO] = argo.judge(*argo.failures(trace, tuned.minimum, 20, 4), tuned.argo, 4)
    loose = argo.failures(trace, 0.95, 20, 20)
    out[ARGO_DOCS] = argo.judge(*loose, 3, 20)
    out[f"{ARGO_DOCS}, promoting after 6 measurements"] = argo.judge(*loose, 3, 20, count=6)
    out[ARGO_99] = argo.judge(*argo.failures(trace, 0.99, 20, 4), 0, 4)
    out[KAYENTA] = kayenta.judge(_head(trace, min(runs, slow_runs)), every=5 if cell.minutes <= 60 else 60)
    z = others.z_statistics(trace)
    out[Z], out[Z_TUNED] = others.z_judge(z, 1.645), others.z_judge(z, tuned.z)
    out[NONE] = others.none_judge(trace)
    return out


def rows(cell: Cell, scale: float = 1.0) -> list[Row]:
    """All judges' rows of one cell. ``scale`` multiplies the replications (2000 where the canary is good)."""
    runs = max(20, round((2000 if cell.effect == 1 else 1000) * scale))
    return [
        _row(cell, name, made) for name, made in decisions(cell, runs, max(20, round(150 * scale))).items()
    ]


def run(cells: Iterable[Cell], jobs: int, scale: float) -> Iterator[list[Row]]:
    """Rows cell by cell, in the order of the cells."""
    work = list(cells)
    if jobs == 1:
        yield from (rows(cell, scale) for cell in work)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(rows, work, [scale] * len(work))


def write(path: Path, table: Iterable[Row]) -> None:
    """As CSV."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([f.name for f in fields(Row)])
        for row in table:
            writer.writerow([f"{v:.6g}" if isinstance(v, float) else v for v in asdict(row).values()])


def read(path: Path) -> list[Row]:
    """From CSV."""
    kinds = {f.name: f.type for f in fields(Row)}
    out = []
    with path.open() as file:
        for line in csv.DictReader(file):
            values: dict[str, object] = {}
            for name, text in line.items():
                kind = kinds[name]
                if kind == "bool":
                    values[name] = text == "True"
                elif kind == "int":
                    values[name] = int(text)
                elif kind == "str" or text == "ramp":
                    values[name] = text
                else:
                    values[name] = float(text)
            out.append(Row(**values))  # type: ignore[arg-type]
    return out
