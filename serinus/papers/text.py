"""A document as plain text, for a letter that is sent as such. Drawings are told by their words."""

from __future__ import annotations

import textwrap

from serinus.papers.document import Block, Bullets, Document, Facts, Figure, Table, Text, printed

WIDTH = 78


def to_text(document: Document) -> str:
    """The document in lines of at most 78 characters, tables apart."""
    parts = [document.title, "=" * len(document.title)]
    if document.subtitle:
        parts.append(_wrapped(document.subtitle))
    for section in document.sections:
        if section.title:
            number = f"{section.number}. " if section.number is not None else ""
            parts += ["", f"{number}{section.title}", "-" * len(f"{number}{section.title}")]
        parts += [_wrapped(section.why)] if section.why else []
        parts += [_block(block) for block in section.blocks]
        parts += [f"Not available: {item}" for item in section.missing]
    if document.foot:
        parts += ["", document.foot]
    return "\n".join(parts).strip() + "\n"


def _block(block: Block) -> str:
    if isinstance(block, Text):
        return "\n" + "\n".join(_wrapped(line) for line in block.text.split("\n"))
    if isinstance(block, Bullets):
        marks = [f"{i}." if block.numbered else "-" for i in range(1, len(block.items) + 1)]
        return "\n".join(
            textwrap.fill(item, WIDTH, initial_indent=f"  {mark} ", subsequent_indent="     ")
            for mark, item in zip(marks, block.items, strict=True)
        )
    if isinstance(block, Facts):
        return "\n" + "\n".join(
            f"{name}:" + ("\n" + textwrap.indent(value, "    ") if "\n" in value else f" {value}")
            for name, value in block.rows
        )
    if isinstance(block, Figure):
        return _wrapped(f"[{block.title}: {block.alt}]")
    return _table(block)


def _table(table: Table) -> str:
    cells = [tuple(column.title for column in table.columns)]
    cells += [
        tuple(printed(cell, column.kind) for cell, column in zip(row, table.columns, strict=True))
        for row in table.rows
    ]
    widths = [max(len(row[i]) for row in cells) for i in range(len(table.columns))]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]
    return "\n".join([table.title, *lines, table.note]).strip()


def _wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH, break_long_words=False)
