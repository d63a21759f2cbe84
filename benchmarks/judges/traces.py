"""Seeded traffic: what happened, and what a scrape every 15 s could see of it.

All arrays are (steps, replications). A trace knows the truth; each judge gets only what its own metrics pipeline
would see (``windows`` for those that read Prometheus, ``ours`` for counter deltas).
"""

from __future__ import annotations

import zlib
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
STEP = 15.0  # seconds between scrapes
NUISANCES = (
    "none",
    "daily",
    "incident",
    "pods15",
    "pods30",
    "bursts",
    "sticky",
    "gaps",
    "resets",
    "nan",
)
# Requests are exchangeable between the arms in all but these: there the arms differ though no version is at fault.
NOT_EXCHANGEABLE = ("pods15", "pods30", "sticky")


@dataclass(frozen=True)
class Cell:
    """One combination of conditions.

    Args:
        rate: requests per second, both arms.
        share: the canary's share of traffic, or "ramp": 5, 10, 25, 50 % by quarters of the trace.
        base: stable's share of bad requests.
        effect: the canary's share of bad requests, as a multiple of stable's.
        onset: minutes until the effect begins.
        nuisance: one of ``NUISANCES``.
        minutes: length of the trace.
    """

    rate: float
    share: float | str = 0.1
    base: float = 0.005
    effect: float = 1.0
    onset: float = 0.0
    nuisance: str = "none"
    minutes: float = 60.0

    def seed(self) -> int:
        """Of this cell's traces, from its conditions."""
        return zlib.crc32(repr(sorted(asdict(self).items())).encode())


@dataclass(frozen=True)
class Trace:
    """True counts per step, and what happened to the scrapes.

    Scrape k + 1 ends step k; scrape 0 starts the trace. ``seen_*`` and ``nan_*`` have steps + 1 rows.
    """

    n_s: Ints
    n_c: Ints
    x_s: Ints
    x_c: Ints
    lost_s: (
        Bools  # the process restarted in this step: half of the step's counts and all earlier ones are gone
    )
    lost_c: Bools
    seen_s: Bools
    seen_c: Bools
    nan_s: Bools
    nan_c: Bools
    share: NDArray[np.float64]

    @property
    def steps(self) -> int:
        """Number of 15 s steps."""
        return len(self.n_s)

    @property
    def runs(self) -> int:
        """Number of replications."""
        return self.n_s.shape[1]


def shares(cell: Cell, steps: int) -> NDArray[np.float64]:
    """The canary's share of traffic at each step."""
    if cell.share == "ramp":
        return np.repeat([0.05, 0.1, 0.25, 0.5], -(-steps // 4))[:steps]
    return np.full(steps, float(cell.share))


def _arm_factor(rng: np.random.Generator, pods: int, sd: float, runs: int) -> NDArray[np.float64]:
    """The mean factor of an arm's pods; each pod's own factor is lognormal with median 1."""
    return np.exp(sd * rng.standard_normal((pods, runs))).mean(axis=0)


def make(cell: Cell, runs: int, *, salt: int = 0) -> Trace:
    """Replications of a cell; the same cell, runs and salt give the same trace."""
    rng = np.random.default_rng([cell.seed(), salt])
    steps = round(cell.minutes * 60 / STEP)
    at = np.arange(steps) * STEP / 60  # minutes
    share = shares(cell, steps)
    shape = (steps, runs)
    traffic = np.full(steps, cell.rate * STEP)
    base = np.full(steps, cell.base)
    if cell.nuisance == "daily":  # a day pressed into the trace, from a random hour on
        phase = 2 * np.pi * (at[:, None] / cell.minutes + rng.random(runs))
        base_t = base[:, None] * (1 + 0.8 * np.sin(phase))
        traffic_t = traffic[:, None] * (1 + 0.5 * np.sin(phase + 1))
    else:
        base_t, traffic_t = np.repeat(base[:, None], runs, 1), np.repeat(traffic[:, None], runs, 1)
    if cell.nuisance == "incident":  # six minutes in which both arms fail, from a random time on
        begin = rng.uniform(5, cell.minutes - 10, runs)
        base_t = base_t + 0.05 * ((at[:, None] >= begin) & (at[:, None] < begin + 6))
    effect = np.where(at >= cell.onset, cell.effect, 1.0)[:, None]
    p_s, p_c = base_t, np.minimum(base_t * effect, 1.0)
    if cell.nuisance in ("pods15", "pods30"):
        sd = 0.15 if cell.nuisance == "pods15" else 0.3
        p_s = np.minimum(p_s * _arm_factor(rng, 27, sd, runs), 1)
        p_c = np.minimum(p_c * _arm_factor(rng, 3, sd, runs), 1)
    n_c = rng.poisson(traffic_t * share[:, None])
    n_s = rng.poisson(traffic_t * (1 - share[:, None]))
    x_c, x_s = rng.binomial(n_c, p_c), rng.binomial(n_s, p_s)
    if cell.nuisance in ("bursts", "sticky"):
        # Each failure is retried, on average once, and the retries fail too: at random over the arms, or on its own.
        again_c, again_s = (
            rng.negative_binomial(np.maximum(x_c, 1), 0.5),
            rng.negative_binomial(np.maximum(x_s, 1), 0.5),
        )
        again_c, again_s = np.where(x_c > 0, again_c, 0), np.where(x_s > 0, again_s, 0)
        if cell.nuisance == "bursts":
            moved = rng.binomial(again_c + again_s, np.broadcast_to(share[:, None], shape))
            again_c, again_s = moved, again_c + again_s - moved
        x_c, n_c, x_s, n_s = x_c + again_c, n_c + again_c, x_s + again_s, n_s + again_s
    false = np.zeros(shape, bool)
    all_seen, no_nan = np.ones((steps + 1, runs), bool), np.zeros((steps + 1, runs), bool)
    seen_s, seen_c, nan_s, nan_c = all_seen, all_seen, no_nan, no_nan
    lost_s, lost_c = false, false
    if cell.nuisance == "gaps":  # a fifth of each arm's scrapes, and five minutes of everything
        seen_s, seen_c = rng.random(all_seen.shape) > 0.2, rng.random(all_seen.shape) > 0.2
        begin = rng.integers(40, max(41, steps - 40), runs)
        k = np.arange(steps + 1)[:, None]
        outage = (k >= begin) & (k < begin + 20)
        seen_s, seen_c = seen_s & ~outage, seen_c & ~outage
        seen_s[0] = seen_c[0] = True
    if cell.nuisance == "resets":  # each arm restarts every ten minutes on average
        lost_s, lost_c = rng.random(shape) < STEP / 600, rng.random(shape) < STEP / 600
    if cell.nuisance == "nan":
        nan_s, nan_c = rng.random(all_seen.shape) < 0.1, rng.random(all_seen.shape) < 0.1
        nan_s[0] = nan_c[0] = False
    return Trace(n_s, n_c, x_s, x_c, lost_s, lost_c, seen_s, seen_c, nan_s, nan_c, share)


@dataclass(frozen=True)
class Decision:
    """Minutes until each replication was rolled back or promoted; infinite where it was not."""

    rollback: NDArray[np.float64]
    promote: NDArray[np.float64]


def decision(rollback: NDArray[np.float64], promote: NDArray[np.float64] | None = None) -> Decision:
    """Of a rollback and a promotion only the earlier happens; at a tie the rollback."""
    later = np.full_like(rollback, np.inf) if promote is None else promote
    return Decision(np.where(rollback <= later, rollback, np.inf), np.where(later < rollback, later, np.inf))
