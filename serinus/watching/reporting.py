"""From evidence to words: which columns drifted, which data are bad, and the numbers it rests on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .bins import Baseline, Floats, Ints
from .effects import Effect
from .tables import EXCESSES, Columns, Shares
from .types import ColumnReport, Evidence, Plan, Report, ShareReport, Status

_LOG10 = math.log(10)
_NO_LIMIT = np.array(np.inf)


@dataclass(frozen=True)
class Reading:
    """Evidence, unpacked: see ``Evidence``."""

    logs: Floats
    recent: Floats
    weights: Floats
    waiting: Ints
    last: Ints
    shares: Floats
    seen: Floats


def kish(weights: Floats) -> Floats:
    """Rows that a sum of unequally weighted rows is worth (Kish 1965), from (..., [sum, sum of squares])."""
    return weights[..., 0] ** 2 / np.maximum(weights[..., 1], 1e-9)


def report(
    plan: Plan, baseline: Baseline, columns: Columns, shares: Shares, evidence: Evidence, read: Reading
) -> Report:
    """The verdict on unpacked evidence."""
    mixed = np.logaddexp.reduce(columns.log_weights + read.logs, axis=1)
    watched = columns.any_watched
    total = np.logaddexp.reduce(mixed[watched]) - math.log(columns.count) if watched.any() else 0.0
    effects = _effects(plan, columns, read, evidence.stratum)
    reports = tuple(
        _column(plan, baseline.columns[i].name, columns, found, i, log_e)
        for i, (found, log_e) in enumerate(zip(effects, mixed.tolist(), strict=True))
    )
    of_shares = np.logaddexp.reduce(read.shares, axis=1) - math.log(len(EXCESSES))
    quality = tuple(
        _share(plan, baseline, shares, read, k, log_e, evidence.stratum)
        for k, log_e in enumerate(of_shares.tolist())
    )
    status: Status = "no_data"
    if any(r.status == "drift" for r in reports):
        status = "drift"
    elif any(r.status == "stable" for r in reports):
        status = "stable"
    bad = any(q.quality == "bad" for q in quality)
    return Report(
        looks=evidence.looks,
        status=status,
        quality="bad" if bad else "good" if any(q.quality == "good" for q in quality) else "no_data",
        log10_e=float(total) / _LOG10,
        threshold_log10=columns.threshold / _LOG10,
        columns=reports,
        shares=quality,
    )


def _column(
    plan: Plan, name: str, columns: Columns, found: Effect | None, i: int, log_e: float
) -> ColumnReport:
    evidence = log_e >= columns.column_threshold
    material = found is not None and found.material(plan.min_psi)
    status: Status = "drift" if evidence and material else "stable"
    if not columns.any_watched[i]:
        status, reason = "no_data", "not judged: a part of the time, or too small a reference"
    elif found is None:
        status, reason = "no_data", f"fewer than {plan.min_effect_rows} values so far"
    else:
        reason = (
            f"evidence 10^{log_e / _LOG10:.1f} {'≥' if evidence else '<'} 10^{columns.column_threshold / _LOG10:.1f}, "
            f"PSI {found.psi:.3f} {'>' if material else '≤'} {max(plan.min_psi, found.psi_null):.3f}"
        )
    return ColumnReport(
        name=name,
        status=status,
        reason=reason,
        log10_e=log_e / _LOG10,
        threshold_log10=columns.column_threshold / _LOG10,
        evidence=evidence,
        material=material,
        effect=found,
    )


def _effects(plan: Plan, columns: Columns, read: Reading, stratum: int) -> list[Effect | None]:
    """Of the shortest span that can tell the band from chance: the last look, or the past half-forgotten."""
    rows = columns.owner
    reference, least = columns.reference[stratum], plan.min_effect_rows
    best = columns.yardsticks.effects(reference, read.last.astype(np.float64), _NO_LIMIT, least)
    for recent, weights in zip(read.recent, read.weights, strict=True):
        if all(e is not None and e.psi_null <= plan.min_psi for e in best):
            break
        counts = np.maximum(weights[rows, 0] * columns.centre[stratum] + recent, 0.0)
        longer = columns.yardsticks.effects(reference, counts, kish(weights), least)
        best = [
            old if old is not None and old.psi_null <= plan.min_psi else new or old
            for old, new in zip(best, longer, strict=True)
        ]
    return best


def _share(
    plan: Plan, baseline: Baseline, shares: Shares, read: Reading, k: int, log_e: float, stratum: int
) -> ShareReport:
    i, kind = shares.streams[k]
    evidence = log_e >= shares.threshold
    reference = float(shares.reference[stratum, k])
    last_hits, last_rows, hits, rows = read.seen[k].tolist()
    if last_rows >= plan.min_effect_rows:
        hits, rows = last_hits, last_rows
    share = hits / rows if rows >= plan.min_rows else None
    material = share is not None and share - reference > plan.min_excess
    reason = "too few rows"
    if share is not None:
        reason = (
            f"{share:.2%} {kind}, {reference:.2%} in the reference"
            if evidence or material
            else "as in the reference"
        )
    return ShareReport(
        column=baseline.columns[i].name if i >= 0 else "",
        kind=kind,
        quality="no_data" if share is None else "bad" if evidence and material else "good",
        reason=reason,
        log10_e=log_e / _LOG10,
        threshold_log10=shares.threshold / _LOG10,
        share=share,
        reference_share=reference,
        n=rows,
    )
