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
_PAGE = 487.5
"""Width of the page in points, margins taken off."""
_GUTTER = 9.5
"""What the space at both sides of a cell takes, and half a point for what rounding loses."""
_NAME = 36
"""A name of so many characters stays whole in its column."""
_TEXT = 110.0
"""A column of text is no narrower than this, where the page allows it."""
_SIZE, _CODE = 8.5, 7 * 0.602
"""The size of a table's text, and the width of each letter of code, in points."""
# The widths of the letters from space to ~ in thousandths of the size: the template's face, plain and bold, as Typst
# measures it (tests/unit/papers/test_pdf.py holds them equal).
PLAIN = (
    250, 288, 336, 465, 465, 637, 705, 190, 298, 298, 369, 550, 220, 338, 220, 323, 465, 465, 465, 465, 465, 465, 465,
    465, 465, 465, 236, 236, 550, 550, 550, 435, 895, 695, 588, 646, 701, 557, 485, 685, 730, 297, 322, 637, 528, 839,
    699, 702, 541, 702, 587, 485, 597, 661, 652, 951, 660, 575, 604, 356, 287, 356, 518, 486, 392, 457, 493, 428, 506,
    447, 310, 500, 538, 271, 272, 512, 264, 790, 542, 504, 519, 503, 372, 390, 316, 531, 497, 747, 490, 515, 424, 277,
    205, 277, 449,
)  # fmt: skip
BOLD = (
    250, 266, 376, 514, 514, 637, 729, 215, 315, 315, 433, 537, 244, 358, 244, 316, 514, 514, 514, 514, 514, 514, 514,
    514, 514, 514, 256, 256, 512, 551, 512, 430, 988, 740, 654, 706, 734, 609, 545, 732, 817, 367, 373, 736, 577, 899,
    740, 730, 614, 730, 716, 504, 652, 732, 700, 1028, 718, 624, 624, 397, 307, 397, 518, 486, 392, 506, 542, 456, 561,
    489, 391, 521, 619, 322, 312, 613, 325, 905, 616, 551, 581, 573, 428, 427, 358, 598, 529, 777, 561, 558, 452, 307,
    220, 307, 473,
)  # fmt: skip


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
            (
                *(_width(word, column.kind) for text in cells for word in _words(text)),
                *(_width(word, bold=True) for word in _words(column.title)),
            ),
            default=1.0,
        )
        line = max((_width(text, column.kind) for text in cells), default=1.0)
        # A heading may break over two lines before it widens a column of figures.
        line = max(line, word, _over_two(column.title))
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


def _width(text: str, kind: Kind = "text", *, bold: bool = False) -> float:
    """In points, on one line; a letter beyond ASCII counts as a wide one."""
    if kind == "code":
        return _CODE * len(text)
    face = BOLD if bold else PLAIN
    return (
        _SIZE
        / 1000
        * sum(face[ord(c) - 32] if " " <= c <= "~" else 0 if c == _ZERO_WIDTH else 700 for c in text)
    )


def _over_two(title: str) -> float:
    """The narrowest width at which a heading takes two lines."""
    words = title.split()
    lines = [(" ".join(words[:i]), " ".join(words[i:])) for i in range(1, len(words) + 1)]
    return min((max(_width(part, bold=True) for part in both) for both in lines), default=1.0)


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
