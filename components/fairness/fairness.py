"""Whether decisions treat protected groups as the contract's policy demands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations as pairs
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.step import Summary, read_contract, write_json
from components.table import Rows, read_features
from serinus.contract import Contract, Fairness, Protected
from serinus.fairness import Finding, Group, judge, overall, wider_for
from serinus.intervals import Z95

ON_TEST = "test rows"
OUT_OF_SAMPLE = "all rows, each scored by a model that has not seen it"


def fairness(contract: Path, features: Path, scores: Path, report: Path) -> Summary:
    """Measure the policy for every protected group, and for the groups of intersecting attributes.

    The test rows decide where every group that is large enough overall is large enough
    among them. If not, and out-of-fold scores exist, all rows are judged, each by a model
    that has not seen it: that is a statement about the way of training rather than about
    the one model, and the report says so.

    Args:
        contract, features, scores: as ``components.evaluate`` takes and gives them.
        report: JSON to write: ``verdict`` (pass, fail, no_data or none without a policy),
            ``rows`` (which rows were judged), ``groups`` and ``findings``.
    """
    checked = read_contract(contract)
    if checked.fairness is None:
        write_json(report, {"verdict": "none", "basis": "", "groups": {}, "findings": [], "jurisdiction": ""})
        return {"policy": "none"}
    rows = read_features(checked, features, names=())
    with np.load(scores) as found:
        test, unseen = found["test"], found["unseen"]
    basis, probability = choose(checked, rows, test, unseen)
    groups = {
        p.column: count(checked, rows.protected[p.column], rows, probability) for p in checked.protected
    }
    findings = [
        finding
        for protected in checked.protected
        for finding in against(
            checked.fairness, protected.column, groups[protected.column], protected.reference or ""
        )
    ]
    for combination in combinations(checked):
        attribute, values = " x ".join(p.column for p in combination), together(rows, combination)
        groups[attribute] = count(checked, values, rows, probability)
        reference = ", ".join(reference_of(p.reference or "", groups[p.column]) for p in combination)
        findings += against(checked.fairness, attribute, groups[attribute], reference, many=True)
    verdict = overall(findings)
    write_json(
        report,
        {
            "verdict": verdict,
            "jurisdiction": checked.fairness.jurisdiction,
            "basis": basis,
            "min_group": checked.fairness.min_group,
            "evidence": checked.fairness.evidence,
            "groups": {name: list(members.values()) for name, members in groups.items()},
            "findings": findings,
            "differences": differences(checked, rows, probability),
            "unsure": sum(finding.verdict != "no_data" and not finding.sure for finding in findings),
        },
    )
    return _summary(verdict, basis, findings)


def differences(contract: Contract, rows: Rows, probability: NDArray[np.float64]) -> list[dict[str, Any]]:
    """Standardised mean difference of the score (Cohen's d) of each group from its reference: how far apart the groups
    lie whatever the cut-off, in standard deviations pooled over both; above 0, the group scores as riskier.

    Reported and not judged: groups may differ in what lawfully makes a risk. The 95 % interval is the
    large-sample one of Hedges and Olkin (1985); groups below the policy's ``min_group`` have no value.
    """
    assert contract.fairness is not None
    small = contract.fairness.min_group
    found: list[dict[str, Any]] = []
    scored = np.isfinite(probability)
    for protected in contract.protected:
        values = rows.protected[protected.column]
        members = Counter(values[scored & (values != "")].tolist())
        reference = reference_of(protected.reference or "", dict(members.most_common()))
        theirs = probability[scored & (values == reference)]
        for group, count_ in sorted(members.items()):
            if group == reference:
                continue
            ours = probability[scored & (values == group)]
            row: dict[str, Any] = {
                "attribute": protected.column, "group": group, "reference": reference, "rows": count_,
                "value": None, "low": None, "high": None, "why": "",
            }  # fmt: skip
            n, m = ours.size, theirs.size
            if min(n, m) < max(small, 2):
                row["why"] = f"fewer than {max(small, 2)} rows"
            elif not (pooled := (ours.var(ddof=1) * (n - 1) + theirs.var(ddof=1) * (m - 1)) / (n + m - 2)):
                row["why"] = "every score is the same"
            else:
                d = float((ours.mean() - theirs.mean()) / np.sqrt(pooled))
                half = Z95 * float(np.sqrt((n + m) / (n * m) + d * d / (2 * (n + m))))
                row |= {"value": round(d, 6), "low": round(d - half, 6), "high": round(d + half, 6)}
            found.append(row)
    return found


def choose(
    contract: Contract, rows: Rows, test: NDArray[np.float64], unseen: NDArray[np.float64]
) -> tuple[str, NDArray[np.float64]]:
    """Which rows' probabilities to judge (NaN for the others), and their name."""
    assert contract.fairness is not None
    enough = contract.fairness.min_group
    for protected in contract.protected:
        values = rows.protected[protected.column]
        tested, everywhere = Counter(values[np.isfinite(test)]), Counter(values[np.isfinite(unseen)])
        if any(tested[group] < enough <= everywhere[group] for group in everywhere if group):
            return OUT_OF_SAMPLE, unseen
    return ON_TEST, test


def combinations(contract: Contract) -> list[tuple[Protected, ...]]:
    """The protected attributes whose intersections the policy judges."""
    assert contract.fairness is not None
    wanted = contract.fairness.intersections
    if wanted is None:
        return list(pairs(contract.protected, 2))
    by_name = {protected.column: protected for protected in contract.protected}
    return [tuple(by_name[column] for column in combination) for combination in wanted]


def together(rows: Rows, combination: Sequence[Protected]) -> NDArray[Any]:
    """The group of each row in several attributes at once; "" where one of them is unknown."""
    parts = [rows.protected[protected.column].tolist() for protected in combination]
    return np.array(
        [", ".join(values) if all(values) else "" for values in zip(*parts, strict=True)], dtype=object
    )


def against(
    policy: Fairness, attribute: str, members: Mapping[str, Group], reference: str, *, many: bool = False
) -> list[Finding]:
    """Every group but the reference, by every measure of the policy.

    Args:
        members: the groups by name, the largest first.
        reference: the group compared with, where it has rows.
        many: widen the intervals for the number of groups that are large enough to be compared.
    """
    name = reference_of(reference, members)
    others = [group for group in members.values() if group.name != name]
    z = wider_for(sum(group.rows >= policy.min_group for group in others)) if many else Z95
    return [
        judge(attribute, measure, group, members[name], policy.min_group, evidence=policy.evidence, z=z)
        for measure in policy.measures
        for group in others
    ]


def count(
    contract: Contract, values: NDArray[Any], rows: Rows, probability: NDArray[np.float64]
) -> dict[str, Group]:
    """Decisions by group, for rows with a probability, an outcome and a known group, largest first.

    Args:
        values: the group of each row, "" where it is unknown.
    """
    rule = contract.decision
    known = np.isfinite(probability) & np.isfinite(rows.outcome)
    approved = probability < rule.adverse_at
    good = rows.outcome == 0
    groups: list[Group] = []
    for name in sorted(set(values[known].tolist()) - {""}):
        inside = known & (values == name)
        groups.append(
            Group(
                name,
                rows=int(inside.sum()),
                approved=int((inside & approved).sum()),
                good=int((inside & good).sum()),
                good_approved=int((inside & good & approved).sum()),
            )
        )
    return {group.name: group for group in sorted(groups, key=lambda group: -group.rows)}


def reference_of(wanted: str, members: Mapping[str, Any]) -> str:
    """The group compared with: the policy's, else the largest; the largest too if the
    policy's has no row, which the report then shows."""
    return wanted if wanted in members else next(iter(members), "")


def _summary(verdict: str, basis: str, findings: list[Finding]) -> Summary:
    worst = {
        f"{f.measure} {f.attribute}={f.group}": f"{f.value:.3f} ({f.low:.3f}-{f.high:.3f})"
        for f in findings
        if f.value is not None and f.low is not None and f.high is not None and f.verdict == "fail"
    }
    unsure = sum(f.verdict != "no_data" and not f.sure for f in findings)
    return {"verdict": verdict, "on": basis, "judged": len(findings), "unsure": unsure} | worst
