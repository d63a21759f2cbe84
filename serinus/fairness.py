"""The measures a fairness policy may limit, each with an interval. Pure."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Literal

import msgspec

from serinus.contract import FairnessMeasure
from serinus.intervals import Z95, wilson

Verdict = Literal["pass", "fail", "no_data"]
Evidence = Literal["significant", "interval", "value"]

MEASURES: dict[str, str] = {
    "adverse_impact_ratio": "share of the group approved over the reference's (four-fifths rule, 29 CFR 1607.4(D))",
    "equal_opportunity_difference": "difference in the share of good outcomes approved",
    "demographic_parity_difference": "difference in the share approved",
    "equalized_odds_difference": "the larger of the differences in approval among good and among bad outcomes",
}
"""What each measure of a policy means."""

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

    ``sure`` says that the whole interval lies on the verdict's side of the limit; a verdict without
    it may well be chance. No data with a value is a value that may be chance, by the policy's ``evidence``.
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


def judge(
    attribute: str,
    policy: FairnessMeasure,
    group: Group,
    reference: Group,
    min_group: int,
    *,
    evidence: Evidence = "significant",
    z: float = Z95,
) -> Finding:
    """Whether a group is treated as the policy demands, compared with the reference.

    Fewer than ``min_group`` rows (good outcomes, for equal opportunity; good and bad ones, for
    equalized odds) on either side, or a ratio over nothing, is no data.

    Args:
        evidence: what a failure needs, as ``serinus.contract.Fairness`` says.
        z: half the interval's width in standard errors; wider where many groups are compared.
    """
    limit = policy.min if policy.min is not None else policy.max
    assert limit is not None  # serinus.contract.checks
    within = {
        "equal_opportunity_difference": ("good outcomes",),
        "equalized_odds_difference": ("good outcomes", "bad outcomes"),
    }.get(policy.measure, ("rows",))
    for what in within:
        for one in (group, reference):
            rows = _of(one, what)[1]
            if rows < min_group:
                why = f"{one.name} has {rows} {what}, fewer than {min_group}"
                return _nothing(attribute, policy, group, reference, limit, _of(group, what)[1], why)
    hits, rows = _of(group, within[0])
    base, base_rows = _of(reference, within[0])
    lower = policy.measure == "adverse_impact_ratio"
    if lower and base == 0:
        return _nothing(
            attribute, policy, group, reference, limit, rows, f"nobody of {reference.name} is approved"
        )
    if lower:
        value, low, high = ratio(hits, rows, base, base_rows, z)
    elif len(within) == 1:
        value, low, high = difference(hits, rows, base, base_rows, z)
    else:
        # Both intervals hold their difference at once (Bonferroni), hence the larger ends hold the larger one.
        wider = NormalDist().inv_cdf(1 - (1 - NormalDist().cdf(z)) / 2)
        parts = [difference(*_of(group, what), *_of(reference, what), wider) for what in within]
        value, low, high = (max(part[i] for part in parts) for i in range(3))
        rows = group.rows
    good = value >= limit - EXACT if lower else value <= limit + EXACT
    inside, outside = (low >= limit, high < limit) if lower else (high <= limit, low > limit)
    equal = low <= 1 <= high if lower else low <= 0
    verdict: Verdict = "pass" if good else "fail"
    why = ""
    if evidence == "significant" and not good and equal:
        verdict, why = "no_data", "may be chance: the interval holds equal treatment"
    elif evidence == "interval" and not inside and not outside:
        verdict, why = "no_data", "may be chance: the interval crosses the limit"
    sure = verdict != "no_data" and (inside if verdict == "pass" else outside)
    return Finding(
        attribute,
        group.name,
        reference.name,
        policy.measure,
        value,
        low,
        high,
        limit,
        rows,
        verdict,
        sure,
        why,
    )


def wider_for(comparisons: int) -> float:
    """Half-width in standard errors at which so many 95 % intervals hold all at once (Bonferroni)."""
    return NormalDist().inv_cdf(1 - 0.025 / max(comparisons, 1))


def ratio(hits: int, rows: int, base: int, base_rows: int, z: float = Z95) -> tuple[float, float, float]:
    """Ratio of two shares with its interval (Katz et al. 1978, on the logarithm).

    Without a hit the interval is [0, the ratio of Wilson's outer ends].
    """
    share, other = hits / rows, base / base_rows
    value = share / other
    if hits == 0:
        return 0.0, 0.0, wilson(hits, rows, z)[1] / max(wilson(base, base_rows, z)[0], 1e-12)
    error = math.sqrt(max(1 / hits - 1 / rows + 1 / base - 1 / base_rows, 0.0))
    return value, value * math.exp(-z * error), value * math.exp(z * error)


def difference(hits: int, rows: int, base: int, base_rows: int, z: float = Z95) -> tuple[float, float, float]:
    """Absolute difference of two shares with its interval (Newcombe 1998, method 10,
    from Wilson's intervals; folded at zero, as the difference is)."""
    share, other = hits / rows, base / base_rows
    low, high = wilson(hits, rows, z)
    other_low, other_high = wilson(base, base_rows, z)
    signed = share - other
    below = signed - math.hypot(share - low, other_high - other)
    above = signed + math.hypot(high - share, other - other_low)
    nearest = 0.0 if below <= 0 <= above else min(abs(below), abs(above))
    return abs(signed), nearest, max(abs(below), abs(above))


def _of(group: Group, what: str) -> tuple[int, int]:
    """Approved, and all, of a group's rows or of those with one outcome."""
    if what == "good outcomes":
        return group.good_approved, group.good
    if what == "bad outcomes":
        return group.approved - group.good_approved, group.rows - group.good
    return group.approved, group.rows


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
