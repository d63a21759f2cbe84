"""A graph as text that other programs draw: Graphviz's DOT, Mermaid, and SVG for any browser."""

from __future__ import annotations

import re
from collections import defaultdict
from html import escape

from serinus.lineage.graph import Edge, Graph, Node, layers, reduced

_LONGEST = 44


def caption(node: Node) -> list[str]:
    """The lines of a node in a picture."""
    lines = [_short(node.label)]
    if node.digest:
        lines.append(node.digest.removeprefix("sha256:")[:12])
    keys = {"data": ("rows",), "step": ("took", "gate"), "bundle": (), "stage": ("at", "by")}[node.kind]
    lines += [
        f"{node.facts[key]} rows" if key == "rows" else node.facts[key] for key in keys if key in node.facts
    ]
    return lines


def carried(edge: Edge, graph: Graph) -> str:
    """What an edge carries, by the names that the step which wrote it has for it."""
    if graph.node(edge.source).kind != "step" or graph.node(edge.target).kind != "step":
        return ""
    return ", ".join(each.name.rpartition(".")[2] for each in edge.carries)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else "…" + text[-_LONGEST + 1 :]


def mermaid(graph: Graph) -> str:
    """A flowchart as Markdown renderers draw it."""
    ids = _ids(graph)
    shapes = {"data": ("[(", ")]"), "step": ("[", "]"), "bundle": ("[[", "]]"), "stage": ("([", "])")}
    lines = ["flowchart TD"]
    for node in graph.nodes:
        before, after = shapes[node.kind]
        text = "<br>".join(_mermaid_text(line) for line in caption(node))
        lines.append(f'    {ids[node.id]}{before}"{text}"{after}')
    for edge in reduced(graph):
        label = carried(edge, graph)
        arrow = f"-->|{_mermaid_text(label)}|" if label else "-->"
        lines.append(f"    {ids[edge.source]} {arrow} {ids[edge.target]}")
    return "\n".join(lines) + "\n"


def _mermaid_text(text: str) -> str:
    return re.sub(r'["|<>&#;]', lambda found: f"#{ord(found[0])};", text)


def dot(graph: Graph) -> str:
    """A digraph for Graphviz: ``dot -Tsvg``."""
    shapes = {"data": "cylinder", "step": "box", "bundle": "component", "stage": "oval"}
    lines = [f"digraph {_quoted(f'{graph.model} v{graph.version}')} {{", "  node [fontname=Helvetica];"]
    for node in graph.nodes:
        text = "\\n".join(_escaped(line) for line in caption(node))
        lines.append(f'  {_quoted(node.id)} [shape={shapes[node.kind]}, label="{text}"];')
    for edge in reduced(graph):
        label = carried(edge, graph)
        said = f" [label={_quoted(label)}]" if label else ""
        lines.append(f"  {_quoted(edge.source)} -> {_quoted(edge.target)}{said};")
    return "\n".join([*lines, "}"]) + "\n"


def _quoted(text: str) -> str:
    return f'"{_escaped(text)}"'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")


_WIDTH, _HEIGHT, _ACROSS, _DOWN = 260, 58, 30, 42
_TITLE, _DETAIL = 'fill="#18181b" font-weight="bold"', 'fill="#52525b"'
_FILLS = {"data": "#dbeafe", "step": "#f4f4f5", "bundle": "#fef3c7", "stage": "#dcfce7"}


def svg(graph: Graph) -> str:
    """A picture without any program: layer below layer, each edge a curve."""
    at = _places(graph)
    width = max((x for x, _ in at.values()), default=0) + _WIDTH + _ACROSS
    height = max((y for _, y in at.values()), default=0) + _HEIGHT + _DOWN / 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" font-family="Helvetica, Arial, sans-serif" font-size="12" role="img">',
        f"<title>{escape(f'Lineage of {graph.model} v{graph.version}')}</title>",
        f'<rect width="{width:g}" height="{height:g}" fill="#ffffff"/>',
    ]
    parts += [_curve(at[edge.source], at[edge.target]) for edge in reduced(graph)]
    parts += [_box(node, *at[node.id]) for node in graph.nodes]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _places(graph: Graph) -> dict[str, tuple[float, float]]:
    """The upper left corner of each node: from the last layer up, each above the middle of what follows it."""
    after: dict[str, list[str]] = defaultdict(list)
    for edge in reduced(graph):
        after[edge.source].append(edge.target)
    middle: dict[str, float] = {}
    height: dict[str, float] = {}
    rows = layers(graph)
    for number, row in reversed(list(enumerate(rows))):
        wanted = [
            sum(middle[each] for each in after[node]) / len(after[node]) if after[node] else 0.0
            for node in row
        ]
        ordered = sorted(range(len(row)), key=lambda place: (wanted[place], place))
        steps = [wanted[place] - order * (_WIDTH + _ACROSS) for order, place in enumerate(ordered)]
        # Wanted places may coincide: the row keeps its distances and stands around their mean.
        first = sum(steps) / len(steps)
        for order, place in enumerate(ordered):
            middle[row[place]] = first + order * (_WIDTH + _ACROSS)
            height[row[place]] = _DOWN / 2 + number * (_HEIGHT + _DOWN)
    left = min(middle.values(), default=0.0) - _WIDTH / 2 - _ACROSS
    return {node: (x - _WIDTH / 2 - left, height[node]) for node, x in middle.items()}


def _curve(start: tuple[float, float], end: tuple[float, float]) -> str:
    x1, y1 = start[0] + _WIDTH / 2, start[1] + _HEIGHT
    x2, y2 = end[0] + _WIDTH / 2, end[1]
    bend = (y2 - y1) / 2
    return (
        f'<path d="M{x1:g} {y1:g} C{x1:g} {y1 + bend:g} {x2:g} {y2 - bend:g} {x2:g} {y2:g}" fill="none" '
        f'stroke="#71717a"/><path d="M{x2 - 4:g} {y2 - 7:g} L{x2:g} {y2:g} L{x2 + 4:g} {y2 - 7:g}" '
        'fill="none" stroke="#71717a"/>'
    )


def _box(node: Node, x: float, y: float) -> str:
    lines = [_clipped(line) for line in caption(node)[:3]]
    top = y + _HEIGHT / 2 - (len(lines) - 1) * 8 + 4
    texts = "".join(
        f'<text x="{x + _WIDTH / 2:g}" y="{top + number * 16:g}" text-anchor="middle" '
        f"{_TITLE if number == 0 else _DETAIL}>{escape(line)}</text>"
        for number, line in enumerate(lines)
    )
    radius = {"stage": 29, "data": 14}.get(node.kind, 4)
    return (
        f'<g><title>{escape(node.label)}</title><rect x="{x:g}" y="{y:g}" width="{_WIDTH}" height="{_HEIGHT}" '
        f'rx="{radius}" fill="{_FILLS[node.kind]}" stroke="#a1a1aa"/>{texts}</g>'
    )


def _clipped(text: str) -> str:
    return text if len(text) <= 40 else "…" + text[-39:]


def _ids(graph: Graph) -> dict[str, str]:
    return {node.id: f"n{number}" for number, node in enumerate(graph.nodes)}
