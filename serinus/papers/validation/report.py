"""The validation report of a version, whole."""

from __future__ import annotations

from serinus.papers.document import VERDICTS, Column, Document, Section, Table
from serinus.papers.evidence import Evidence
from serinus.papers.validation.operation import findings, implementation, monitoring
from serinus.papers.validation.origin import concept, data, identity, reproduce
from serinus.papers.validation.performance import backtest, calibration, compared, discrimination, stability
from serinus.papers.validation.trial import explained, fair, stress

SECTIONS = (
    identity, data, concept, discrimination, calibration, stability, stress, compared, explained, fair, backtest,
    implementation, monitoring, findings, reproduce,
)  # fmt: skip
"""In the order of the report."""


def validation_report(e: Evidence) -> Document:
    """The report. The same evidence gives the same document; no clock is read."""
    sections = [make(e) for make in SECTIONS]
    return Document(
        kind="validation",
        title="Validation report",
        subject=e.subject,
        subtitle=e.identity.get("purpose", ""),
        foot=e.digest or e.provenance.get("inputs", ""),
        date=e.standing.created if e.standing else "",
        sections=(_summary(e, sections), *sections),
    )


def _summary(e: Evidence, sections: list[Section]) -> Section:
    columns = (Column("", "count"), Column("Section"), Column("Verdict", "verdict"), Column("In a sentence"))
    rows = tuple((s.number, s.title, s.verdict, s.why) for s in sections)
    verdicts = [s.verdict for s in sections]
    counted = ", ".join(
        f"{verdicts.count(v)} {VERDICTS[v]}"
        for v in ("pass", "attention", "fail", "no_data", "recorded")
        if v in verdicts
    )
    gate = e.validation.get("verdict", "not recorded")
    return Section(
        title="Summary",
        why=f"The validation gate's verdict is {gate.replace('_', ' ')}. Of {len(sections)} sections: {counted}. "
        "Everything here was written by the run, the bundle and the registry; nothing was typed.",
        blocks=(
            Table(
                "",
                columns,
                rows,
                "Recorded: there is nothing to judge. Not measured is neither pass nor fail.",
            ),
        ),
    )
