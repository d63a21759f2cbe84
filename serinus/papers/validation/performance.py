"""How good it is: discrimination, calibration, stability, against others, over time (sections 4, 5, 6, 8 and 11)."""

from __future__ import annotations

from typing import Any

from serinus.papers import plots
from serinus.papers.document import Column, Facts, Figure, Section, Table, Text
from serinus.papers.evidence import Evidence
from serinus.papers.validation.origin import known
from serinus.papers.validation.parts import demands_of, everything, extras, section, table_of
from serinus.papers.validation.stake import scorecard, service, service_missing

CALIBRATION = ("brier", "brier_skill", "log_loss", "calibration_error")


MOVED = 0.25
"""A PSI from which a distribution is said to have moved far, by convention."""


def moved_far(challenge: dict[str, Any]) -> list[str]:
    """Score and features that moved further than ``MOVED`` and than chance gives."""
    return [
        p["column"] for p in challenge.get("psi", []) if (p["psi"] or 0) > max(MOVED, p.get("chance") or 0)
    ]


def metrics_table(e: Evidence, *, calibration: bool | None = None) -> Table | None:
    """Metrics with their intervals: those of calibration, the others, or (None) all."""
    rows = tuple(
        (m["name"], m["value"], tuple(m["interval"]) if m.get("interval") else (None, None), m["meaning"])
        for m in e.card.get("metrics", [])
        if m["name"] != "auc_low"  # the AUC's own interval says it
        and (calibration is None or (m["name"] in CALIBRATION) == calibration)
    )
    columns = (
        Column("Metric", "name"),
        Column("Value", "number"),
        Column("95 % interval", "interval"),
        Column("Meaning"),
    )
    note = f"On {e.metrics['rows']:,} test rows, {e.metrics['positives']:,} of them bad."
    note += " No data: not estimated." if any(None in interval for _, _, interval, _ in rows) else ""
    return Table("Measured", columns, rows, note) if rows else None


def curves(e: Evidence) -> list[Figure]:
    """ROC and precision-recall, side by side."""
    found, m = e.metrics["curves"], {item["name"]: item["value"] for item in e.card.get("metrics", [])}
    rate = e.metrics["positives"] / max(e.metrics["rows"], 1)
    auc = m.get("auc")
    return [
        Figure("ROC; dashed: chance", plots.roc(found["roc"]), f"ROC curve with an area of {auc or 0:.3f}", half=True),
        Figure(
            "Precision and recall; dashed: chance", plots.precision_recall(found["precision_recall"], rate),
            "Precision by recall, falling from left to right", half=True,
        ),
    ]  # fmt: skip


def discrimination(e: Evidence) -> Section:
    """Whether it tells good from bad."""
    blocks = [
        *curves(e),
        metrics_table(e, calibration=False),
        table_of("By segment", e.metrics.get("segments", [])),
    ]
    missing = [
        None
        if e.metrics.get("segments")
        else "By segment: the contract names no segments, so none was measured.",
        "By vintage: see section 11, which has the AUC of each period."
        if e.challenge.get("periods")
        else None,
    ]
    return section(4, "Discrimination", e, blocks, missing=missing)


def reliability(e: Evidence) -> Figure:
    """The calibration plot."""
    return Figure(
        "Calibration in ten equally filled bins, with 95 % intervals; dashed: perfect",
        plots.calibration(e.metrics["curves"]["calibration"]),
        "Observed share against predicted probability by bin",
        half=True,
    )


def calibration(e: Evidence) -> Section:
    """Whether its probabilities are to be believed."""
    fit = e.metrics.get("calibration")
    grades = tuple(
        (i + 1, g["rows"], g["predicted"], g["observed"], g["p_underestimated"])
        for i, g in enumerate(e.challenge.get("grades", []))
    )
    columns = (
        Column("Grade", "count"), Column("Rows", "count"), Column("Predicted", "share"), Column("Observed", "share"),
        Column("p (Jeffreys)", "number"),
    )  # fmt: skip
    blocks = [
        reliability(e),
        metrics_table(e, calibration=True),
        table_of("Line through the outcomes", [fit], FIT) if fit else None,
        Table("Grades", columns, grades, JEFFREYS) if grades else None,
    ]
    return section(
        5,
        "Calibration",
        e,
        blocks,
        missing=[None if fit else "Slope and intercept: not measured in this run."],
    )


FIT = (
    "Logistic regression of the outcome on the log-odds of the probability (Cox 1958). Believable: slope 1, "
    "intercept 0; a slope below 1: the scores are too sharp. ECE: mean distance of predicted and observed share. "
    "CITL: observed less predicted share."
)
JEFFREYS = (
    "p is the probability, under Jeffreys' posterior, that the true share is no larger than predicted: near 0, risk is "
    "underestimated in that grade."
)


def stability(e: Evidence) -> Section:
    """Whether the rows that judge are like those that taught, and the score with them."""
    found = e.challenge
    rows = tuple(
        (p["column"], p["psi"], (p.get("low"), p.get("high")), p.get("chance"), p["missing_excess"])
        for p in found.get("psi", [])
    )
    columns = (
        Column("Column", "name"), Column("PSI", "number"), Column("95 % interval", "interval"),
        Column("Chance gives up to", "number"), Column("More missing by", "share"),
    )  # fmt: skip
    over_time = found.get("psi_over_time") or []
    unit = over_time[0]["unit"] if over_time else "month"
    spans = tuple((p["period"], p["rows"], p["psi"], (p["low"], p["high"]), p["chance"]) for p in over_time)
    span_columns = (
        Column(f"{unit.capitalize()} of", "name"), Column("Rows", "count"), Column("PSI", "number"),
        Column("95 % interval", "interval"), Column("Chance gives up to", "number"),
    )  # fmt: skip
    limit = e.provenance.get("config", {}).get("challenge", {}).get("score_psi")
    high = moved_far(found)
    blocks: list[Any] = [
        Figure(
            f"PSI of the score by {unit}, training rows as the reference, with 95 % intervals",
            plots.over_time(over_time, limit), f"PSI of the score in {len(over_time)} {unit}s",
        ) if len(over_time) > 1 else None,
        Table(f"PSI of the score by {unit}", span_columns, spans) if spans else None,
        Text(f"Above {MOVED} and above chance: {', '.join(high)}.", "strong") if high else None,
        Table("PSI of score and features, training to test rows", columns, rows, PSI) if rows else None,
        *extras(e, 6),
    ]  # fmt: skip
    missing = [
        None
        if spans
        else "By month: the records carry no event time, or no month or week holds 100 of the test rows.",
        None
        if "seeds" in found or "retrained" in found
        else "Other seeds and retraining on resampled rows: not measured in this run.",
    ]
    return section(6, "Stability", e, blocks, missing=missing)


PSI = (
    "0.1 and 0.25 are marks of the credit industry for samples of thousands; what 99 % of samples of this size give "
    "without any change stands beside it."
)


def compared(e: Evidence) -> Section:
    """Champion and challenger, and a plain benchmark, on the same rows."""
    champion = e.outside("champion")
    # Without a champion the report holds the one demand that says so.
    blocks = [*extras(e, 8), *(everything(champion) if champion.get("rows") else ()), *scorecard(e)]
    missing = [
        None
        if champion
        else "Champion against challenger, paired, on the same rows: it depends on who is champion and so stands "
        "beside the run, not in the bundle; `serinus report` shows it where the run's files are still there.",
        "Champion against challenger: there was no champion when the run was made."
        if champion and not champion.get("rows")
        else None,
        None
        if e.challenge.get("scorecard")
        else "A plain benchmark (logistic scorecard): too few outcomes of a kind to fit or compare it."
        if "scorecard" in e.challenge
        else "A plain benchmark (logistic scorecard): not measured by the run that made this bundle.",
    ]
    nothing = not blocks and not demands_of(e, 8)
    return section(
        8, "Benchmark and challenger", e, blocks, missing=missing, verdict="no_data" if nothing else None,
        why="No other model was measured on these rows, as far as this report knows." if nothing else "",
    )  # fmt: skip


FEW = "Below 20 bad outcomes an AUC is not told."


def backtest(e: Evidence) -> Section:
    """Predicted against what came, period by period."""
    found = e.challenge.get("periods", [])
    rows = tuple(
        (
            f"{p['from']} to {p['to']}",
            p["rows"],
            p["bad"],
            p["observed_to_expected"],
            p["auc"],
            (p["low"], p["high"]),
        )
        for p in found
    )
    columns = (
        Column("Period"), Column("Rows", "count"), Column("Bad", "count"), Column("Observed / expected", "number"),
        Column("AUC", "number"), Column("95 % interval", "interval"),
    )  # fmt: skip
    minimum = e.provenance.get("config", {}).get("challenge", {}).get("worst_period_auc")
    told = [p for p in found if p["auc"] is not None and p["low"] is not None]
    blocks = [
        Figure(
            "AUC by period with 95 % intervals; dashed: the least that is demanded",
            plots.by_period(found, minimum), f"AUC in {len(told)} periods",
        ) if told else None,
        Table("By period of the test rows", columns, rows, FEW) if rows else None,
        Facts((("Outcomes", f"are {known(e)}"),)),
        *service(e),
    ]  # fmt: skip
    missing = [
        None if rows else "By period: the records carry no event time.",
        *service_missing(e),
    ]
    return section(11, "Back-test and outcomes", e, blocks, missing=missing)
