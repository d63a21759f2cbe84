"""Does the canary get the share of traffic that was declared? The sample-ratio guard.

Broken routing (a rule that was not applied, a hash that is not uniform) would make every comparison doubtful.
Shares a little off the weight are common and harmless (retries, connection reuse), so the null is a band of
odds around the declared ones, and each side of it is tested like an SLO (``slo``). The evidence starts
afresh whenever the weight changes. After Lindon and Malek (2022), with the band added.
"""

from __future__ import annotations

import math

import numpy as np

from .grid import LOG_PRIOR
from .slo import log_ratios
from .types import Routing

TOLERANCE = 1.5  # odds of the canary's share, against the declared odds
LOG10_THRESHOLD = 4.0  # a chance of 1 in 10,000 per weight, on either side


def add(routing: Routing, share: float | None, n_canary: int, n_stable: int, complete: bool) -> Routing:
    """Takes in one batch. A batch in which the weight changed, or with a source missing, says nothing."""
    if share != routing.share:
        return Routing(share=share)
    if not complete or share is None or not 0 < share < 1:
        return routing
    return Routing(share=share, n_canary=routing.n_canary + n_canary, n_stable=routing.n_stable + n_stable)


def log10_evidence(routing: Routing) -> float:
    """log10 of the evidence that the canary's share is outside the band; 0 if there is nothing to compare."""
    share, n = routing.share, routing.n_canary + routing.n_stable
    if share is None or not 0 < share < 1 or n == 0:
        return 0.0
    odds = share / (1 - share)
    sides = []
    for direction in (1, -1):
        edge = odds * TOLERANCE**direction
        ratios = log_ratios(n, routing.n_canary, edge / (1 + edge), direction)
        sides.append(np.logaddexp.reduce(LOG_PRIOR + ratios))
    return float(np.logaddexp(*sides) - math.log(2)) / math.log(10)
