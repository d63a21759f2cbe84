"""What labelled decisions say of a model: figures with intervals, floors, fairness. Pure."""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from serinus.contract import Contract, FairnessMeasure
from serinus.fairness import Finding, Group, judge
from serinus.watching.performance import Figure, Performance, realised

Floats = NDArray[np.float64]
MEASURES = ("auc", "precision", "recall", "brier", "calibration_error", "bad_rate")
MAX_GROUPS = 20
"""Groups of an attribute that are shown; a stranger's file must not make series without end."""


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """What the owner asks of the live model.

    ``floors``: measure → the least that is acceptable (for brier and
    calibration_error the most). ``min_rows`` labelled decisions must there be, and
    ``min_bad`` of them bad, before anything is judged.
    """

    floors: dict[str, float] = {}
    min_rows: int = 200
    min_bad: int = 20


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One predictor's figures. ``below`` holds a measure only where it could be judged;
    ``breach`` an attribute likewise."""

    rows: int
    bad: int
    due: int
    labelled_of_due: int
    figures: dict[str, Figure]
    below: dict[str, bool]
    selection: dict[str, dict[str, float]]
    fairness: tuple[Finding, ...]
    breach: dict[str, bool]


def measure(
    contract: Contract,
    policy: Policy,
    probability: Floats,
    bad: Floats,
    *,
    coverage: tuple[int, int],
    groups: dict[str, dict[str, tuple[int, int, int, int]]],
) -> Measured:
    """Figures of the latest labelled decisions: probability and outcome (1 is bad), each of shape (n,).

    Precision and recall are at the contract's decline threshold.

    Args:
        coverage: (labelled, due) decisions.
        groups: attribute → group → (decisions, approved, good, good approved).
    """
    enough = bad.size >= policy.min_rows and policy.min_bad <= bad.sum() <= bad.size - 1
    figures = _figures(realised(probability, bad, contract.decision.decline_at)) if enough else {}
    findings = tuple(_fairness(contract, groups))
    return Measured(
        rows=int(bad.size),
        bad=int(bad.sum()),
        due=coverage[1],
        labelled_of_due=coverage[0],
        figures=figures,
        below={
            name: _below(name, figures[name], floor)
            for name, floor in policy.floors.items()
            if name in figures
        },
        selection={
            attribute: {
                value: approved / n
                for value, (n, approved, _, _) in _largest(members)
                if contract.fairness is None or n >= contract.fairness.min_group
            }
            for attribute, members in groups.items()
        },
        fairness=findings,
        breach=_breaches(findings),
    )


def _figures(found: Performance) -> dict[str, Figure]:
    named = {
        "auc": found.auc,
        "precision": found.precision,
        "recall": found.recall,
        "brier": found.brier,
        "calibration_error": found.ece,
        "bad_rate": found.base,
    }
    return {name: figure for name, figure in named.items() if figure is not None}


def _below(name: str, figure: Figure, floor: float) -> bool:
    """Whether the whole interval is on the wrong side: evidence, not a bad day."""
    if name in ("brier", "calibration_error"):
        return figure.low > floor
    return figure.high < floor


def _largest(
    members: dict[str, tuple[int, int, int, int]],
) -> list[tuple[str, tuple[int, int, int, int]]]:
    return sorted(members.items(), key=lambda item: -item[1][0])[:MAX_GROUPS]


def _fairness(contract: Contract, groups: dict[str, dict[str, tuple[int, int, int, int]]]) -> list[Finding]:
    findings: list[Finding] = []
    if contract.fairness is None:
        return findings
    policies: tuple[FairnessMeasure, ...] = contract.fairness.measures
    for protected in contract.protected:
        members = dict(_largest(groups.get(protected.column, {})))
        if not members:
            continue
        name = protected.reference if protected.reference in members else next(iter(members))
        made = {value: Group(value, *counts) for value, counts in members.items()}
        findings += [
            judge(protected.column, policy, made[value], made[name], contract.fairness.min_group)
            for policy in policies
            for value in members
            if value != name
        ]
    return findings


def _breaches(findings: tuple[Finding, ...]) -> dict[str, bool]:
    """Attributes that could be judged: whether a group's whole interval is beyond the limit."""
    judged: dict[str, bool] = {}
    verdicts: tuple[Literal["pass", "fail"], ...] = ("pass", "fail")
    for finding in findings:
        if finding.verdict in verdicts:
            sure = finding.verdict == "fail" and finding.sure
            judged[finding.attribute] = judged.get(finding.attribute, False) or sure
    return judged
