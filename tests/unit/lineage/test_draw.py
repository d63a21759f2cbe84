"""Pictures: whole, in the formats' own rules, whatever the names are."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from serinus.lineage import draw
from serinus.lineage.ancestry import ancestry
from serinus.lineage.graph import Edge, Graph, Node, reduced
from tests.unit.lineage.home import installation

AWKWARD = 'a "quoted" <b> & | #name\\'


@pytest.fixture
def graph(tmp_path: Path) -> Graph:
    return ancestry(*installation(tmp_path))


@pytest.fixture
def awkward() -> Graph:
    return Graph(
        model="m", version=1,
        nodes=(Node(id=AWKWARD, kind="data", label=AWKWARD), Node(id="x", kind="step", label="x")),
        edges=(Edge(source=AWKWARD, target="x"),),
    )  # fmt: skip


def test_mermaid_has_every_node_and_every_edge_that_no_longer_way_implies(graph: Graph) -> None:
    text = draw.mermaid(graph)
    assert text.startswith("flowchart TD\n")
    assert len(re.findall(r"^    n\d+[\[(]", text, re.MULTILINE)) == len(graph.nodes)
    assert len(re.findall(r" -->", text)) == len(reduced(graph)) < len(graph.edges)
    assert 'n0[("/data/tx.csv<br>abababababab")]' in text
    assert "n3 -->|model| n4" in text


def test_dot_has_every_node_and_edge(graph: Graph) -> None:
    text = draw.dot(graph)
    assert text.count(" -> ") == len(reduced(graph))
    assert text.count("shape=") == len(graph.nodes)
    assert text.endswith("}\n")


def test_svg_is_xml_and_no_box_lies_on_another(graph: Graph) -> None:
    root = ElementTree.fromstring(draw.svg(graph))
    space = "{http://www.w3.org/2000/svg}"
    boxes = [
        (float(r.get("x", 0)), float(r.get("y", 0)), float(r.get("width", 0)), float(r.get("height", 0)))
        for r in root.iterfind(f"{space}g/{space}rect")
    ]
    assert len(boxes) == len(graph.nodes)
    width, height = float(root.get("width", 0)), float(root.get("height", 0))
    for place, (x, y, w, h) in enumerate(boxes):
        assert 0 <= x < x + w <= width
        assert 0 <= y < y + h <= height
        for ox, oy, ow, oh in boxes[place + 1 :]:
            assert x + w <= ox or ox + ow <= x or y + h <= oy or oy + oh <= y


def test_no_name_breaks_a_format(awkward: Graph) -> None:
    assert ElementTree.fromstring(draw.svg(awkward)) is not None
    assert draw.mermaid(awkward).splitlines()[1] == (
        '    n0[("a #34;quoted#34; #60;b#62; #38; #124; #35;name\\")]'
    )
    assert '"a \\"quoted\\" <b> & | #name\\\\" [shape=cylinder' in draw.dot(awkward)
