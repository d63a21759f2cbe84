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
        7, "Sensitivity and stress", e, [*scenarios(found), *lost(found), *shocks(found), *extras(e, 7)],
        missing=[
            None if found.get("scenarios") else "Scenarios: the training config names none (challenge.scenarios).",
            None
            if found.get("shocks")
            else "Shocks of one standard deviation: no feature is a number that varies."
            if "shocks" in found
            else "Shocks of one standard deviation: not measured by the run that made this bundle.",
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


def shocks(found: dict[str, Any]) -> list[Block]:
    """Every number moved by its standard deviation; the largest effect on decisions first."""
    rows = sorted(found.get("shocks", []), key=lambda s: (-s["decisions_changed"], s["feature"], s["moved"]))
    if not rows:
        return []
    columns = (
        Column("Feature", "name"), Column("Moved", "name"), Column("by", "number"),
        Column("Probability changes by", "number"), Column("95 % interval", "interval"), Column("AUC lost", "number"),
        Column("95 % interval", "interval"), Column("Decisions changed", "share"),
    )  # fmt: skip
    cells = tuple(
        (s["feature"], s["moved"], s["by"], s["probability_change"],
         (s["probability_change_low"], s["probability_change_high"]), s["auc_lost"],
         (s["auc_lost_low"], s["auc_lost_high"]), s["decisions_changed"])
        for s in rows
    )  # fmt: skip
    return [Table("Shocks of one standard deviation", columns, cells, SHOCKS)]


SHOCKS = (
    "One number at a time, kept in its range; whole numbers by at least one. What hangs together in life does not move "
    "with it here: for that there are scenarios. The outcome is taken to stay what it was."
)
SHOWN = 9


def curves(e: Evidence) -> list[Block]:
    """How the mean answer moves with each of the most important features."""
    shares = {item["name"]: item["importance"] for item in e.card.get("features", [])}
    found = sorted(
        e.challenge.get("curves", []), key=lambda c: (-shares.get(c["feature"], 0.0), c["feature"])
    )
    if not found:
        return []
    directions = {-1: "less risk", 0: "none", 1: "more risk"}
    columns = (
        Column("Feature", "name"), Column("More of it means, as declared"), Column("Lowest mean", "number"),
        Column("Highest mean", "number"), Column("Local effects, lowest to highest", "number"),
    )  # fmt: skip
    rows = tuple(
        (c["feature"], directions[c["direction"]], min(p[1] for p in c["pdp"]), max(p[1] for p in c["pdp"]),
         max(p[1] for p in c["ale"]) - min(p[1] for p in c["ale"]) if c["ale"] else None)
        for c in found
    )  # fmt: skip
    few = f"; the {SHOWN} most important of {len(found)} features" if len(found) > SHOWN else ""
    return [
        Figure(
            f"Partial dependence with 95 % intervals (line), accumulated local effects (dashed){few}",
            plots.feature_curves(found[:SHOWN]),
            f"Mean probability against the value of {min(len(found), SHOWN)} features",
        ),
        Table("Partial dependence and accumulated local effects", columns, rows, CURVES),
    ]


CURVES = (
    "Partial dependence sets a feature to a value in every row, which may make rows that do not exist where features "
    "hang together; local effects only step between neighbours. Where the two part, the features do hang together. "
    "From the 1st to the 99th percentile; local effects have none for categories. The card's data have every point."
)


def explained(e: Evidence) -> Section:
    """What drives it, and whether its reasons hold."""
    found = e.card.get("explain", {})
    return section(
        9, "Explainability", e, [*explained_blocks(e), *curves(e)],
        missing=[
            None if found.get("summary") else "SHAP summary by row: not kept by the run that made this bundle.",
            None
            if e.challenge.get("curves")
            else "Partial dependence and accumulated local effects: not measured by the run that made this bundle.",
            "Interactions of features: each is moved alone here.",
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
