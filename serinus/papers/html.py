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
_WHOLE: dict[Kind, int] = {"text": 20, "name": 16, "verdict": 40}
"""Characters up to which a column's cells are never broken."""
_LONG = 40
"""Characters from which a column is kept wide enough to read."""
_STYLE = """
:root { color-scheme: light dark; --text: #1c1c1c; --page: #fff; --rule: #e4e4e4; --head: #d0d0d0; --dim: #555;
  --pass: #176b33; --fail: #a31515; --warn: #8a5a00; --mark: #d9b44a; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--page); max-width: 62rem;
  margin: 2rem auto; padding: 0 1rem; overflow-wrap: break-word; }
h1 { margin-bottom: 0; line-height: 1.2; } .subject { color: var(--dim); font-weight: 400; }
h2 { margin-top: 2.4rem; border-bottom: 1px solid var(--head); }
h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; }
table { border-collapse: collapse; width: 100%; margin: .3rem 0 .6rem; }
caption { text-align: left; font-weight: 600; padding: .4rem 0; }
th, td { text-align: left; padding: .25rem .6rem; border-bottom: 1px solid var(--rule); vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
td.n, td.k, th[scope=row] { white-space: nowrap; }
td.t { min-width: 14rem; } td.c, .facts td, code { overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
.pass { color: var(--pass); } .fail { color: var(--fail); font-weight: 600; }
.attention, .no_data { color: var(--warn); }
.verdict { float: right; font-size: .8rem; border: 1px solid; border-radius: 3px; padding: .1rem .5rem; }
.small, figcaption { font-size: 13px; color: var(--dim); }
.figures { display: flex; flex-wrap: wrap; gap: 1rem; } figure { margin: .6rem 0; overflow-x: auto; }
figure svg { max-width: 100%; height: auto; background: #fff; }
.missing { border-left: 3px solid var(--mark); padding: .1rem .8rem; color: var(--dim); }
code { font-size: 13px; } footer { margin-top: 3rem; color: var(--dim); font-size: 13px; overflow-wrap: anywhere; }
@media screen and (prefers-color-scheme: dark) { :root { --text: #e4e4e4; --page: #161616; --rule: #333;
  --head: #4a4a4a; --dim: #a8a8a8; --pass: #6cc88a; --fail: #ff8f8f; --warn: #e0b35c; --mark: #8a6d1f; } }
@media screen and (max-width: 40rem) { table { font-size: 14px; } th, td { padding: .25rem .4rem; }
  td.t { min-width: 11rem; } th[scope=row] { white-space: normal; } figure.wide svg { min-width: 30rem; } }
@media print { body { margin: 0; max-width: none; font-size: 10pt; padding: 0; } h2, h3 { break-after: avoid; }
  tr, figure { break-inside: avoid; } thead { display: table-header-group; } .scroll, figure { overflow: visible; }
  table { font-size: 8.5pt; } th, td { padding: .2rem .35rem; } td.t { min-width: 0; }
  th[scope=row] { white-space: normal; } }
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
        f"<h1>{_heading(document)}</h1>",
        f"<p>{escape(document.subtitle)}</p>" if document.subtitle else "",
        *(_section(section) for section in document.sections),
        f"<footer>{escape(document.foot)}</footer>" if document.foot else "",
        "</body></html>",
    ]
    return "\n".join(part for part in parts if part) + "\n"


def _heading(document: Document) -> str:
    """A paper on a version says which, as every page of the PDF does; a letter and a list of all models need not."""
    title = escape(document.title)
    about = "" if document.kind in ("notice", "inventory") else escape(document.subject)
    return f'{title} <span class="subject">{about}</span>' if about else title


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
        text = escape(block.text).replace("\n", "<br>")  # an address is read line by line
        inner = f"<strong>{text}</strong>" if block.style == "strong" else text
        return f'<p class="small">{inner}</p>' if block.style == "small" else f"<p>{inner}</p>"
    if isinstance(block, Bullets):
        tag = "ol" if block.numbered else "ul"
        return f"<{tag}>{''.join(f'<li>{escape(item)}</li>' for item in block.items)}</{tag}>"
    if isinstance(block, Facts):
        rows = "".join(
            f'<tr><th scope="row">{escape(k)}</th><td>{_lines(v)}</td></tr>' for k, v in block.rows
        )
        return f'<table class="facts">{rows}</table>'
    if isinstance(block, Figure):
        label = f'<svg role="img" aria-label="{escape(block.alt)}"'
        drawn = block.svg.replace("<svg", label, 1)
        start = "<figure>" if block.half else '<figure class="wide">'
        return f"{start}{drawn}<figcaption>{escape(block.title)}</figcaption></figure>"
    return _table(block)


def _table(table: Table) -> str:
    head = "".join(
        f"<th{' class=n' if column.kind in _RIGHT else ''}>{escape(column.title)}</th>"
        for column in table.columns
    )
    styles = [_style(table, i) for i in range(len(table.columns))]
    body: list[str] = []
    for row in table.rows:
        cells: list[str] = []
        for cell, column, style in zip(row, table.columns, styles, strict=True):
            # A name may be broken after its underscores, and nowhere else.
            text = escape(printed(cell, column.kind)).replace("_", "_<wbr>")
            names = " ".join(filter(None, (style, str(cell) if column.kind == "verdict" else "")))
            inner = f"<code>{text}</code>" if column.kind == "code" else text
            cells.append(f'<td class="{escape(names)}">{inner}</td>' if names else f"<td>{inner}</td>")
        body.append(f"<tr>{''.join(cells)}</tr>")
    note = f'<p class="small">{escape(table.note)}</p>' if table.note else ""
    caption = f"<caption>{escape(table.title)}</caption>" if table.title else ""
    body_rows = "\n".join(body)
    inner = f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>\n{body_rows}\n</tbody></table>"
    return f'<div class="scroll">{inner}</div>{note}'


def _style(table: Table, place: int) -> str:
    """How a column's cells break: numbers, verdicts and what is short do not; codes anywhere; long text has room."""
    kind: Kind = table.columns[place].kind
    if kind in _RIGHT:
        return "n"
    if kind == "code":
        return "c"
    longest = max(len(printed(row[place], kind)) for row in table.rows)
    return "k" if longest <= _WHOLE.get(kind, 0) else "t" if kind == "text" and longest > _LONG else ""


def _lines(text: str) -> str:
    return "<br>".join(escape(line).replace("_", "_<wbr>") for line in text.split("\n"))
