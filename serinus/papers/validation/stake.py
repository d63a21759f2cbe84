"""What is at stake, and what a plain model would do and what became of it in service (parts of sections 1, 8, 11)."""

from __future__ import annotations

from serinus.intervals import wilson
from serinus.papers.document import Block, Column, Facts, Table, Text
from serinus.papers.evidence import Evidence
from serinus.papers.service import Service

SHOWN = 5


def exposure(e: Evidence) -> list[Block]:
    """The amount behind the decisions on the test rows, by decision and by band of the score."""
    found = e.challenge.get("exposure") or {}
    if not found:
        return []
    unit = f" ({found['unit']})" if found["unit"] else ""
    without = f"; {found['without']:,} rows without one are left out" if found["without"] else ""
    note = (
        f"{found['column']}{unit} of {found['rows']:,} test rows, evenly drawn{without}. Expected: probability "
        "times amount, summed. Bad: of rows whose outcome was bad. Neither is a loss: recoveries are unknown."
    )
    blocks: list[Block] = []
    for name, title, first, said in (
        ("decisions", "Exposure by decision", "Decision", note),
        (
            "bands",
            "Exposure by band of the score",
            "Score",
            "Bands of equally many rows, the lowest score first.",
        ),
    ):
        columns = (
            Column(first, "name"), Column("Rows", "count"), Column("Amount", "number"), Column("of all", "share"),
            Column("Expected bad", "number"), Column("Bad", "number"), Column("Bad of amount", "share"),
            Column("95 % interval", "share"),
        )  # fmt: skip
        rows = tuple(
            (r[name.removesuffix("s") if name == "decisions" else "score"], r["rows"], r["amount"], r["amount_share"],
             r["expected"], r["bad"], r["bad_share"], (r["bad_share_low"], r["bad_share_high"]))
            for r in found[name]
        )  # fmt: skip
        blocks.append(Table(title, columns, rows, said))
    return blocks


def exposure_missing(e: Evidence) -> list[str | None]:
    """What of exposure cannot be told."""
    if e.challenge.get("exposure"):
        return ["Exposure in money lost: recoveries and costs of collection are not in the records."]
    asked = e.provenance.get("config", {}).get("challenge", {}).get("exposure", {}).get("column")
    return [
        "Exposure: no test row has an amount."
        if asked
        else "Exposure (amount at risk): the training config names no amount (challenge.exposure.column)."
    ]


def service(e: Evidence) -> list[Block]:
    """Outcomes of decisions that this version made for real, and people's answers on those that it referred."""
    found = e.standing.service if e.standing else ""
    if not isinstance(found, Service):
        return []
    columns = (
        Column("Decision", "name"), Column("Decisions", "count"), Column("Outcome known", "count"),
        Column("Bad", "count"), Column("Bad of known", "share"), Column("95 % interval", "share"),
    )  # fmt: skip
    rows = tuple(
        (d.decision, d.n, d.known, d.bad, d.bad / d.known if d.known else None,
         wilson(d.bad, d.known) if d.known else (None, None))
        for d in found.decisions
    )  # fmt: skip
    blocks: list[Block] = [
        Table(f"In service, decisions of {found.first} to {found.last}", columns, rows, SERVICE),
    ]
    told = {m["name"]: m["value"] for m in e.card.get("metrics", [])}
    names = {
        "precision": "precision_at_decline",
        "recall": "recall_at_decline",
        "auc": "auc",
        "brier": "brier",
    }
    figures = tuple(
        (name, figure.value, (figure.low, figure.high), round(figure.n), told.get(names[name]))
        for name, figure in found.figures.items()
    )
    if figures:
        columns = (
            Column("Realised", "name"), Column("Value", "number"), Column("95 % interval", "interval"),
            Column("Cases behind it", "count"), Column("On the test rows", "number"),
        )  # fmt: skip
        blocks.append(Table("Realised performance, of decisions whose outcome is known", columns, figures))
    facts: list[tuple[str, str]] = []
    if found.expected:
        facts.append(("Observed to expected", f"{found.observed:,} bad, {found.expected:,.1f} expected"))
    if found.override:
        share, low, high = found.override
        ends = f"95 %: {100 * low:.1f} to {100 * high:.1f} %"
        said = f"{found.against:,} of {found.answers:,} answers, {100 * share:.1f} % ({ends})"
        facts.append(("Overrides by reviewers", said))
    return [*blocks, Facts(tuple(facts))] if facts else blocks


SERVICE = (
    "From the join of outcomes, as far back as it keeps decisions. What was declined often has no outcome, so these "
    "rows are chosen by the model's own decisions; a reviewer's answer counts as the outcome until a later one comes."
)


def service_missing(e: Evidence) -> list[str | None]:
    """What of service cannot be told, and why."""
    if e.standing is None:
        return [
            "Outcomes of decisions made in service, overrides: they come after the bundle; `serinus report` adds them."
        ]
    found = e.standing.service
    if not isinstance(found, Service):
        return [f"Outcomes of decisions made in service, overrides: {found or 'not looked for'}."]
    return [
        None if found.answers else "Overrides: nobody has answered a decision that this version referred.",
        None
        if found.figures
        else "Realised performance: fewer than 30 outcomes are known, or of one kind only.",
        "Appeals of applicants: not recorded by the platform.",
    ]


def scorecard(e: Evidence) -> list[Block]:
    """The plain scorecard: how good it is, what it weighs, and the points of its strongest features."""
    found = e.challenge.get("scorecard") or {}
    if not found:
        return []
    strongest = sorted(found["features"], key=lambda f: (-f["points_apart"], f["feature"]))
    columns = (
        Column("Feature", "name"), Column("Coefficient", "number"), Column("95 % interval", "interval"),
        Column("Points, worst to best", "number"),
    )  # fmt: skip
    weights = tuple(
        (f["feature"], f["coefficient"], (f["low"], f["high"]), f["points_apart"]) for f in strongest
    )
    bins = {f["feature"] for f in strongest[:SHOWN]}
    lines = tuple(
        (b["feature"], b["bin"], b["rows"], b["bad_share"], b["points"])
        for b in found["bins"]
        if b["feature"] in bins
    )
    line_columns = (
        Column("Feature", "name"), Column("Value", "name"), Column("Training rows", "count"),
        Column("Bad", "share"), Column("Points", "number"),
    )  # fmt: skip
    few = f" The {SHOWN} strongest of {len(strongest)} features." if len(strongest) > SHOWN else ""
    return [
        Text("A plain scorecard", "heading"),
        Facts(
            (
                ("What it is", "logistic regression on weights of evidence of binned features"),
                ("Its AUC", f"{found['auc']:.4f} (95 %: {found['auc_low']:.4f} to {found['auc_high']:.4f})"),
                ("Fitted on", f"{found['rows']:,} training rows; not tuned, knows no mitigation"),
                (
                    "Base points",
                    f"{found['base']:g}; 600 points are odds of 50 good to 1 bad, 20 more double them",
                ),
            )
        ),
        Table("What the scorecard weighs", columns, weights, SIGN),
        Table("Its points", line_columns, lines, f"More points, less risk.{few}"),
    ]


SIGN = (
    "A coefficient near 1 takes a feature at its own word; below 0, others say the same and it corrects them. Errors "
    "of a likelihood with a ridge of 1."
)
