"""The stages that versions enter, as events: registered, canary, champion, rolled back, retired.

Read off the registry's own history, so whoever moves a version (a pipeline, a rollout engine, a
person) needs to know nothing of lineage. Each turn has one run id for ever: telling it twice
changes nothing at a backend. Who moved it and why stays in the registry: people are no lineage.
"""

from __future__ import annotations

import uuid
from datetime import datetime

from serinus.home import Home
from serinus.lineage import facets, journal
from serinus.lineage.context import namespace
from serinus.lineage.names import bundle_name, stage_name
from serinus.lineage.types import Dataset, Job, Run, RunEvent, event
from serinus.registry import Registry
from serinus.registry.records import Turn, Version

_NAMES = uuid.UUID("a1c5a8a2-6f0e-5d1c-9b0a-2f5f3c9e7d11")
"""Under which run ids of turns are made (UUID version 5)."""


def stage_events(version: Version, place: int, turn: Turn, where: str) -> tuple[RunEvent, RunEvent]:
    """A version's turn: the bundle goes in, what stands in the stage comes out."""
    seed = f"{version.digest}/{version.model}/{version.version}/{place}/{turn.stage}/{turn.time}"
    run = str(uuid.uuid5(_NAMES, seed))
    at = datetime.fromisoformat(turn.time).timestamp()
    known = {
        "version": facets.facet("version", datasetVersion=version.digest),
        "datasetType": facets.facet("datasetType", datasetType="MODEL", subType="BUNDLE"),
    }
    job = Job(where, f"{version.model}.registry", {"jobType": facets.job_type("TASK", integration="SERINUS")})
    said = facets.tags({"model": version.model, "version": str(version.version), "stage": turn.stage})
    bundle = Dataset(where, bundle_name(version.model), known)
    stage = Dataset(where, stage_name(version.model, turn.stage), known)
    return (
        event("START", Run(run, {"tags": said}), job, at=at, inputs=(bundle,)),
        event("COMPLETE", Run(run, {"tags": said}), job, at=at, inputs=(bundle,), outputs=(stage,)),
    )


def record_stages(home: Home, where: str | None = None) -> int:
    """Add the turns that are not in the file of the registry's events yet; how many there were.

    Raises:
        SerinusError: ``SRN-REGISTRY-001`` the registry cannot be read.
    """
    path = home.lineage / journal.REGISTRY
    if not home.registry_db.exists():
        return 0
    known = {each.run.run_id for each in journal.read(path)}
    registry, space = Registry(home), where or namespace()
    fresh: list[RunEvent] = []
    for model in registry.models():
        for version in registry.versions(model):
            for place, turn in enumerate(registry.history(model, version.version)):
                both = stage_events(version, place, turn, space)
                fresh += [] if both[0].run.run_id in known else both
    fresh.sort(key=lambda each: each.event_time)
    if fresh:
        journal.append(path, *fresh)
    return len(fresh) // 2
