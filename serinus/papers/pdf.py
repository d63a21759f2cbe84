"""A document as PDF, set by Typst: tagged for screen readers, the same bytes again, whatever fonts a machine has.

Why Typst: docs/decisions/papers-set-by-typst.md. The document goes to the template as JSON, never as markup, so no text
of a contract or a person can be taken for a command.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from serinus.errors import SerinusError
from serinus.papers.document import (
    VERDICTS,
    Block,
    Bullets,
    Document,
    Facts,
    Figure,
    Kind,
    Section,
    Table,
    Text,
    printed,
)

TEMPLATE = Path(__file__).with_name("paper.typ")
_ZERO_WIDTH = "\u200b"
_RIGHT = {"number", "count", "share", "interval"}
_PAGE = 152.0
"""Width of the page for a table's text, in small letters of the template's face and size, margins taken off."""
_GUTTER = 3.2
"""What the space at both sides of a cell takes."""
_NAME = 36
"""A name of so many characters stays whole in its column."""
_TEXT = 26.0
"""A column of text is no narrower than this, where the page allows it."""


def to_pdf(document: Document) -> bytes:
    """The document as PDF/UA-1 on A4; as PDF/A-2a too, for archives, where it has a date.

    Raises:
        SerinusError: ``SRN-PAPER-001`` Typst is not installed; ``-002`` it cannot set this document.
    """
    try:
        import typst
    except ModuleNotFoundError as error:
        raise SerinusError(
            "SRN-PAPER-001",
            "PDF needs the Python package typst, which is not installed",
            hint="Install the extra that brings it (uv sync --extra papers, or pip install 'serinus[papers]'), "
            "or take --format html.",
        ) from error
    try:
        return typst.compile(
            TEMPLATE.read_bytes(),
            sys_inputs={"document": msgspec.json.encode(_prepared(document)).decode()},
            # The fonts that come with Typst, not those of this machine.
            ignore_system_fonts=True,
            timestamp=datetime.fromtimestamp(0, UTC),
            pdf_standards=["a-2a", "ua-1"] if document.date else ["ua-1"],
        )
    except typst.TypstError as error:
        raise SerinusError(
            "SRN-PAPER-002",
            f"the paper could not be set as PDF: {error}",
            where=f"{document.title}, {document.subject}",
            hint="Take --format html, which shows the same, and report this: it is a fault of serinus.",
        ) from error


def _prepared(document: Document) -> dict[str, Any]:
    date = datetime.fromisoformat(document.date) if document.date else None
    return {
        "title": document.title,
        "subject": document.subject,
        "subtitle": document.subtitle,
        "foot": document.foot,
        "language": document.language.split("-")[0],
        "date": [date.year, date.month, date.day] if date else None,
        "letter": document.kind == "notice",
        "sections": [_section(section) for section in document.sections],
    }


def _section(section: Section) -> dict[str, Any]:
    number = f"{section.number}. " if section.number is not None else ""
    blocks: list[dict[str, Any]] = []
    for block in section.blocks:
        made = _block(block)
        last = blocks[-1] if blocks else {}
        if isinstance(block, Figure) and block.half and len(last.get("figures", (1, 2))) < 2:
            last["figures"].append(made)
            continue
        blocks.append(
            {"type": "pair", "figures": [made]} if isinstance(block, Figure) and block.half else made
        )
    return {
        "title": number + section.title if section.title else "",
        "verdict": section.verdict or "",
        "mark": VERDICTS[section.verdict] if section.verdict else "",
        "why": section.why,
        "blocks": blocks,
        "missing": section.missing,
    }


def _block(block: Block) -> dict[str, Any]:
    if isinstance(block, Text):
        return {"type": "text", "text": _breakable(block.text), "style": block.style}
    if isinstance(block, Bullets):
        return {
            "type": "bullets",
            "items": [_breakable(item) for item in block.items],
            "numbered": block.numbered,
        }
    if isinstance(block, Facts):
        return {"type": "facts", "rows": [[name, _breakable(value)] for name, value in block.rows]}
    if isinstance(block, Figure):
        return {"type": "figure", "title": block.title, "svg": block.svg, "alt": block.alt}
    return _table(block)


def _table(table: Table) -> dict[str, Any]:
    kinds: list[Kind] = [column.kind for column in table.columns]
    rows = [[printed(cell, kind) for cell, kind in zip(row, kinds, strict=True)] for row in table.rows]
    return {
        "type": "table",
        "title": table.title,
        "note": table.note,
        "head": [column.title for column in table.columns],
        "right": [kind in _RIGHT for kind in kinds],
        "widths": widths(table, rows),
        "rows": [
            [
                {
                    "text": _breakable(text),
                    "verdict": str(cell) if kind == "verdict" else "",
                    "code": kind == "code",
                }
                for text, cell, kind in zip(shown, row, kinds, strict=True)
            ]
            for shown, row in zip(rows, table.rows, strict=True)
        ],
    }


def widths(table: Table, rows: list[list[str]]) -> list[float]:
    """Shares of the page's width by column, so that no table is wider than the page.

    Each column first gets what its longest cell takes on one line. Where that is too much for the page, columns of
    text give way, the longest most, down to their longest word; numbers stay whole as long as anything else can give.
    """
    count = len(table.columns)
    wanted: list[float] = []
    least: list[float] = []
    hardly: list[float] = []
    for i, column in enumerate(table.columns):
        cells = [row[i] for row in rows]
        word = max(
            (_width(word, column.kind) for text in (*cells, column.title) for word in _words(text)),
            default=1.0,
        )
        line = max((_width(text, column.kind) for text in cells), default=1.0)
        # A heading may break over two lines before it widens a column of figures.
        line = max(line, word, _width(column.title, "text") / 2)
        longest = max((len(text) for text in cells), default=0)
        whole = column.kind in _RIGHT or (column.kind in ("name", "verdict") and longest <= _NAME)
        wanted.append(line + _GUTTER)
        least.append((line if whole else min(line, max(word, _TEXT))) + _GUTTER)
        hardly.append((line if whole else min(line, word)) + _GUTTER)
    if sum(least) > _PAGE:
        least = hardly
    room = _PAGE - sum(least)
    if room < 0:
        return [value / sum(least) for value in least]
    spare = [w - m for w, m in zip(wanted, least, strict=True)]
    given = min(1.0, room / sum(spare)) if sum(spare) else 0.0
    found = [m + given * s for m, s in zip(least, spare, strict=True)]
    return [value / sum(found) for value in found] if count else []


def _width(text: str, kind: Kind) -> float:
    """In small letters: figures and capitals are wider, and so is the face of code."""
    if kind == "code":
        return 1.4 * len(text)
    # Names are kept whole, so theirs is rather too much than too little.
    return (1.1 if kind == "name" else 1.0) * sum(
        1.85 if c.isupper() else 1.6 if c in "mw_" else 1.35 if c.isdigit() or c in "=<>+" else 1.1
        for c in text
    )


def _words(text: str) -> list[str]:
    return re.split(rf"[\s{_ZERO_WIDTH}]", _breakable(text))


def _breakable(text: str) -> str:
    """Where a long word may be broken: after an underscore, a slash, a dot or a colon within it, and every 16 digits of
    a digest."""

    def inside(match: re.Match[str]) -> str:
        word = match[0]
        if len(word) < 14:
            return word
        parts = re.sub(r"([_/:.=\-])(?=\w)", rf"\1{_ZERO_WIDTH}", word)
        return re.sub(r"([0-9A-Za-z]{16})(?=[0-9A-Za-z])", rf"\1{_ZERO_WIDTH}", parts)

    return re.sub(r"\S+", inside, text)
