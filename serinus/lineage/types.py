"""OpenLineage's run event, spec 2-0-2, as values that are written and read back.

Structs of our own, not the classes of the OpenLineage client: twelve steps' processes would
each pay for its import (docs/decisions/lineage-client-sends-only.md).
"""

from __future__ import annotations

import secrets
import time
import uuid
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

import serinus

SPEC = "https://openlineage.io/spec/2-0-2/OpenLineage.json"
PRODUCER = f"https://serinus.io/serinus/{serinus.__version__}"
"""Names what wrote an event; a name only, nothing is fetched from it."""

Kind = Literal["START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"]
ENDS: frozenset[str] = frozenset({"COMPLETE", "ABORT", "FAIL"})

Facets = dict[str, dict[str, Any]]
"""Facets by the names that the specification gives them; ``serinus.lineage.facets`` makes them."""


class Run(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """One execution of a job."""

    run_id: str
    facets: Facets = {}


class Job(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What is executed; the name is unique in its namespace."""

    namespace: str
    name: str
    facets: Facets = {}

    def named(self) -> dict[str, str]:
        """The name alone, as other events point to it."""
        return {"namespace": self.namespace, "name": self.name}


class Dataset(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What a run read or wrote. ``input_facets`` say what this run saw of an input,
    ``output_facets`` what it made of an output; ``facets`` are the dataset's own."""

    namespace: str
    name: str
    facets: Facets = {}
    input_facets: Facets = {}
    output_facets: Facets = {}

    @property
    def version(self) -> str:
        """The content's digest, empty where the event does not say."""
        return str(self.facets.get("version", {}).get("datasetVersion", ""))

    @property
    def key(self) -> tuple[str, str, str]:
        """Namespace, name and digest: the same content under the same name."""
        return self.namespace, self.name, self.version

    def but(self, **changes: Any) -> Dataset:
        """A copy with some fields changed."""
        return msgspec.structs.replace(self, **changes)


class RunEvent(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    """A turn of a run: it started, completed, failed or was aborted."""

    event_type: Kind
    event_time: str
    run: Run
    job: Job
    inputs: tuple[Dataset, ...] = ()
    outputs: tuple[Dataset, ...] = ()
    producer: str
    schema_url: str = msgspec.field(name="schemaURL")

    @property
    def ended(self) -> bool:
        """Whether nothing more comes of this run."""
        return self.event_type in ENDS

    @property
    def parent(self) -> str:
        """The run id of the run that this one is a part of, empty if there is none."""
        return str(self.run.facets.get("parent", {}).get("run", {}).get("runId", ""))


def event(
    kind: Kind,
    run: Run,
    job: Job,
    *,
    at: float,
    inputs: tuple[Dataset, ...] = (),
    outputs: tuple[Dataset, ...] = (),
) -> RunEvent:
    """An event of this producer; ``at`` in seconds since 1970."""
    return RunEvent(
        event_type=kind,
        event_time=moment(at),
        run=run,
        job=job,
        inputs=inputs,
        outputs=outputs,
        producer=PRODUCER,
        schema_url=f"{SPEC}#/$defs/RunEvent",
    )


def moment(at: float) -> str:
    """Seconds since 1970 as the specification writes times."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def new_run_id(at: float | None = None) -> str:
    """A UUID of version 7 (RFC 9562), which sorts by time: backends keep runs in order by it."""
    milliseconds = int((time.time() if at is None else at) * 1000) & ((1 << 48) - 1)
    value = milliseconds << 80 | 0x7 << 76 | secrets.randbits(12) << 64 | 0b10 << 62 | secrets.randbits(62)
    return str(uuid.UUID(int=value))
