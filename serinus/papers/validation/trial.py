"""What was done to break it, and whether its reasons can be given (sections 7, 9 and 10)."""

from __future__ import annotations

from typing import Any

from serinus.papers import plots
from serinus.papers.document import Block, Column, Figure, Section, Table
from serinus.papers.evidence import Evidence
from serinus.papers.fairness import fairness_blocks, fairness_missing, fairness_verdict
from serinus.papers.validation.parts import extras, section


def stress(e: Evidence) -> Section:
    """Worlds that are not as they were, inputs lost, values far out."""
    found = e.challenge
    return section(
        7, "Sensitivity and stress", e, [*scenarios(found), *lost(found), *extras(e, 7)],
        missing=[
            None if found.get("scenarios") else "Scenarios: the training config names none (challenge.scenarios).",
            "Shocks of one standard deviation for each feature: not measured; the inputs lost above are harder.",
        ],
    )  # fmt: skip


def scenarios(found: dict[str, Any]) -> list[Block]:
    """The scenarios' table and drawing; nothing without any."""
    rows = found.get("scenarios", [])
    if not rows:
        return []
    columns = (
        Column("Scenario"), Column("AUC in it", "number"), Column("AUC lost", "number"),
        Column("95 % interval", "interval"), Column("Approved before", "share"), Column("in it", "share"),
        Column("Decisions changed", "share"),
    )  # fmt: skip
    cells = tuple(
        (s["name"], s["auc"], s["auc_lost"], (s["auc_lost_low"], s["auc_lost_high"]), s["approved_before"],
         s["approved"], s["decisions_changed"])
        for s in rows
    )  # fmt: skip
    drawn = [
        (s["name"], s["auc_lost"], s["auc_lost_low"], s["auc_lost_high"])
        for s in rows
        if s["auc_lost"] is not None
    ]
    return [
        *([Figure("AUC lost in each scenario, with 95 % intervals", plots.bars(drawn, "AUC lost"),
                  f"AUC lost in {len(drawn)} scenarios")] if drawn else []),
        Table("Scenarios", columns, cells, "The outcome is taken to stay what it was. Intervals: DeLong, paired."),
    ]  # fmt: skip


def lost(found: dict[str, Any]) -> list[Block]:
    """What each input is worth when it is missing in every row."""
    rows = sorted(found.get("inputs", []), key=lambda i: -(i["auc_lost"] or 0))
    if not rows:
        return []
    columns = (
        Column("Input lost in every row", "name"), Column("AUC lost", "number"), Column("95 % interval", "interval"),
        Column("Decisions changed", "share"),
    )  # fmt: skip
    cells = tuple((i["feature"], i["auc_lost"], (i["low"], i["high"]), i["decisions_changed"]) for i in rows)
    drawn = [(i["feature"], i["auc_lost"], i["low"], i["high"]) for i in rows[:12] if i["auc_lost"]]
    return [
        *([Figure("AUC lost without each input, the costliest first, with 95 % intervals",
                  plots.bars(drawn, "AUC lost"), f"AUC lost without each of {len(drawn)} inputs")] if drawn else []),
        Table("Inputs lost", columns, cells),
    ]  # fmt: skip


def explained(e: Evidence) -> Section:
    """What drives it, and whether its reasons hold."""
    found = e.card.get("explain", {})
    return section(
        9, "Explainability", e, explained_blocks(e),
        missing=[
            None if found.get("summary") else "SHAP summary by row: not kept by the run that made this bundle.",
            "Partial dependence and accumulated local effects: not measured; section 3 has the declared directions.",
        ],
    )  # fmt: skip


def explained_blocks(e: Evidence) -> list[Block]:
    """SHAP summary, importance and how much each feature matters."""
    found = e.card.get("explain", {})
    shares = {item["name"]: item["importance"] for item in e.card.get("features", [])}
    kept: dict[str, Any] = found.get("summary") or {}
    # JSON keeps no order of its own.
    summary = {name: kept[name] for name in sorted(kept, key=lambda name: (-shares.get(name, 0.0), name))}
    blocks: list[Block] = []
    if summary:
        rows = len(next(iter(summary.values())))
        blocks.append(
            Figure(
                f"SHAP summary of {rows} test rows: one dot a row, coloured by the feature's value",
                plots.shap_summary(summary),
                f"Contributions of the {len(summary)} strongest features, row by row",
            )
        )
    if shares:
        blocks.append(
            Figure(
                "Mean absolute contribution",
                plots.importance(shares),
                "Features by mean absolute contribution",
            )
        )
    return blocks


def fair(e: Evidence) -> Section:
    """Whether decisions treat groups as the policy demands."""
    verdict, why = fairness_verdict(e)
    return section(
        10, "Fairness", e, fairness_blocks(e), missing=fairness_missing(e), verdict=verdict, why=why
    )
