"""From a contract and its reference to every online test of the model, with thresholds."""

from __future__ import annotations

import zlib
from functools import cache
from importlib import resources

import msgspec
import numpy as np
from numpy.typing import NDArray

from serinus.contract import Contract
from serinus.model.levels import Levels

from ..bins import SCORE
from . import cvm, fisher
from .kinds import DECISION, kind_of
from .types import Calibration, OnlinePlan, Stream

Floats = NDArray[np.float64]
_RESOLUTION = 1e-9  # of the largest value: shifts smaller than this would be lost in a float


class Shelf(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Thresholds that were simulated once for all, with the plan that they are of."""

    plan: OnlinePlan
    cvm: tuple[float, ...]


def calibrate(
    contract: Contract, levels: Levels, rows: Floats, scores: Floats, plan: OnlinePlan | None = None
) -> Calibration:
    """Choose each column's online test, and configure it.

    Numbers get the Cramer-von Mises test; two values, and the decision, Fisher's; more levels and parts of the time
    none. Thresholds of the numbers' test depend on the plan alone: those of the default plan are at hand, others are
    simulated (a minute and more); Fisher's depend on the share and are simulated here (0.4 s a column).

    Args:
        rows: (n, F) encoded reference rows, NaN is missing: missing values are no part of any stream.
        scores: (n,) their calibrated scores.
    """
    plan = plan or OnlinePlan()
    streams: list[Stream] = []
    unwatched: dict[str, str] = {}
    declined = (scores >= contract.decision.decline_at).astype(np.float64)
    columns = [
        (f.name, kind_of(contract, f, levels), rows[:, i]) for i, f in enumerate(contract.features)
    ] + [(SCORE, "number", scores), (DECISION, "flag", declined)]
    for name, kind, values in columns:
        present = values[~np.isnan(values)]
        if kind == "clock":
            unwatched[name] = "a part of the time moves with the hour"
        elif kind == "category":
            unwatched[name] = "there is no online test for more than two levels"
        elif present.size < plan.reference:
            unwatched[name] = f"the reference has {present.size} values, {plan.reference} are needed"
        elif present.min() == present.max():
            unwatched[name] = f"the reference holds {present[0]:g} alone"
        else:
            streams.append(_flag(name, present, plan) if kind == "flag" else _number(name, present, plan))
    return Calibration(plan=plan, cvm=cvm_thresholds(plan), streams=tuple(streams), unwatched=unwatched)


def cvm_thresholds(plan: OnlinePlan) -> tuple[float, ...]:
    """Those at hand, if they are of this plan; else simulated."""
    kept = shelf()
    return kept.cvm if kept.plan == plan else cvm.configure(plan)


@cache
def shelf() -> Shelf:
    """Written by ``python -m serinus.watching.online``."""
    return msgspec.json.decode((resources.files(__package__) / "default.json").read_bytes(), type=Shelf)


def _number(name: str, present: Floats, plan: OnlinePlan) -> Stream:
    held = present[np.linspace(0, present.size - 1, plan.reference).round().astype(np.int64)]
    seed = zlib.crc32(name.encode())
    spread = tie_spread(present)
    shifts = np.random.default_rng([seed, 0]).random(held.size) - 0.5
    reference = np.sort(held + spread * shifts)
    return Stream(name=name, test="cvm", reference=tuple(reference.tolist()), spread=spread, seed=seed)


def tie_spread(values: Floats) -> float:
    """How far values may be shifted at random to break their ties: the least distance of a value that occurs twice
    from its neighbours; 0 if none does.

    Whatever the shift, reference and stream are shifted by the same law, and so have the same law if the values had:
    the test's run length, which holds for continuous laws, then holds for integers, zero-inflated amounts and scores
    of an isotonic calibration. The order of different values is kept, so nothing of a shift is lost.
    """
    distinct, counts = np.unique(values, return_counts=True)
    gaps = np.diff(distinct)
    if (counts == 1).all():
        return 0.0
    beside = np.minimum(np.append(gaps, np.inf), np.insert(gaps, 0, np.inf))
    least = float(beside[counts > 1].min())
    return max(least if np.isfinite(least) else 1.0, _RESOLUTION * float(np.abs(distinct).max()))


def _flag(name: str, present: Floats, plan: OnlinePlan) -> Stream:
    hits, rows = int(present.sum()), present.size
    more, fewer = fisher.thresholds(hits, rows, plan, (zlib.crc32(name.encode()),))
    return Stream(
        name=name, test="fet", hits=hits, rows=rows, more=tuple(more.tolist()), fewer=tuple(fewer.tolist())
    )
