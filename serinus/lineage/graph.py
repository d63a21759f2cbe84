"""A version's ancestry as a graph: data, steps, the bundle, the stages that it has been in."""

from __future__ import annotations

from collections import defaultdict
from typing import Literal

import msgspec

NodeKind = Literal["data", "step", "bundle", "stage"]


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """``facts`` are shown with it, in order; ``digest`` is ``sha256:…`` of content, empty for a step."""

    id: str
    kind: NodeKind
    label: str
    digest: str = ""
    facts: dict[str, str] = {}


class Artefact(msgspec.Struct, frozen=True, kw_only=True):
    """Content that went from one step to another; ``name`` is the dataset's in OpenLineage."""

    name: str
    digest: str = ""


class Edge(msgspec.Struct, frozen=True, kw_only=True):
    """``source`` came before ``target``; ``carries`` is what went from the one to the other."""

    source: str
    target: str
    carries: tuple[Artefact, ...] = ()


class Graph(msgspec.Struct, frozen=True, kw_only=True):
    """Nodes in the order in which they came to be; ``notes`` say what is not known, and why."""

    model: str
    version: int
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    notes: tuple[str, ...] = ()

    def node(self, identity: str) -> Node:
        """The node of that id. Raises KeyError."""
        for each in self.nodes:
            if each.id == identity:
                return each
        raise KeyError(identity)


def reduced(graph: Graph) -> tuple[Edge, ...]:
    """The edges that no longer way implies: what a picture needs (the transitive reduction)."""
    after: dict[str, set[str]] = defaultdict(set)
    for edge in graph.edges:
        after[edge.source].add(edge.target)
    reach: dict[str, set[str]] = {}

    def reachable(start: str) -> set[str]:
        if start not in reach:
            reach[start] = set()  # nothing leads back to what came before, so this is never read half-made
            reach[start] = after[start].union(*(reachable(each) for each in after[start]))
        return reach[start]

    return tuple(
        edge
        for edge in graph.edges
        if not any(edge.target in reachable(other) for other in after[edge.source] - {edge.target})
    )


def parents(graph: Graph) -> dict[str, str]:
    """For each node that has any, the latest of those before it: a tree that keeps the longest way."""
    place = {node.id: number for number, node in enumerate(graph.nodes)}
    found: dict[str, str] = {}
    for edge in graph.edges:
        known = found.get(edge.target)
        if known is None or place[edge.source] > place[known]:
            found[edge.target] = edge.source
    return found


def layers(graph: Graph) -> list[list[str]]:
    """Nodes by the length of the longest way from them to the end, the last layer last; each in the graph's order.

    So a node stands right above the first that needs it, and few edges pass others by.
    """
    left: dict[str, int] = {}
    after: dict[str, list[str]] = defaultdict(list)
    for edge in graph.edges:
        after[edge.source].append(edge.target)
    for node in reversed(graph.nodes):
        left[node.id] = max((left[each] + 1 for each in after[node.id]), default=0)
    last = max(left.values(), default=-1)
    found: list[list[str]] = [[] for _ in range(last + 1)]
    for node in graph.nodes:
        found[last - left[node.id]].append(node.id)
    return found
