"""Reading the evidence: ``judge``, pure. Every verdict carries the numbers it rests on, in words."""

from __future__ import annotations

import math
from dataclasses import dataclass

import msgspec
import numpy as np

from . import clearing, combine, routing
from .grid import LOG_PRIOR, grid_of
from .types import Evidence, Guard, GuardOutcome, GuardState, GuardVerdict, Outcome, Plan, Verdict
from .updating import bad_of, check, rows_of, slo_of, unopened

_LN10 = math.log(10)
_SLO_SHARE = 0.2  # of a guard's evidence, where it has an SLO


@dataclass(frozen=True)
class _Reading:
    """A guard's verdict before blame is settled."""

    verdict: GuardVerdict
    log_e: float


def _log_harm(log_s: np.ndarray, epoch: int) -> np.ndarray:
    """Log of E from rows of ln S_i: the mixture over alternatives, and the weight of onsets still to come."""
    return np.logaddexp(np.logaddexp.reduce(log_s + LOG_PRIOR, axis=-1), math.log(unopened(epoch)))


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _blank(guard: Guard, state: GuardState, reason: str) -> _Reading:
    return _Reading(
        GuardVerdict(
            guard=guard.name,
            mode=guard.mode,
            outcome="no_data",
            log10_e=0.0,
            n_stable=state.n_stable,
            n_canary=state.n_canary,
            bad_stable=0,
            bad_canary=0,
            edge=None,
            ratio_low=None,
            ratio_high=None,
            bound=1.0,
            requests_to_clear=None,
            reason=reason,
        ),
        0.0,
    )


def _read(plan: Plan, guard: Guard, state: GuardState, epoch: int) -> _Reading:
    if not state.edges or state.n_canary == 0:
        return _blank(guard, state, f"No {guard.metric} of the canary could be read yet.")
    grid, rows = grid_of(guard), rows_of(state, grid_of(guard))
    bad_s, bad_c = bad_of(state)
    n_s, n_c = state.n_stable, state.n_canary
    sides = np.stack([_log_harm(rows[:, grid.harm(k)], epoch) for k in range(len(grid.directions))], axis=1)
    per_edge = np.logaddexp.reduce(sides, axis=1) - math.log(sides.shape[1])
    log_e = float(np.logaddexp.reduce(per_edge) - math.log(state.edges))
    log_slo = float(_log_harm(slo_of(state), epoch)) if state.slo else None
    if log_slo is not None:
        log_e = combine.log_mean([log_e, log_slo], [1 - _SLO_SHARE, _SLO_SHARE])

    clear = clearing.log_clear(rows, grid)
    need = -math.log(plan.beta)
    cleared = bool((clear >= need).all()) and n_s > 0
    harmful = log_e >= -math.log(plan.alpha)
    # The edge that tells most: of harm if there is some, otherwise the one that still withholds its
    # clearance.
    edge = int(per_edge.argmax()) if log_e > 0 or cleared else int(clear.min(axis=1).argmin())
    side = int(sides[edge].argmax()) if log_e > 0 else int(clear[edge].argmin())
    direction = grid.directions[side]
    x_s, x_c = int(bad_s[edge]), int(bad_c[edge])
    low, high = clearing.ratio_bounds(grid.full_curve(rows)[edge], grid.thetas, plan.beta)
    bound = clearing.excess_bound(n_c, x_c, n_s, x_s, direction, plan.beta)
    if rows[edge, grid.absolute][side] >= need:
        bound = min(bound, guard.margin_absolute)
    pooled = (x_s + x_c) / (n_s + n_c)
    if cleared or harmful or n_s == 0:
        requests = 0 if cleared else None
    else:
        last, lag = divmod(int(clear.argmin()), len(grid.directions))
        requests = clearing.requests_to_clear(
            need - float(clear[last, lag]),
            float(bad_s[last] + bad_c[last]) / (n_s + n_c),
            n_c / (n_s + n_c),
            grid.directions[lag],
            guard.margin_ratio,
            guard.margin_absolute,
        )
    outcome: GuardOutcome = "harm" if harmful else "clear" if cleared else "undecided"
    where = f" above {_edge_name(guard, edge)}" if state.edges > 1 else ""
    counts = f"{x_c:,} of {n_c:,} canary units{where} against {x_s:,} of {n_s:,} stable units"
    word = "more" if direction > 0 else "less"
    if outcome == "harm":
        by_slo = log_slo is not None and log_slo > float(per_edge.max())
        claim = (
            f"the canary's share of {_percent(x_c / n_c)} is above its limit of {_percent(guard.slo or 0)}"
            if by_slo
            else f"{word} of the canary's units are{where or ' ' + guard.metric} "
            f"than a ratio of {guard.margin_ratio:g} allows"
        )
        reason = f"{claim}: {counts}; evidence 10^{log_e / _LN10:.1f}"
        limit = low if direction > 0 else high
        if limit is not None and not by_slo:
            reason += f", odds ratio at {'least' if direction > 0 else 'most'} {limit:.2f}"
    elif outcome == "clear":
        reason = f"no harm beyond {guard.margin_ratio:g} times or {_percent(guard.margin_absolute)}: {counts}"
    elif n_s == 0:
        reason = f"no stable units to compare with: {counts}"
    else:
        more = f"; about {requests:,} more canary units would clear it" if requests else ""
        reason = f"neither harm nor its absence is shown: {counts}, overall {_percent(pooled)}{more}"
    return _Reading(
        GuardVerdict(
            guard=guard.name,
            mode=guard.mode,
            outcome=outcome,
            log10_e=log_e / _LN10,
            n_stable=n_s,
            n_canary=n_c,
            bad_stable=x_s,
            bad_canary=x_c,
            edge=edge if state.edges > 1 else None,
            ratio_low=low,
            ratio_high=high,
            bound=bound,
            requests_to_clear=requests,
            reason=reason,
        ),
        log_e,
    )


def _edge_name(guard: Guard, edge: int) -> str:
    return guard.edges[edge] if edge < len(guard.edges) else f"edge {edge}"


def judge(plan: Plan, evidence: Evidence, *, failure: str | None = None) -> Verdict:
    """The verdict at this look. Looks may be as many as one likes, at any times.

    Args:
        failure: why the metrics could not be fetched, if so: then the outcome is ``provider_error``, which is
            neither a pass nor a fail, and the evidence so far is reported beside it.

    Raises:
        SerinusError: SRN-EVIDENCE-002 if the evidence belongs to another plan.
    """
    check(plan, evidence)
    readings = [
        _read(plan, guard, state, evidence.epoch)
        for guard, state in zip(plan.guards, evidence.guards, strict=True)
    ]
    enforced = [i for i, guard in enumerate(plan.guards) if guard.mode == "enforce"]
    logs = [readings[i].log_e for i in enforced]
    weights = [plan.guards[i].weight for i in enforced]
    total, threshold = combine.log_mean(logs, weights), -math.log(plan.alpha)
    harm = bool(enforced) and total >= threshold
    blamed = [enforced[k] for k in combine.culprits(logs, weights, threshold)] if harm else []
    certain = bool(blamed)
    if harm and not blamed:
        blamed = [enforced[int(np.argmax(logs))]]
    verdicts = []
    for i, reading in enumerate(readings):
        verdict = reading.verdict
        if i in blamed and verdict.outcome != "harm":
            verdict = msgspec.structs.replace(verdict, outcome="harm")
        elif i in enforced and i not in blamed and verdict.outcome == "harm":
            # Its own evidence passes 1/alpha, but among so many guards that may be chance.
            verdict = msgspec.structs.replace(verdict, outcome="undecided")
        verdicts.append(verdict)
    outcomes = [verdicts[i].outcome for i in enforced]
    broken = routing.log10_evidence(evidence.routing)
    outcome: Outcome
    if failure is not None:
        outcome, reason = "provider_error", f"The metrics could not be read: {failure}"
    elif harm:
        names = ", ".join(plan.guards[i].name for i in blamed)
        doubt = "" if certain else " (the guards are harmful together; this one tells most)"
        outcome, reason = "harm", f"{names}{doubt}: {verdicts[blamed[0]].reason}"
    elif broken >= routing.LOG10_THRESHOLD:
        r = evidence.routing
        got = r.n_canary / (r.n_canary + r.n_stable)
        outcome = "routing_broken"
        reason = f"The canary gets {_percent(got)} of the traffic where {_percent(r.share or 0)} was declared"
    elif not outcomes or all(o == "no_data" for o in outcomes):
        outcome, reason = "no_data", "No enforcing guard has seen a unit of the canary"
    elif all(o == "clear" for o in outcomes):
        outcome, reason = "clear", "Every guard shows that the canary does no harm beyond its margins"
    else:
        waiting = [verdicts[i] for i in enforced if verdicts[i].outcome != "clear"]
        outcome, reason = "undecided", f"{waiting[0].guard}: {waiting[0].reason}"
    return Verdict(
        outcome=outcome,
        culprits=tuple(plan.guards[i].name for i in blamed) if outcome == "harm" else (),
        reason=reason if reason.endswith(".") else reason + ".",
        log10_e=total / _LN10,
        threshold_log10=threshold / _LN10,
        guards=tuple(verdicts),
    )
