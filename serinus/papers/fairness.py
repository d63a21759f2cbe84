"""Fairness by group and intersection: as a section of the validation report, and as a paper of its own."""

from __future__ import annotations

from typing import Any

from serinus.intervals import wilson
from serinus.papers import plots
from serinus.papers.document import (
    Block,
    Bullets,
    Column,
    Document,
    Facts,
    Figure,
    Section,
    Table,
    Text,
    Verdict,
)
from serinus.papers.evidence import Evidence

MEASURES = {
    "adverse_impact_ratio": "share approved over that of the reference group",
    "equal_opportunity_difference": "difference in the share of good applicants approved",
    "demographic_parity_difference": "difference in the share approved",
}
"""What each measure of a policy is, in words."""


def fairness_verdict(e: Evidence) -> tuple[Verdict, str]:
    """The verdict of the fairness report, and in a sentence on what it rests."""
    found = e.fairness
    verdict = found.get("verdict", "none")
    if verdict == "none":
        return "no_data", "The contract sets no fairness policy, so nothing was judged."
    unsure = found.get("unsure", 0)
    basis = f"Policy of {found.get('jurisdiction') or 'no jurisdiction'}, judged on {found.get('basis')}."
    if verdict == "pass" and unsure:
        return "attention", f"{basis} {unsure} verdicts may be chance: their interval crosses the limit."
    return ("pass" if verdict == "pass" else "fail" if verdict == "fail" else "no_data"), basis


def fairness_blocks(e: Evidence) -> list[Block]:
    """A drawing for each measure, the findings, and who was counted."""
    found = e.fairness
    findings = found.get("findings", [])
    blocks: list[Block] = []
    for measure in dict.fromkeys(f["measure"] for f in findings):
        of = [f for f in findings if f["measure"] == measure]
        rows = [
            (f"{_name(f)} (n = {f['rows']:,})", f["value"], f["low"], f["high"], f["verdict"]) for f in of
        ]
        said = MEASURES.get(measure) or str(measure).replace("_", " ")
        blocks.append(
            Figure(
                f"{measure.replace('_', ' ').capitalize()}: {said}, with 95 % intervals; dashed: the policy's limit",
                plots.forest(rows, of[0]["limit"], said),
                f"{said} for {len(of)} groups",
            )
        )
    if findings:
        noted = any(_note(f) for f in findings)
        columns = (
            Column("Measure"), Column("Group"), Column("Against"), Column("n", "count"), Column("Value", "number"),
            Column("95 % interval", "interval"), Column("Limit", "number"), Column("Verdict", "verdict"),
            *((Column("Note"),) if noted else ()),
        )  # fmt: skip
        cells = tuple(
            (
                f["measure"].replace("_", " "), _name(f), f["reference"], f["rows"], f["value"], (f["low"], f["high"]),
                f["limit"], f["verdict"], *((_note(f),) if noted else ()),
            )
            for f in findings
        )  # fmt: skip
        note = (
            f"Groups of fewer than {found.get('min_group')} rows are insufficient: neither a pass nor a fail."
        )
        blocks.append(Table("Findings", columns, cells, note))
    return [*blocks, *_differences(found), *_groups(found), *_proxies(e)]


def _name(finding: dict[str, Any]) -> str:
    return f"{finding['attribute']}: {finding['group']}"


def _note(finding: dict[str, Any]) -> str:
    if finding["verdict"] == "no_data":
        return f"insufficient: {finding['why']}" if finding["why"] else "insufficient"
    return finding["why"] or ("" if finding["sure"] else "may be chance")


def _differences(found: dict[str, Any]) -> list[Block]:
    """How far the scores of groups lie apart, whatever the cut-off."""
    columns = (
        Column("Group"), Column("Against"), Column("n", "count"), Column("Difference", "number"),
        Column("95 % interval", "interval"), Column("Note"),
    )  # fmt: skip
    rows = tuple(
        (_name(d), d["reference"], d["rows"], d["value"], (d["low"], d["high"]),
         f"insufficient: {d['why']}" if d["why"] else "reported")
        for d in found.get("differences", [])
    )  # fmt: skip
    note = (
        "Mean score of the group less that of the reference, in pooled standard deviations (Cohen's d); above 0, the "
        "group scores as riskier. Interval by Hedges and Olkin (1985). Reported, not judged."
    )
    return [Table("Standardised mean difference of the score", columns, rows, note)] if rows else []


def _groups(found: dict[str, Any]) -> list[Block]:
    """Who was counted, attribute by attribute and intersection by intersection."""
    blocks: list[Block] = []
    small = found.get("min_group", 0)
    columns = (
        Column("Group"), Column("n", "count"), Column("Approved", "share"), Column("95 % interval", "share"),
        Column("Good outcomes", "count"), Column("of them approved", "share"), Column("Enough to judge"),
    )  # fmt: skip
    for attribute, members in found.get("groups", {}).items():
        rows = tuple(
            (
                m["name"], m["rows"], m["approved"] / m["rows"] if m["rows"] else None,
                _approved(m),
                m["good"], m["good_approved"] / m["good"] if m["good"] else None,
                "yes" if m["rows"] >= small else "insufficient",
            )
            for m in members
        )  # fmt: skip
        if rows:
            note = "Interval of the share approved, Wilson." if not blocks else ""
            blocks.append(Table(f"Decisions by {attribute}", columns, rows, note))
    return blocks


def _approved(member: dict[str, Any]) -> tuple[float | None, float | None]:
    if not member["rows"]:
        return None, None
    low, high = wilson(member["approved"], member["rows"])
    return round(low, 4), round(high, 4)


def _proxies(e: Evidence) -> list[Block]:
    rows = tuple(
        (name, proxy["feature"] or "none", proxy["auc"]) for name, proxy in e.card.get("proxies", {}).items()
    )
    columns = (
        Column("Group"), Column("Feature that tells its members best", "name"), Column("AUC", "number"),
    )  # fmt: skip
    note = (
        "0.5: not at all. Reported, not judged: income may tell a group and be a lawful reason all the same."
    )
    return [Table("Proxies", columns, rows, note)] if rows else []


def fairness_missing(e: Evidence) -> list[str | None]:
    """What a reader may look for and is not there."""
    found = e.fairness
    crossed = any(" x " in name or " × " in name or "+" in name for name in found.get("groups", {}))
    several = len(e.contract.protected) > 1
    return [
        None
        if e.contract.protected
        else "Protected attributes: the contract names none, so none could be measured.",
        "Intersections: not measured in this run." if several and not crossed else None,
        "Intersections: the contract names one protected attribute only."
        if len(e.contract.protected) == 1 and not crossed
        else None,
        None
        if found.get("differences") or not e.contract.protected
        else "Standardised mean difference of the score: not measured, since no policy names groups to judge."
        if found.get("verdict", "none") == "none"
        else "Standardised mean difference of the score: not measured by the run that made this bundle.",
        "A search for less discriminatory alternatives, beyond the mitigation and the features left out.",
    ]


def fairness_report(e: Evidence) -> Document:
    """The fairness report of a version."""
    verdict, why = fairness_verdict(e)
    policy = e.contract.fairness
    rule = e.contract.decision
    training = e.card.get("training", {})
    facts = [
        ("Model", e.subject),
        ("Bundle", e.digest or "the bundle that holds this page"),
        ("Jurisdiction", policy.jurisdiction if policy else "no policy is set"),
        ("Judged on", e.fairness.get("basis") or "nothing"),
        (
            "Approved means",
            f"a probability below {rule.adverse_at:g}, the cut-off of the contract's decision",
        ),
        ("Least rows of a group", str(policy.min_group) if policy else "no policy is set"),
        ("Mitigation", str(training.get("mitigation", "none"))),
        ("Features left out", str(training.get("without", "none") or "none")),
    ]
    limits = tuple(
        f"{m.measure.replace('_', ' ')}: {f'at least {m.min:g}' if m.min is not None else f'at most {m.max:g}'} "
        f"({MEASURES.get(m.measure, m.measure)})"
        for m in (policy.measures if policy else ())
    )
    blocks = fairness_blocks(e)
    missing = tuple(item for item in fairness_missing(e) if item)
    return Document(
        kind="fairness",
        title="Fairness report",
        subject=e.subject,
        subtitle="How the model's decisions treat protected groups, under the policy of the data contract.",
        foot=e.digest,
        date=e.standing.created if e.standing else "",
        sections=(
            Section(title="What was judged", blocks=(Facts(tuple(facts)),)),
            Section(
                title="Policy",
                blocks=(Bullets(limits),) if limits else (Text("The contract sets no policy."),),
                why="Configuration of the data contract, by jurisdiction; what the law asks is for counsel to say.",
            ),
            Section(
                title="Findings", verdict=verdict, why=why, missing=missing,
                blocks=tuple(blocks) or (Text("No group was judged."),),
            ),
        ),
    )  # fmt: skip
