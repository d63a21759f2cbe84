"""A version's graph: of the events where they are here, of the signed bundle where they are not."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.lineage.ancestry import ancestry, graph_of
from serinus.lineage.graph import Edge, Graph, Node, layers, parents, reduced
from serinus.registry.records import Data, Version
from tests.unit.lineage.home import AT, RAW, content, installation, step, whole_run


def test_from_the_records_to_the_champion(tmp_path: Path) -> None:
    home, version = installation(tmp_path)
    graph = ancestry(home, version)
    assert [(node.kind, node.label) for node in graph.nodes] == [
        ("data", "/data/tx.csv"), ("step", "ingest"), ("step", "features"), ("step", "train"), ("step", "evaluate"),
        ("step", "explain"), ("step", "gate"), ("step", "register"), ("bundle", "small v1"),
        ("stage", "validated"), ("stage", "canary"), ("stage", "champion"),
    ]  # fmt: skip
    assert (graph.nodes[0].digest, graph.node("bundle").digest) == (RAW, version.digest)
    assert graph.node("gate").facts["gate"] == "2 of 3 demands pass, 1 not measured"
    assert graph.node("ingest").facts == {"took": "1.5 s", "writes": "records, contract_out"}
    assert graph.node("stage2").facts["by"] == "bob"
    assert graph.notes == ()


def test_the_champion_that_it_was_compared_with_stands_beside_the_records(tmp_path: Path) -> None:
    _, version = installation(tmp_path)
    other = content("small.bundle", "sha256:" + "ef" * 32)
    compared = step("champion", (other, content("small.train.model", "sha256:4")), (), at=AT + 9)
    graph = graph_of(
        version, [*whole_run(version.digest)[:-2], *compared, *whole_run(version.digest)[-2:]], []
    )
    node = graph.node("small.bundle")
    assert (node.kind, node.digest) == ("bundle", other.version)
    assert {edge.target for edge in graph.edges if edge.source == node.id} == {"champion"}
    assert graph.notes == ()


def test_an_edge_says_what_went_over_it(tmp_path: Path) -> None:
    graph = ancestry(*installation(tmp_path))
    edge = next(each for each in graph.edges if (each.source, each.target) == ("ingest", "features"))
    assert [(each.name, each.digest) for each in edge.carries] == [
        ("small.ingest.contract_out", "sha256:2"), ("small.ingest.records", "sha256:1"),
    ]  # fmt: skip


def test_without_events_the_signed_bundle_speaks_and_that_is_said(tmp_path: Path) -> None:
    home, version = installation(tmp_path, with_events=False)
    graph = ancestry(home, version)
    assert [node.kind for node in graph.nodes] == ["data", "step", "bundle", "stage", "stage", "stage"]
    assert len(graph.notes) == 1
    assert "the events of the run r1 are not here" in graph.notes[0]


@pytest.mark.parametrize(
    ("bundle", "signed", "said"),
    [("own", RAW, 0), ("sha256:other", RAW, 1), ("own", "sha256:" + "cd" * 32, 1), ("own", "", 0)],
)
def test_events_that_contradict_the_registry_or_the_bundle_are_said(
    tmp_path: Path, bundle: str, signed: str, said: int
) -> None:
    _, version = installation(tmp_path)
    known: Version = msgspec.structs.replace(
        version, lineage=msgspec.structs.replace(version.lineage, data=Data(digest=signed))
    )
    told = whole_run(version.digest if bundle == "own" else bundle)
    assert len(graph_of(known, told, []).notes) == said


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Any graph whose edges follow the order of its nodes."""
    count = draw(st.integers(1, 8))
    pairs = [(a, b) for b in range(count) for a in range(b)]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    return Graph(
        model="m", version=1,
        nodes=tuple(Node(id=str(n), kind="step", label=str(n)) for n in range(count)),
        edges=tuple(Edge(source=str(a), target=str(b)) for a, b in chosen),
    )  # fmt: skip


def closure(edges: tuple[Edge, ...], count: int) -> set[tuple[int, int]]:
    reach = {(int(edge.source), int(edge.target)) for edge in edges}
    for middle in range(count):
        reach |= {(a, d) for a, b in reach if b == middle for c, d in reach if c == middle}
    return reach


@given(graphs())
def test_the_reduced_picture_leads_everywhere_the_whole_one_does_with_no_edge_too_many(graph: Graph) -> None:
    count, kept = len(graph.nodes), reduced(graph)
    assert closure(kept, count) == closure(graph.edges, count)
    for edge in kept:
        rest = tuple(each for each in kept if each is not edge)
        assert closure(rest, count) != closure(kept, count)


@given(graphs())
def test_every_edge_leads_down_a_layer_and_every_node_stands_once(graph: Graph) -> None:
    rows = layers(graph)
    at = {node: number for number, row in enumerate(rows) for node in row}
    assert sorted(at) == sorted(node.id for node in graph.nodes)
    assert sum(map(len, rows)) == len(graph.nodes)
    assert all(at[edge.source] < at[edge.target] for edge in graph.edges)


@given(graphs())
def test_in_the_tree_every_node_hangs_under_the_latest_that_it_needs(graph: Graph) -> None:
    above = parents(graph)
    for node in graph.nodes:
        before = [int(edge.source) for edge in graph.edges if edge.target == node.id]
        assert above.get(node.id) == (str(max(before)) if before else None)
