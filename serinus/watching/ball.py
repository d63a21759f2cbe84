"""E-values against "the law of a row is within a distance of the reference": one inequality, exact and cheap.

The null is a ball: all laws q on a column's cells with sum_j (q_j - p_j)^2 / p_j <= r^2, the reference p at its
centre. For any payoff w >= 0 the Cauchy-Schwarz inequality gives

    E_q[w] = E_p[w] + sum_j (q_j - p_j) w_j <= E_p[w] + r sd_p(w)

as sum (q_j - p_j) = 0. So w / (E_p[w] + r sd_p(w)) has mean at most 1 under every law of the ball. Payoffs may be
chosen from the past at will; ``docs/drift.md`` says what follows for products over rows and looks.
"""

from __future__ import annotations

import numpy as np

from .bins import Floats


def log_payoff(payoff: Floats, centre: Floats, radius: Floats) -> Floats:
    """Log of the e-value of one row in each cell.

    Args:
        payoff: (..., cells), above 0.
        centre: (..., cells), the reference's shares; 0 where a column has no such cell.
        radius: (...), r.
    """
    weighed = centre * payoff
    mean = weighed.sum(axis=-1)
    spread = np.sqrt(np.maximum((weighed * payoff).sum(axis=-1) - mean**2, 0.0))
    return np.log(payoff) - np.log(mean + radius * spread)[..., None]


def shrunk(deviation: Floats, centre: Floats, radius: Floats, noise: Floats) -> Floats:
    """The payoff that grows fastest if the truth is ``centre + deviation``, as far as that can be told.

    To second order the best payoff against the ball is 1 + (1 - r / d) (q/p - 1), d the distance of q: the nearest
    point of the ball lies that far along the way. ``noise`` is how far a deviation of the sample's size would be
    by chance; it is taken off likewise. 1 everywhere (no bet) where nothing is left.
    """
    # No reference holds a share as small as the bound: it only stands for cells that a column does not have.
    ratio = np.where(centre > 0, deviation, 0.0) / np.maximum(centre, 1e-15)
    distance = np.sqrt((centre * ratio * ratio).sum(axis=-1))
    share = np.maximum(1 - (radius + noise) / np.maximum(distance, 1e-12), 0.0)
    return np.maximum(1 + share[..., None] * ratio, 0.05)
