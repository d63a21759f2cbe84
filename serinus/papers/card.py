"""The model card: what a version is, how good it is and what must not be concluded, in a few pages."""

from __future__ import annotations

import json
from typing import Any

from serinus.numerals import exact
from serinus.papers.document import Block, Bullets, Column, Document, Facts, Section, Table, Text
from serinus.papers.evidence import Evidence
from serinus.papers.fairness import fairness_blocks, fairness_verdict
from serinus.papers.validation.origin import algorithm, decides, predicts
from serinus.papers.validation.parts import demands_table, judged, said
from serinus.papers.validation.performance import curves, metrics_table, reliability
from serinus.papers.validation.trial import explained_blocks, lost, scenarios


def model_card(e: Evidence) -> Document:
    """The card of a version. The same evidence gives the same document; no clock is read."""
    return Document(
        kind="card",
        title="Model card",
        subject=e.subject,
        subtitle=e.identity.get("purpose", ""),
        foot=e.digest or e.provenance.get("inputs", ""),
        date=e.standing.created if e.standing else "",
        sections=(
            _identity(e),
            _limits(e),
            _gate(e),
            _data(e),
            _performance(e),
            _challenge(e),
            _fairness(e),
            _features(e),
            _training(e),
        ),
    )


def _identity(e: Evidence) -> Section:
    who = e.identity
    rows = [
        ("Model", e.subject),
        ("Owner", who.get("owner", "not stated")),
        (
            "Materiality tier",
            f"{who.get('tier')} (1 is the most material)" if who.get("tier") else "not stated",
        ),
        ("Data contract", who.get("contract", e.contract.name)),
        ("Predicts", predicts(e)),
        ("Decides", decides(e)),
    ]
    if e.standing is not None:
        rows += [("Stage", e.standing.stage), ("Bundle", e.digest)]
    return Section(title="", blocks=(Facts(tuple(rows)),))


def _limits(e: Evidence) -> Section:
    limits = tuple(e.card.get("limits", ()))
    return Section(
        title="Limits",
        blocks=(Bullets(limits) if limits else Text("None beyond those of the data described here."),),
    )


def _gate(e: Evidence) -> Section:
    demands = e.demands
    return Section(
        title="Validation gate",
        verdict=judged(demands),
        why=said(demands),
        blocks=tuple(demands_table(demands)) or (Text("No demand was recorded."),),
    )


def _data(e: Evidence) -> Section:
    data, split = e.card["data"], e.card["split"]
    how = f"Split by {split['by']}"
    how += f" with a gap of {split['gap']}." if split["by"] == "time" else f", seed {split['seed']}."
    columns = (
        Column("Part"), Column("Rows", "count"), Column("Bad outcomes", "count"), Column("From"), Column("To"),
    )  # fmt: skip
    rows = tuple(
        (name, part["rows"], part["positives"], part["from"] or "not dated", part["to"] or "not dated")
        for name, part in ((name, split["parts"][name]) for name in ("train", "validation", "test"))
    )
    notes = tuple(e.card.get("notes", ()))
    return Section(
        title="Data",
        why=f"{data['rows']:,} records, digest {data['digest']}. {how}",
        blocks=(Table("", columns, rows), *((Bullets(notes),) if notes else ())),
    )


def _performance(e: Evidence) -> Section:
    table = metrics_table(e)
    return Section(
        title="Performance on the test rows",
        blocks=(*curves(e), reliability(e), *((table,) if table else ())),
    )


def _challenge(e: Evidence) -> Section:
    blocks: tuple[Block, ...] = (*scenarios(e.challenge), *lost(e.challenge))
    return Section(
        title="Challenge",
        why=f"What was tried to break the model, on {e.challenge.get('rows', 0):,} test rows; verdicts and limits "
        "stand in the validation gate's table, everything that was measured in the validation report.",
        blocks=blocks,
    )


def _fairness(e: Evidence) -> Section:
    verdict, why = fairness_verdict(e)
    return Section(title="Fairness", verdict=verdict, why=why, blocks=tuple(fairness_blocks(e)))


def _features(e: Evidence) -> Section:
    columns = (
        Column("Feature", "name"), Column("From"), Column("Meaning"), Column("Importance", "number"),
    )  # fmt: skip
    rows = tuple((f["name"], f["source"], f["description"], f["importance"]) for f in e.card["features"])
    return Section(title="Features", blocks=(*explained_blocks(e), Table("", columns, rows)))


def _training(e: Evidence) -> Section:
    training, code = e.card["training"], e.provenance.get("code", {})
    facts = [
        ("Algorithm", algorithm(e)),
        ("Trained on", f"{training.get('rows', 0):,} rows, {training.get('trees', 0):,} trees"),
        ("Calibrated on", str(training.get("calibrated_on", "not recorded"))),
        ("Mitigation", str(training.get("mitigation", "none"))),
        ("Features left out", str(training.get("without", "none") or "none")),
    ]
    # The page that the run writes knows neither; the bundle's provenance does.
    found = (
        ("Code", code.get("digest") or code.get("image")),
        ("All inputs, one digest", e.provenance.get("inputs")),
    )
    facts += [(name, str(value)) for name, value in found if value]
    facts += [
        (f"Config: {name}", _told(json.loads(text))) for name, text in e.card.get("configs", {}).items()
    ]
    return Section(title="Training", blocks=(Facts(tuple(facts)),))


def _told(value: Any, inner: bool = False) -> str:
    """A part of the config as one reads it: what is set, without what is empty; the bundle has the JSON."""
    if isinstance(value, dict):
        kept = [(k, v) for k, v in value.items() if v is not None and v != [] and v != {}]
        said = ", ".join(f"{k} {_told(v, True)}" for k, v in kept)
        return f"({said})" if inner and said else said or "none"
    if isinstance(value, list):
        return "; ".join(_told(item, True) for item in value) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return exact(value) if isinstance(value, int | float) else str(value)
