"""How it runs and is watched, and what is open (sections 12, 13 and 14)."""

from __future__ import annotations

from typing import Any

from serinus.numerals import figure
from serinus.papers.document import Column, Facts, Section, Table, moment
from serinus.papers.evidence import Demand, Evidence
from serinus.papers.validation.origin import known
from serinus.papers.validation.parts import REPORTED, everything, extras, section
from serinus.papers.validation.performance import MOVED, moved_far

MANIFEST = "The bundle's digest is that of this list, its manifest."
MATERIALS = (
    "Locked libraries of making and serving the model (extras pipeline and scorer), on Linux and Python 3.12. The "
    "CycloneDX form of the card has every file's digest."
)
PARITY = 1e-6
"""Largest difference of scores, trained and served, that the report lets pass."""


def implementation(e: Evidence) -> Section:
    """Whether what answers is what was validated."""
    standing, latency = e.standing, e.outside("latency")
    parity = standing.parity if standing else None
    libraries = standing.libraries if standing else ()
    facts = [("Signed by", standing.key or "not recorded")] if standing else []
    if parity is not None:
        rows, apart, backend = parity
        facts.append(
            (
                "Trained against served",
                f"{rows} golden rows scored here ({backend}): largest difference {figure(apart)}",
            )
        )
    files = tuple((name, size, sha) for name, (sha, size) in e.files.items())
    columns = (Column("File", "name"), Column("Bytes", "count"), Column("SHA-256", "code"))
    blocks: list[Any] = [
        Facts(tuple(facts)) if facts else None,
        *everything(latency),
        *extras(e, 12),
        Table("Files of the bundle", columns, files, MANIFEST) if files else None,
    ]  # fmt: skip
    if libraries:
        columns = (Column("Library", "name"), Column("Version", "name"), Column("Licence, as it states"),
                   Column("Files", "count"), Column("SHA-256 of the first", "code"))  # fmt: skip
        rows = tuple(
            (item.name, item.version, item.licence or "not stated", len(item.files),
             item.files[0][1] if item.files else "none in the lock file")
            for item in libraries
        )  # fmt: skip
        blocks.append(Table("Software bill of materials", columns, rows, MATERIALS))
    apart = parity is not None and parity[1] >= PARITY
    missing = [
        None
        if latency
        else "Latency of the built model: depends on the machine, so it stands beside the run, not in "
        "the bundle; `serinus report` shows it where the run's files are still there.",
        None
        if parity
        else "Trained against served: every scorer compares the golden rows before it answers; not repeated here.",
        "Operating system of the container: not in this list of libraries; images are built apart from models."
        if libraries
        else "Software bill of materials: the lock file of section 15, with which the model was made, is not here."
        if standing
        else "Software bill of materials: of the lock file that section 15 names; `serinus report` adds it.",
    ]
    why = "What answers is this bundle: a scorer refuses one whose hashes or signature do not verify."
    if standing and parity:
        why = "Hashes and signature of the bundle were verified for this report." + (
            " Its golden rows score differently here." if apart else ""
        )
    return section(
        12, "Implementation", e, blocks, missing=missing, why=why,
        verdict="fail" if apart else "pass" if parity and not _failed(e) else None,
    )  # fmt: skip


def _failed(e: Evidence) -> bool:
    return any(d.section == 12 and d.verdict == "fail" for d in e.demands)


def monitoring(e: Evidence) -> Section:
    """What is watched once it serves, and against what."""
    yardstick = e.metrics.get("yardstick")
    rows = [
        ("Drift of score and features", "the reference of the bundle", "evidence, by a false-alarm budget"),
        ("Drift row by row", "thresholds of the bundle (online.json)", "expected run time between false alarms")
        if "online.json" in e.files else None,
        ("Data quality", "ranges, levels and missing values of the contract", "share of rows that break it"),
        ("Precision and concept drift", "what was measured on the test rows", f"labels, {known(e)}")
        if yardstick else None,
        ("Fairness in service", f"policy of {e.contract.fairness.jurisdiction}", "the policy's limits")
        if e.contract.fairness else None,
        ("A new version", "the champion on the same traffic", "evidence that may be looked at any time"),
    ]  # fmt: skip
    shown = tuple(row for row in rows if row is not None)
    columns = (Column("What"), Column("Held against"), Column("Judged by"))
    standing = e.standing
    facts = [("Owner", e.identity.get("owner", "not stated"))]
    if standing is not None:
        facts.append(("Next review due", standing.review_due or "no date is set"))
        facts.append(("Open triggers", "; ".join(standing.open) or "none"))
    blocks = [
        Facts(tuple(facts)),
        Table("What the platform watches", columns, shown),
        _yardstick(yardstick) if yardstick else None,
    ]
    return section(
        13, "Monitoring plan", e, blocks, verdict="recorded",
        why="What this bundle lets the platform watch; each alert has a runbook and tests of firing and of silence.",
        missing=[
            None if yardstick else "Precision in service: too few test rows for a yardstick.",
            "Escalation beyond the owner, and what the installation's alert rules are set to: outside the bundle.",
        ],
    )  # fmt: skip


def _yardstick(found: dict[str, Any]) -> Table:
    """What labels in service are held against, in the words of ``serinus.watching.concept.Validation``."""
    columns = (
        Column("Test rows", "count"), Column("Declined from", "number"), Column("Squared error, at most", "number"),
        Column("False alarms, at most", "share"),
    )  # fmt: skip
    note = (
        "Upper 99 % bounds of the mean squared error of the probability, and of the share of good outcomes among the "
        "declined."
    )
    row = (found.get("rows"), found.get("threshold"), found.get("loss"), found.get("misses"))
    return Table("Yardstick for labels in service", columns, (row,), note)


def findings(e: Evidence) -> Section:
    """Everything of this report that somebody must look at, worst first."""
    rows = [(severity, what, text) for severity, what, text in found(e)]
    columns = (Column("Severity"), Column("What", "name"), Column("Finding"))
    standing = e.standing
    worst = rows[0][0] if rows else ""
    verdict = {"critical": "fail", "medium": "attention"}.get(worst, "pass")
    blocks: list[Any] = [Table("Findings of this report", columns, tuple(rows), SEVERITY) if rows else None]
    if standing is not None and standing.reviews:
        columns = (Column("When"), Column("Outcome"), Column("By"), Column("Text"))
        blocks.append(Table("Reviews", columns, tuple((moment(t), *rest) for t, *rest in standing.reviews)))
    noun = "finding" if len(rows) == 1 else "findings"
    why = (
        f"{len(rows)} {noun}, the worst {worst}." if rows else "Nothing was found that anybody must look at."
    )
    return section(
        14, "Findings", e, blocks, why=why, verdict=verdict,  # type: ignore[arg-type]
        missing=[
            "Owner, due date and compensating control of each finding: for the reviewers to set.",
            None if standing is not None and standing.reviews else "Sign-off by effective challenge: none is known.",
        ],
    )  # fmt: skip


SEVERITY = (
    "Critical: a demand that stops the pipeline is not met. Medium: a limit that only reports is passed, or a fairness "
    "verdict may be chance. Low: could not be measured, moved far where no limit is set, or a limit of use."
)


def found(e: Evidence) -> list[tuple[str, str, str]]:
    """(severity, what, text) of every finding, worst first; derived from the demands, the fairness report and the
    limits, never typed."""
    items: list[tuple[str, str, str]] = []
    for d in e.demands:
        if d.verdict == "fail":
            items.append(
                (
                    "critical" if d.blocks else "medium",
                    d.metric,
                    f"{_value(d)}, demanded {d.threshold}{': ' + d.note if d.note else ''}.",
                )
            )
        elif d.verdict == "no_data" and d.threshold != REPORTED:
            items.append(("low", d.metric, f"Could not be measured{': ' + d.note if d.note else ''}."))
    items += [
        (
            "medium",
            f"{f['measure']} {f['attribute']}: {f['group']}",
            "The verdict may be chance: the interval crosses the limit.",
        )
        for f in e.fairness.get("findings", [])
        if f["verdict"] == "pass" and not f["sure"]
    ]
    limited, far = {d.metric for d in e.demands if d.threshold != REPORTED}, moved_far(e.challenge)
    for metric, moved in (
        ("score_psi", [name for name in far if name == "score"]),
        ("feature_psi", [name for name in far if name != "score"]),
    ):
        if moved and metric not in limited:
            what = f"Moved further than {MOVED} and than chance gives: {', '.join(moved)}"
            items.append(("low", metric, f"{what}; the policy sets no limit."))
    items += [("low", "limit of use", text) for text in e.card.get("limits", [])]
    order = {"critical": 0, "medium": 1, "low": 2}
    return sorted(items, key=lambda item: order[item[0]])


def _value(demand: Demand) -> str:
    return "no data" if demand.value is None else f"{demand.value:.4g}"
