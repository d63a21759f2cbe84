"""Where a version comes from and where it went: the run's events, the signed bundle, the registry's history.

What the bundle says is signed; what the events say is a record beside it. Where both speak of the
same thing they are compared, and a difference is said.
"""

from __future__ import annotations

from datetime import datetime

from serinus.home import Home
from serinus.lineage import journal
from serinus.lineage.graph import Artefact, Edge, Graph, Node
from serinus.lineage.names import bundle_name
from serinus.lineage.types import Dataset, RunEvent
from serinus.registry import Registry
from serinus.registry.records import Turn, Version


def ancestry(home: Home, version: Version) -> Graph:
    """The graph of a version.

    Raises:
        SerinusError: ``SRN-REGISTRY-001`` the registry cannot be read.
    """
    told = journal.read(home.lineage / f"{version.run}{journal.SUFFIX}")
    history = Registry(home).history(version.model, version.version)
    return graph_of(version, told, history)


def graph_of(version: Version, told: list[RunEvent], history: list[Turn]) -> Graph:
    """The graph, of the events of the run that built the version and of its stages."""
    ends = [each for each in told if each.event_type == "COMPLETE" and each.parent]
    bundle = Node(
        id="bundle", kind="bundle", label=f"{version.model} v{version.version}", digest=version.digest,
        facts=_filled({"signed with": version.key, "run": version.run}),
    )  # fmt: skip
    if any(each.name == bundle_name(version.model) for end in ends for each in end.outputs):
        nodes, edges, notes = _of_events(version, told, ends)
    else:
        nodes, edges, notes = _of_bundle(version)
    nodes.append(bundle)
    before = "bundle"
    for number, turn in enumerate(history):
        stage = Node(id=f"stage{number}", kind="stage", label=turn.stage, facts=_facts_of(turn))
        nodes.append(stage)
        edges.append(Edge(source=before, target=stage.id))
        before = stage.id
    return Graph(
        model=version.model,
        version=version.version,
        nodes=tuple(nodes),
        edges=tuple(edges),
        notes=tuple(notes),
    )


def _facts_of(turn: Turn) -> dict[str, str]:
    return _filled({"at": turn.time.partition(".")[0] + "Z", "by": turn.by, "why": turn.reason})


def _of_events(
    version: Version, told: list[RunEvent], ends: list[RunEvent]
) -> tuple[list[Node], list[Edge], list[str]]:
    started = {each.run.run_id: each.event_time for each in told if each.event_type == "START"}
    ours = ends[0].job.namespace
    nodes: dict[str, Node] = {}
    edges: list[Edge] = []
    made: dict[tuple[str, str, str], str] = {}
    notes: list[str] = []
    for end in ends:
        step = end.job.name.rpartition(".")[2]
        sources: dict[str, list[Artefact]] = {}
        for dataset in end.inputs:
            source = made.get(dataset.key)
            if source is None:
                source = dataset.name
                nodes.setdefault(source, _from_outside(dataset, version, ours))
            sources.setdefault(source, []).append(_artefact(dataset))
        nodes[step] = Node(id=step, kind="step", label=step, facts=_step_facts(end, started))
        edges += [Edge(source=each, target=step, carries=tuple(carried)) for each, carried in sources.items()]
        made |= {dataset.key: step for dataset in end.outputs}
        for dataset in end.outputs:
            if dataset.name == bundle_name(version.model):
                edges.append(Edge(source=step, target="bundle", carries=(_artefact(dataset),)))
                if dataset.version != version.digest:
                    notes.append(
                        f"the run's events tell of another bundle ({dataset.version[:23]}…) than the registry has: "
                        "this version was registered by another run, or the events were changed"
                    )
    signed = version.lineage.data.digest
    raw = [each for end in ends for each in end.inputs if each.namespace != ours]
    for digest in sorted({each.version for each in raw}):
        if signed and digest and digest != signed:
            notes.append(
                f"the run's events name other records ({digest[:23]}…) than the signed bundle ({signed[:23]}…)"
            )
    return list(nodes.values()), edges, notes


def _of_bundle(version: Version) -> tuple[list[Node], list[Edge], list[str]]:
    """What the bundle alone says: from these records, by this contract and code."""
    lineage = version.lineage
    data = lineage.data
    period = f"{data.first} to {data.last}" if data.first and data.last else ""
    rows = "" if data.rows is None else f"{data.rows:,}"
    nodes = [
        Node(
            id="data", kind="data", label=data.source or "records", digest=data.digest,
            facts=_filled({"rows": rows, "period": period}),
        ),
        Node(
            id="pipeline", kind="step", label="pipeline",
            facts=_filled(
                {"contract": lineage.contract, "code": lineage.code, "commit": lineage.commit, "lock": lineage.lock}
            ),
        ),
    ]  # fmt: skip
    edges = [Edge(source="data", target="pipeline"), Edge(source="pipeline", target="bundle")]
    note = (
        f"the events of the run {version.run} are not here (it ran elsewhere, with SERINUS_LINEAGE=off, or they were "
        "deleted), so the steps between are not drawn; the rest stands in the signed bundle"
    )
    return nodes, edges, [note]


def _from_outside(dataset: Dataset, version: Version, ours: str) -> Node:
    """Records, or content of ours that no step of this run made: the champion that it was compared with."""
    own = dataset.namespace == ours
    kind = "bundle" if own and dataset.name.endswith(bundle_name("")) else "data"
    rows = version.lineage.data.rows
    return Node(
        id=dataset.name,
        kind=kind,
        label=dataset.name if own or dataset.namespace == "file" else f"{dataset.namespace}/{dataset.name}",
        digest=dataset.version,
        facts={"rows": f"{rows:,}"} if rows is not None and not own else {},
    )


def _artefact(dataset: Dataset) -> Artefact:
    return Artefact(name=dataset.name, digest=dataset.version)


def _step_facts(end: RunEvent, started: dict[str, str]) -> dict[str, str]:
    tags = {each["key"]: each["value"] for each in end.run.facets.get("tags", {}).get("tags", [])}
    begun = started.get(end.run.run_id)
    seconds = ""
    if tags.get("cached"):
        seconds = "cached"
    elif begun:
        took = datetime.fromisoformat(end.event_time) - datetime.fromisoformat(begun)
        seconds = f"{took.total_seconds():.1f} s"
    tests = end.run.facets.get("test", {}).get("tests", [])
    status = [each["status"] for each in tests]
    passed = f"{status.count('pass')} of {len(status)} demands pass" if tests else ""
    if "skip" in status:
        passed += f", {status.count('skip')} not measured"
    return _filled({"took": seconds, "gate": passed, "writes": ", ".join(_written(end))})


def _written(end: RunEvent) -> list[str]:
    own = f"{end.job.name.rpartition('.')[2]}."
    return [
        each.name.partition(own)[2] or each.name
        for each in end.outputs
        if each.name.partition(own)[1]  # the bundle has a node of its own
    ]


def _filled(facts: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in facts.items() if value}
