"""The measures a fairness policy may limit, each with an interval. Pure."""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from serinus.contract import FairnessMeasure
from serinus.intervals import Z95, wilson

Verdict = Literal["pass", "fail", "no_data"]

EXACT = 1e-12
"""0.72 / 0.9 is a little less than 0.8 in floating point, and exactly four fifths pass."""


class Group(msgspec.Struct, frozen=True):
    """What the decisions were in one group: rows, approved, good outcomes, good ones approved."""

    name: str
    rows: int
    approved: int
    good: int
    good_approved: int


class Finding(msgspec.Struct, frozen=True):
    """One measure of one group against the reference group.

    ``sure`` says that the whole 95 % interval lies on the verdict's side of the limit;
    a verdict without it may well be chance.
    """

    attribute: str
    group: str
    reference: str
    measure: str
    value: float | None
    low: float | None
    high: float | None
    limit: float
    rows: int
    verdict: Verdict
    sure: bool
    why: str = ""


def judge(attribute: str, policy: FairnessMeasure, group: Group, reference: Group, min_group: int) -> Finding:
    """Whether a group is treated as the policy demands, compared with the reference.

    Fewer than ``min_group`` rows (good outcomes, for equal opportunity) on either side,
    or a ratio over nothing, is no data.
    """
    limit = policy.min if policy.min is not None else policy.max
    assert limit is not None  # serinus.contract.checks
    within_good = policy.measure == "equal_opportunity_difference"
    hits, rows = (group.good_approved, group.good) if within_good else (group.approved, group.rows)
    base, base_rows = (
        (reference.good_approved, reference.good) if within_good else (reference.approved, reference.rows)
    )
    few = [g for g, n in ((group, rows), (reference, base_rows)) if n < min_group]
    if few:
        what = "good outcomes" if within_good else "rows"
        why = f"{few[0].name} has {rows if few[0] is group else base_rows} {what}, fewer than {min_group}"
        return _nothing(attribute, policy, group, reference, limit, rows, why)
    if policy.measure == "adverse_impact_ratio":
        if base == 0:
            return _nothing(
                attribute, policy, group, reference, limit, rows, f"nobody of {reference.name} is approved"
            )
        value, low, high = ratio(hits, rows, base, base_rows)
        verdict: Verdict = "pass" if value >= limit - EXACT else "fail"
        sure = low >= limit if verdict == "pass" else high < limit
    else:
        value, low, high = difference(hits, rows, base, base_rows)
        verdict = "pass" if value <= limit + EXACT else "fail"
        sure = high <= limit if verdict == "pass" else low > limit
    return Finding(
        attribute, group.name, reference.name, policy.measure, value, low, high, limit, rows, verdict, sure
    )


def ratio(hits: int, rows: int, base: int, base_rows: int) -> tuple[float, float, float]:
    """Ratio of two shares with its 95 % interval (Katz et al. 1978, on the logarithm).

    Without a hit the interval is [0, the ratio of Wilson's outer ends].
    """
    share, other = hits / rows, base / base_rows
    value = share / other
    if hits == 0:
        return 0.0, 0.0, wilson(hits, rows)[1] / max(wilson(base, base_rows)[0], 1e-12)
    error = math.sqrt(max(1 / hits - 1 / rows + 1 / base - 1 / base_rows, 0.0))
    return value, value * math.exp(-Z95 * error), value * math.exp(Z95 * error)


def difference(hits: int, rows: int, base: int, base_rows: int) -> tuple[float, float, float]:
    """Absolute difference of two shares with its 95 % interval (Newcombe 1998, method 10,
    from Wilson's intervals; folded at zero, as the difference is)."""
    share, other = hits / rows, base / base_rows
    low, high = wilson(hits, rows)
    other_low, other_high = wilson(base, base_rows)
    signed = share - other
    below = signed - math.hypot(share - low, other_high - other)
    above = signed + math.hypot(high - share, other - other_low)
    nearest = 0.0 if below <= 0 <= above else min(abs(below), abs(above))
    return abs(signed), nearest, max(abs(below), abs(above))


def overall(findings: list[Finding]) -> Verdict:
    """Fail if any group fails; no data if a policy exists and nobody could be judged; else pass."""
    verdicts = {finding.verdict for finding in findings}
    if "fail" in verdicts:
        return "fail"
    return "pass" if "pass" in verdicts else "no_data"


def _nothing(
    attribute: str, policy: FairnessMeasure, group: Group, reference: Group, limit: float, rows: int, why: str
) -> Finding:
    return Finding(
        attribute,
        group.name,
        reference.name,
        policy.measure,
        None,
        None,
        None,
        limit,
        rows,
        "no_data",
        False,
        why,
    )
