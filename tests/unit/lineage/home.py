"""An installation with a version, and the events of the run that built it, as a run leaves them."""

from __future__ import annotations

from pathlib import Path

from serinus.home import Home
from serinus.lineage import facets, journal
from serinus.lineage.types import Dataset, Job, Kind, Run, RunEvent, event, new_run_id
from serinus.registry import Registry, Version
from tests.support.bundles import small_bundle, small_home

PARENT = new_run_id(1.0)
RAW = "sha256:" + "ab" * 32
AT = 1_764_000_000.0


def content(name: str, digest: str, namespace: str = "serinus") -> Dataset:
    return Dataset(namespace, name, {"version": facets.facet("version", datasetVersion=digest)})


def step(
    name: str,
    inputs: tuple[Dataset, ...],
    outputs: tuple[Dataset, ...],
    *,
    at: float = AT,
    tests: tuple[str, ...] = (),
) -> list[RunEvent]:
    run = Run(new_run_id(at), {"parent": facets.parent(PARENT, Job("serinus", "small.training"))})
    job = Job("serinus", f"small.training.{name}")
    listed = [{"name": f"t{n}", "status": status} for n, status in enumerate(tests)]
    done = Run(run.run_id, run.facets | ({"test": facets.facet("test", tests=listed)} if listed else {}))
    kind: Kind = "COMPLETE"
    return [
        event("START", run, job, at=at),
        event(kind, done, job, at=at + 1.5, inputs=inputs, outputs=outputs),
    ]


def whole_run(bundle: str, raw: str = RAW) -> list[RunEvent]:
    """ingest → features → train → (evaluate, explain) → gate → register, the contract read by most of them."""
    data = content("/data/tx.csv", raw, "file")
    records, agreed = (
        content("small.ingest.records", "sha256:1"),
        content("small.ingest.contract_out", "sha256:2"),
    )
    table, model = content("small.features.table", "sha256:3"), content("small.train.model", "sha256:4")
    metrics, report = (
        content("small.evaluate.metrics", "sha256:5"),
        content("small.explain.report", "sha256:6"),
    )
    passed, made = content("small.gate.validation", "sha256:7"), content("small.bundle", bundle)
    return [
        *step("ingest", (data,), (records, agreed)),
        *step("features", (agreed, records), (table,), at=AT + 2),
        *step("train", (agreed, table), (model,), at=AT + 4),
        *step("evaluate", (agreed, table, model), (metrics,), at=AT + 6),
        *step("explain", (agreed, table, model), (report,), at=AT + 8),
        *step("gate", (metrics, report), (passed,), at=AT + 10, tests=("pass", "pass", "skip")),
        *step("register", (agreed, model, passed), (made,), at=AT + 12),
    ]


def installation(directory: Path, *, with_events: bool = True, run: str = "r1") -> tuple[Home, Version]:
    home = small_home(directory)
    registry = Registry(home, clock=lambda: AT + 20)
    bundle = small_bundle(directory)
    version = registry.register(bundle, by="ann", owner="cards", run=run, source="/data/tx.csv")
    registry.set_stage("small", 1, "canary", by="engine", reason="step 1")
    registry.set_stage("small", 1, "champion", by="bob", reason="no harm seen")
    if with_events:
        journal.append(home.lineage / f"{run}{journal.SUFFIX}", *whole_run(version.digest))
    return home, registry.get("small", 1)
