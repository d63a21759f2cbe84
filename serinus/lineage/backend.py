"""Where events are sent: whatever OpenLineage's own client can reach, configured as it is everywhere.

The only module that imports ``openlineage``, and only when something is sent: the import takes
as long as a short step.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlparse

from serinus.errors import SerinusError
from serinus.lineage.types import Dataset, Facets, RunEvent

TEMPORARY = frozenset({401, 403, 404, 408, 425, 429})
"""Answers below 500 that say something of the way there rather than of the event."""


class UnreachableError(Exception):
    """The backend took nothing; what comes after would not be taken either."""


class RefusedError(Exception):
    """The backend will not have this event; it may have the next."""


class Backend(Protocol):
    """Takes events."""

    def send(self, event: RunEvent) -> None:
        """Deliver one event. Raises UnreachableError or RefusedError."""
        ...


class MemoryBackend:
    """Keeps what it was sent."""

    def __init__(self) -> None:
        self.events: list[RunEvent] = []

    def send(self, event: RunEvent) -> None:
        """Keep it."""
        self.events.append(event)


def configured(environment: Mapping[str, str] = os.environ, directory: Path | None = None) -> str:
    """Which backend the client would use, for people to read; empty where nobody has named one.

    As the client itself looks: ``OPENLINEAGE_URL``, ``OPENLINEAGE__TRANSPORT…``, then the file that
    ``OPENLINEAGE_CONFIG`` names, ``openlineage.yml`` here or in ``~/.openlineage``.
    """
    if environment.get("OPENLINEAGE_DISABLED", "").strip().lower() == "true":
        return ""
    if url := environment.get("OPENLINEAGE_URL", "").strip():
        parsed = urlparse(url)
        return parsed._replace(netloc=parsed.netloc.rpartition("@")[2], query="").geturl()
    if kind := environment.get("OPENLINEAGE__TRANSPORT__TYPE") or environment.get("OPENLINEAGE__TRANSPORT"):
        return environment.get("OPENLINEAGE__TRANSPORT__URL") or f"the transport {kind[:40]}"
    home = environment.get("HOME", "")
    places = [environment.get("OPENLINEAGE_CONFIG", ""), str((directory or Path.cwd()) / "openlineage.yml")]
    places += [f"{home}/.openlineage/openlineage.yml"] if home else []
    return next((place for place in places if place and Path(place).is_file()), "")


def open_backend() -> Backend:
    """The configured backend.

    Raises:
        SerinusError: ``SRN-LINEAGE-001`` none is configured; ``-002`` the client is not installed;
            ``-003`` the configuration is wrong.
    """
    place = configured()
    if not place:
        raise SerinusError(
            "SRN-LINEAGE-001",
            "no lineage backend is configured",
            hint="Set OPENLINEAGE_URL=http://marquez:5000, or write an openlineage.yml (docs/lineage.md).",
        )
    try:
        from openlineage.client import OpenLineageClient
    except ModuleNotFoundError as error:
        raise SerinusError(
            "SRN-LINEAGE-002",
            f"sending needs the Python package openlineage-python ({error.name} is not installed)",
            hint="Install the extra that brings it: uv sync --extra pipeline, or pip install 'serinus[pipeline]'.",
        ) from error
    try:
        # It would take the repository around the working directory for the code that ran.
        own = {"facets": {"source_code_location": {"disabled": True}}}
        return ClientBackend(OpenLineageClient(config=own))
    except Exception as error:  # the client raises whatever its transports raise
        raise SerinusError(
            "SRN-LINEAGE-003",
            f"the lineage backend's configuration is wrong ({_line(error)})",
            where=place,
            hint="Compare it with https://openlineage.io/docs/client/python/configuration.",
        ) from error


class ClientBackend:
    """OpenLineage's client around any of its transports; its filters and tags hold too."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def send(self, event: RunEvent) -> None:
        """Deliver one event. Raises UnreachableError or RefusedError."""
        try:
            self._client.emit(_theirs(event))
        except Exception as error:  # each transport raises exceptions of its own library
            status = getattr(getattr(error, "response", None), "status_code", None)
            if isinstance(status, int) and 400 <= status < 500 and status not in TEMPORARY:
                raise RefusedError(f"HTTP {status}") from error
            raise UnreachableError(f"HTTP {status}" if status else _line(error)) from error


def _theirs(event: RunEvent) -> Any:
    from openlineage.client import event_v2 as theirs
    from openlineage.client.facet_v2 import tags_run

    def plain(dataset: Dataset, side: str, own: Facets) -> dict[str, Any]:
        return {
            "namespace": dataset.namespace,
            "name": dataset.name,
            "facets": dataset.facets,
            side: own,
        }

    run, job = event.run, event.job
    facets = dict[str, Any](run.facets)
    if "tags" in facets:
        # The one facet that the client reads itself, to add those of its configuration.
        fields = [tags_run.TagsRunFacetFields(**each) for each in facets["tags"]["tags"]]
        tags = facets["tags"] = tags_run.TagsRunFacet(tags=fields)
        tags._producer = event.producer
    return theirs.RunEvent(
        eventType=theirs.RunState[event.event_type],
        eventTime=event.event_time,
        run=theirs.Run(runId=run.run_id, facets=facets),
        job=theirs.Job(namespace=job.namespace, name=job.name, facets=dict[str, Any](job.facets)),
        inputs=[
            theirs.InputDataset(**plain(each, "inputFacets", each.input_facets)) for each in event.inputs
        ],
        outputs=[
            theirs.OutputDataset(**plain(each, "outputFacets", each.output_facets)) for each in event.outputs
        ],
        producer=event.producer,
    )


def _line(error: BaseException) -> str:
    """What went wrong, in one line and without a traceback of three libraries."""
    root = error
    while root.__cause__ is not None or root.__context__ is not None:
        root = root.__cause__ or root.__context__ or root
    text = str(root).splitlines()[0] if str(root) else ""
    return f"{type(root).__name__}: {text[:200]}" if text else type(root).__name__
