"""Taking in one scrape: ``start`` and ``update``, pure.

The mixture over onsets, exactly and in constant space. Let LR_i(k) be the likelihood ratio of alternative i
against the margin in batch k, and let onset j (one per epoch) have the weight g_j = 1/((j+1)(j+2)), which
sum to 1. Then

    E = sum_i pi_i sum_j g_j prod_{k after onset j} LR_i(k)  +  (weight of onsets still to come) * 1

The inner sum obeys S_i <- (S_i + g_j [onset j opens now]) * LR_i(k), so one number per alternative holds
every onset.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from serinus.durations import parse_duration
from serinus.errors import SerinusError

from . import absolute, deltas, primitive, routing, slo
from .grid import MULTIPLES, Grid, grid_of
from .types import Evidence, Guard, GuardState, Plan, Sample

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def digest(plan: Plan) -> str:
    """What evidence depends on: everything in a plan but its thresholds, weights and modes."""
    parts = [(g.name, g.metric, g.side, g.margin_ratio, g.margin_absolute, g.slo) for g in plan.guards]
    return hashlib.sha256(msgspec.json.encode((parts, parse_duration(plan.epoch)))).hexdigest()[:16]


def start(plan: Plan) -> Evidence:
    """Evidence before the first scrape."""
    return Evidence(plan=digest(plan), guards=tuple(GuardState() for _ in plan.guards))


def check(plan: Plan, evidence: Evidence) -> None:
    """Refuses evidence of another plan.

    Raises:
        SerinusError: SRN-EVIDENCE-002.
    """
    if evidence.plan != digest(plan) or len(evidence.guards) != len(plan.guards):
        raise SerinusError(
            "SRN-EVIDENCE-002",
            "this evidence was gathered under other guards, margins or epochs",
            where=f"plan {digest(plan)}, evidence {evidence.plan}",
            hint="Start new evidence when guards change; weights, alpha and modes may change freely.",
        )


def unopened(epoch: int) -> float:
    """The weight of all onsets after ``epoch``; 0 is the first scrape, where most harm begins."""
    return 1 / (4 * (epoch + 1))


def floor32(values: Floats) -> NDArray[np.float32]:
    """float32, never above the value: rounding must not create evidence."""
    rounded = values.astype(np.float32)
    return np.where(rounded > values, np.nextafter(rounded, np.float32(-np.inf)), rounded).astype(np.float32)


def rows_of(state: GuardState, grid: Grid) -> Floats:
    """The state's rows (edges, columns) as float64."""
    return np.frombuffer(state.logs, dtype="<f4").reshape(state.edges, grid.width).astype(np.float64)


def bad_of(state: GuardState) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Bad units so far, per edge: (stable, canary)."""
    both = np.frombuffer(state.bad, dtype="<i8")
    return both[: state.edges], both[state.edges :]


def slo_of(state: GuardState) -> Floats:
    """Log of S_i of the SLO's alternatives."""
    return np.frombuffer(state.slo, dtype="<f4").astype(np.float64)


def _fresh(guard: Guard, grid: Grid, edges: int) -> GuardState:
    rows = np.zeros((edges, grid.width))
    rows[:, : grid.harm_width] = math.log(1 - unopened(0))
    own = (
        np.full(len(MULTIPLES), math.log(1 - unopened(0)))
        if guard.slo is not None and edges == 1
        else np.empty(0)
    )
    return GuardState(
        edges=edges,
        bad=np.zeros(2 * edges, dtype="<i8").tobytes(),
        logs=floor32(rows).tobytes(),
        slo=floor32(own).tobytes(),
    )


def _open_onsets(state: GuardState, grid: Grid, first: int, last: int) -> GuardState:
    """Adds the weight of the onsets first..last (a telescoping sum) to every alternative."""
    if last < first or not state.edges:
        return state
    added = math.log(unopened(first - 1) - unopened(last))
    rows = rows_of(state, grid)
    rows[:, : grid.harm_width] = np.logaddexp(rows[:, : grid.harm_width], added)
    own = slo_of(state)
    return msgspec.structs.replace(
        state,
        logs=floor32(rows).tobytes(),
        slo=floor32(np.logaddexp(own, added)).tobytes() if own.size else b"",
    )


@dataclass
class _Row:
    """One guard while a batch is taken in."""

    guard: Guard
    grid: Grid
    state: GuardState
    delta: deltas.Delta
    values: Floats
    bad_s: Ints
    bad_c: Ints


def _ratios(rows: list[_Row]) -> None:
    """Advances the mixtures over onsets and the curves of the odds ratio: one call for all guards of a grid."""
    by_grid: dict[Grid, list[_Row]] = {}
    for row in rows:
        by_grid.setdefault(row.grid, []).append(row)
    for grid, alike in by_grid.items():
        edges = [row.state.edges for row in alike]
        curves = primitive.log_likelihoods(
            np.repeat([row.delta.n_canary for row in alike], edges),
            np.repeat([row.delta.n_stable for row in alike], edges),
            np.concatenate([row.delta.bad_canary for row in alike]),
            np.concatenate([row.delta.bad_stable for row in alike]),
            grid.thetas,
        )
        gains = np.concatenate(
            [curves[:, grid.alternatives[k]] - curves[:, [m]] for k, m in enumerate(grid.margins)]
            + [np.delete(curves - curves[:, [grid.anchor]], grid.anchor, axis=1)],
            axis=1,
        )
        for row, part in zip(alike, np.split(gains, np.cumsum(edges)[:-1]), strict=True):
            row.values[:, : gains.shape[1]] += part


def _absolute(rows: list[_Row]) -> None:
    """Advances the absolute margins' evidence of all guards in one go: the projection is an iteration."""
    tests: list[Floats] = []
    for row in rows:
        delta = row.delta
        arms = [(delta.n_canary, delta.bad_canary), (delta.n_stable, delta.bad_stable)]
        for direction in row.grid.directions:
            # Where fewer bad units are the harm, the question is whether stable exceeds the canary.
            (n_c, bad_c), (n_s, bad_s) = arms[::direction]
            test = np.empty((7, row.state.edges))
            test[0], test[1], test[2], test[3] = n_c, n_s, bad_c, bad_s
            test[4] = row.state.n_stable + row.state.n_canary
            test[5], test[6] = row.bad_s + row.bad_c, row.guard.margin_absolute
            tests.append(test)
    gains = absolute.log_e(*np.concatenate(tests, axis=1))
    at = 0
    for row in rows:
        for column in range(row.grid.absolute.start, row.grid.absolute.stop):
            row.values[:, column] += gains[at : at + row.state.edges]
            at += row.state.edges


def _closed(row: _Row) -> GuardState:
    state, delta, own = row.state, row.delta, slo_of(row.state)
    if own.size and row.guard.slo is not None:
        own = own + slo.log_ratios(delta.n_canary, int(delta.bad_canary[0]), row.guard.slo)
    bad = np.concatenate([row.bad_s + delta.bad_stable, row.bad_c + delta.bad_canary])
    return GuardState(
        edges=state.edges,
        n_stable=state.n_stable + delta.n_stable,
        n_canary=state.n_canary + delta.n_canary,
        bad=bad.astype("<i8").tobytes(),
        logs=floor32(row.values).tobytes(),
        slo=floor32(own).tobytes(),
    )


def _onsets(guard: Guard, state: GuardState, opened: int, epoch: int, now: deltas.Counters) -> GuardState:
    """The state with all onsets up to ``epoch`` open, made when the guard's metric is read for the first
    time."""
    if not state.edges and (edges := deltas.edges_of(guard.metric, now)):
        state, opened = _fresh(guard, grid_of(guard), edges), 0
    return _open_onsets(state, grid_of(guard), opened + 1, epoch)


def update(plan: Plan, evidence: Evidence, sample: Sample) -> Evidence:
    """Takes in one scrape.

    A scrape that is not later than the last one, or in which nothing could be read, changes nothing. The
    first readable scrape only sets the baseline: what a process counted before the rollout is not evidence.

    Raises:
        SerinusError: SRN-EVIDENCE-002 if the evidence belongs to another plan.
    """
    check(plan, evidence)
    if not math.isfinite(sample.at) or (evidence.last_at is not None and sample.at <= evidence.last_at):
        return evidence
    now = deltas.read(sample, {guard.metric for guard in plan.guards})
    if not now.spans:
        return evidence
    before = deltas.unpack(evidence.baseline)
    after = deltas.carry(before, now)
    # An onset is opened before the batch that it may explain is read, by the clock alone.
    first_at = sample.at if evidence.first_at is None else evidence.first_at
    last_at = sample.at if evidence.last_at is None else evidence.last_at
    epoch = max(evidence.epoch, int((last_at - first_at) // parse_duration(plan.epoch)))
    states = [
        _onsets(guard, state, evidence.epoch, epoch, now)
        for guard, state in zip(plan.guards, evidence.guards, strict=True)
    ]
    edges = {g.metric: s.edges for g, s in zip(plan.guards, states, strict=True) if s.edges}
    sizes = deltas.deltas_of(before, after, edges)
    busy: dict[int, _Row] = {}
    for i, (guard, state) in enumerate(zip(plan.guards, states, strict=True)):
        delta = sizes.get(guard.metric)
        if delta is not None and delta.n_stable + delta.n_canary > 0:
            grid = grid_of(guard)
            busy[i] = _Row(guard, grid, state, delta, rows_of(state, grid), *bad_of(state))
    if busy:
        _ratios(list(busy.values()))
        _absolute(list(busy.values()))
    traffic = max(sizes.values(), key=lambda d: d.n_stable + d.n_canary, default=None)
    return Evidence(
        plan=evidence.plan,
        first_at=first_at,
        last_at=sample.at,
        epoch=epoch,
        baseline=deltas.pack(after),
        guards=tuple(_closed(busy[i]) if i in busy else state for i, state in enumerate(states)),
        routing=routing.add(
            evidence.routing,
            sample.canary_share,
            traffic.n_canary if traffic else 0,
            traffic.n_stable if traffic else 0,
            traffic is not None and traffic.complete,
        ),
    )
