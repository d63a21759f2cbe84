"""Which series a board asks for."""

from __future__ import annotations

ONE = 'namespace=~"$namespace", model=~"$model"'
"""The selector of one model; .* in both is all of them."""
ANY = 'namespace=~"$namespace"'
RATE = "[$__rate_interval]"


def latency(q: float, by: str = "predictor") -> str:
    """That quantile of the latency, in seconds."""
    return f"histogram_quantile({q}, sum by ({by}, le) (rate(model_latency_seconds_bucket{{{ONE}}}{RATE})))"
