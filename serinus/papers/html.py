"""A document as one HTML page: no script, nothing fetched, every text escaped."""

from __future__ import annotations

from html import escape

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

_RIGHT = {"number", "count", "share", "interval"}
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1c1c1c; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { margin-bottom: 0; } h2 { margin-top: 2.4rem; border-bottom: 1px solid #ddd; }
h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; }
table { border-collapse: collapse; width: 100%; margin: .3rem 0 .6rem; }
caption { text-align: left; font-weight: 600; padding: .4rem 0; }
th, td { text-align: left; padding: .25rem .6rem; border-bottom: 1px solid #eee; vertical-align: top; }
td, th { overflow-wrap: anywhere; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
td.n { white-space: nowrap; }
.scroll { overflow-x: auto; }
.pass { color: #176b33; } .fail { color: #a31515; font-weight: 600; } .attention, .no_data { color: #8a5a00; }
.verdict { float: right; font-size: .8rem; border: 1px solid; border-radius: 3px; padding: .1rem .5rem; }
.small, figcaption { font-size: 13px; color: #555; }
.figures { display: flex; flex-wrap: wrap; gap: 1rem; } figure { margin: .6rem 0; }
figure svg { max-width: 100%; height: auto; }
.missing { border-left: 3px solid #d9b44a; padding: .1rem .8rem; color: #555; }
code { font-size: 13px; overflow-wrap: anywhere; } footer { margin-top: 3rem; color: #555; font-size: 13px; }
@media print { body { margin: 0; max-width: none; } h2 { break-after: avoid; } tr, figure { break-inside: avoid; } }
"""


def to_html(document: Document) -> str:
    """The page. The same document gives the same bytes."""
    parts = [
        "<!doctype html>",
        f'<html lang="{escape(document.language)}">',
        '<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(document.title)}: {escape(document.subject)}</title>",
        f"<style>{_STYLE}</style></head>",
        "<body>",
        f"<h1>{escape(document.title)}</h1>",
        f"<p>{escape(document.subtitle)}</p>" if document.subtitle else "",
        *(_section(section) for section in document.sections),
        f"<footer>{escape(document.foot)}</footer>" if document.foot else "",
        "</body></html>",
    ]
    return "\n".join(part for part in parts if part) + "\n"


def _section(section: Section) -> str:
    parts: list[str] = []
    if section.title:
        number = f"{section.number}. " if section.number is not None else ""
        mark = (
            f'<span class="verdict {section.verdict}">{VERDICTS[section.verdict]}</span>'
            if section.verdict
            else ""
        )
        anchor = f' id="s{section.number}"' if section.number is not None else ""
        parts.append(f"<h2{anchor}>{mark}{number}{escape(section.title)}</h2>")
    if section.why:
        parts.append(f"<p>{escape(section.why)}</p>")
    inner = _blocks(section.blocks)
    # No level is skipped.
    parts += (
        inner if section.title else [part.replace("<h3>", "<h2>").replace("</h3>", "</h2>") for part in inner]
    )
    if section.missing:
        items = "".join(f"<li>{escape(item)}</li>" for item in section.missing)
        parts.append(f'<div class="missing"><p>Not available</p><ul>{items}</ul></div>')
    return "\n".join(parts)


def _blocks(blocks: tuple[Block, ...]) -> list[str]:
    parts: list[str] = []
    for before, block in zip((None, *blocks), blocks, strict=False):
        half = isinstance(block, Figure) and block.half
        was_half = isinstance(before, Figure) and before.half
        if half and not was_half:
            parts.append('<div class="figures">')
        if was_half and not half:
            parts.append("</div>")
        parts.append(_block(block))
    if blocks and isinstance(last := blocks[-1], Figure) and last.half:
        parts.append("</div>")
    return parts


def _block(block: Block) -> str:
    if isinstance(block, Text):
        if block.style == "heading":
            return f"<h3>{escape(block.text)}</h3>"
        inner = f"<strong>{escape(block.text)}</strong>" if block.style == "strong" else escape(block.text)
        return f'<p class="small">{inner}</p>' if block.style == "small" else f"<p>{inner}</p>"
    if isinstance(block, Bullets):
        tag = "ol" if block.numbered else "ul"
        return f"<{tag}>{''.join(f'<li>{escape(item)}</li>' for item in block.items)}</{tag}>"
    if isinstance(block, Facts):
        rows = "".join(f"<tr><th>{escape(k)}</th><td>{_lines(v)}</td></tr>" for k, v in block.rows)
        return f"<table>{rows}</table>"
    if isinstance(block, Figure):
        label = f'<svg role="img" aria-label="{escape(block.alt)}"'
        return f"<figure>{block.svg.replace('<svg', label, 1)}<figcaption>{escape(block.title)}</figcaption></figure>"
    return _table(block)


def _table(table: Table) -> str:
    kinds: list[Kind] = [column.kind for column in table.columns]
    head = "".join(
        f"<th{' class=n' if column.kind in _RIGHT else ''}>{escape(column.title)}</th>"
        for column in table.columns
    )
    body: list[str] = []
    for row in table.rows:
        cells: list[str] = []
        for cell, kind in zip(row, kinds, strict=True):
            text = escape(printed(cell, kind))
            name = (
                f' class="{escape(str(cell))}"'
                if kind == "verdict"
                else ' class="n"'
                if kind in _RIGHT
                else ""
            )
            cells.append(f"<td{name}>{f'<code>{text}</code>' if kind == 'code' else text}</td>")
        body.append(f"<tr>{''.join(cells)}</tr>")
    note = f'<p class="small">{escape(table.note)}</p>' if table.note else ""
    caption = f"<caption>{escape(table.title)}</caption>" if table.title else ""
    body_rows = "\n".join(body)
    inner = f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>\n{body_rows}\n</tbody></table>"
    return f'<div class="scroll">{inner}</div>{note}'


def _lines(text: str) -> str:
    return "<br>".join(escape(line) for line in text.split("\n"))
