"""A paper of a version in the form that somebody asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

from serinus.errors import SerinusError
from serinus.papers.card import model_card
from serinus.papers.cyclonedx import to_cyclonedx
from serinus.papers.document import Document
from serinus.papers.evidence import Evidence
from serinus.papers.fairness import fairness_report
from serinus.papers.html import to_html
from serinus.papers.pdf import to_pdf
from serinus.papers.text import to_text
from serinus.papers.validation import validation_report

PaperKind = Literal["validation", "card", "fairness"]
Format = Literal["html", "pdf", "json", "text", "cyclonedx"]

PAPERS: dict[PaperKind, Callable[[Evidence], Document]] = {
    "validation": validation_report,
    "card": model_card,
    "fairness": fairness_report,
}
ENDINGS: dict[Format, str] = {
    "html": "html",
    "pdf": "pdf",
    "json": "json",
    "text": "txt",
    "cyclonedx": "cdx.json",
}
"""How a file of each form ends."""


def make(evidence: Evidence, kind: PaperKind, form: Format) -> bytes:
    """The paper's bytes; the same evidence gives the same bytes.

    Raises:
        SerinusError: ``SRN-PAPER-004`` CycloneDX of anything but the card; as ``to_pdf``.
    """
    if form == "cyclonedx":
        if kind != "card":
            raise SerinusError(
                "SRN-PAPER-004",
                f"there is no CycloneDX form of the {kind} report",
                where="--format cyclonedx",
                hint="CycloneDX has a modelCard: take --kind card, or --format json for this report as data.",
            )
        return _json(to_cyclonedx(evidence))
    return print_document(PAPERS[kind](evidence), form)


def print_document(document: Document, form: Format) -> bytes:
    """A document as HTML, PDF, text, or as the plain values that it is."""
    if form == "pdf":
        return to_pdf(document)
    if form == "html":
        return to_html(document).encode()
    if form == "text":
        return to_text(document).encode()
    return _json(document)


def _json(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value, order="deterministic"), indent=1) + b"\n"
