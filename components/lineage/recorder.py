"""The events of one step: told as it starts and as it ends, whatever its end is.

Lineage is never a reason for a step to fail: what goes wrong here is said in the log, and the step goes on.
"""

from __future__ import annotations

import json
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from components.lineage.artefacts import Given, given
from components.lineage.describe import Described, Step, describe, names
from serinus.errors import SerinusError
from serinus.lineage import facets, journal
from serinus.lineage.context import Context, namespace, pipeline_job, read_context, step_job
from serinus.lineage.outbox import Direct, direct
from serinus.lineage.types import Facets, Job, Kind, Run, event, new_run_id

METADATA = "lineage"
"""Under this key an artefact carries the model's name and the run that made it, past the cache."""

SAYABLE = frozenset(
    {"SRN-GATE-001", "SRN-GATE-002", "SRN-PIPELINE-003", "SRN-PIPELINE-004", "SRN-PIPELINE-035"}
)
"""Errors whose words hold names and figures over many rows. All others may quote a value of the data."""


class Pointer(msgspec.Struct, frozen=True):
    """Where the events of the run that made an artefact are: a file's name and a run id."""

    model: str
    run: str
    file: str = ""


class Recorder:
    """Tells of one try of one step."""

    def __init__(
        self,
        step: str,
        arguments: Mapping[str, object],
        context: Context,
        told: Given,
        sender: Direct | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._context, self._told, self._sender, self._clock = context, told, sender, clock
        self._file = Path(context.file) if context.file else None
        self._run = new_run_id(clock())
        model = context.model or _model(arguments, told) or "model"
        where = namespace()
        self._parent = pipeline_job(model, where)
        self._job = step_job(model, step, where)
        self._step = Step(step, arguments, told, model, where, context)

    @property
    def metadata(self) -> dict[str, str]:
        """What the step's artefact carries so that a later run knows where it came from."""
        pointer = Pointer(self._step.model, self._run, self._file.name if self._file else "")
        return {METADATA: msgspec.json.encode(pointer).decode()}

    def start(self) -> None:
        """Tell that the step starts; what it reads and will write is named, not yet read."""
        if self._context.opens:
            self._tell("START", Run(self._context.run, self._root_facets()), self._parent)
        inputs, outputs = names(self._step)
        run = Run(self._run, self._run_facets())
        self._tell("START", run, self._with_facets(self._job), Described(inputs, outputs))

    def complete(self, summary: Mapping[str, Any]) -> None:
        """Tell that the step has its result."""
        found = describe(self._step, summary)
        self._tell("COMPLETE", Run(self._run, self._run_facets() | found.run), self._job, found)
        if self._context.closes:
            self._tell("COMPLETE", Run(self._context.run), self._parent)

    def fail(self, error: BaseException) -> None:
        """Tell that the step failed, and why as far as that quotes none of the data."""
        found = describe(self._step, {})
        message = {"errorMessage": message_of(error)}
        self._tell("FAIL", Run(self._run, self._run_facets() | found.run | message), self._job, found)
        if self._context.last_try:
            self._tell("FAIL", Run(self._context.run, message), self._parent)

    def close(self) -> None:
        """Wait, within bounds, until what was told has reached the backend; say what has not."""
        if self._sender is not None:
            self._sender.close()

    def _tell(self, kind: Kind, run: Run, job: Job, found: Described | None = None) -> None:
        found = found or Described()
        told = event(
            kind,
            run,
            job,
            at=self._clock(),
            inputs=tuple(found.inputs.values()),
            outputs=tuple(found.outputs.values()),
        )
        if self._file is not None:
            journal.append(self._file, told)
        if self._sender is not None:
            self._sender.put(told)

    def _run_facets(self) -> Facets:
        found: Facets = {"processing_engine": _engine()}
        if self._context.run:
            found["parent"] = facets.parent(self._context.run, self._parent)
        if self._context.nominal:
            found["nominalTime"] = facets.facet("nominalTime", nominalStartTime=self._context.nominal)
        settings = {
            key: str(value)
            for key, value in self._told.parameters.items()
            if key == "code" or key.endswith("config")
        }
        if settings:
            found["executionParameters"] = facets.parameters(settings)
        return found

    def _root_facets(self) -> Facets:
        return {"processing_engine": _engine()}

    def _with_facets(self, job: Job) -> Job:
        found: Facets = {"jobType": facets.job_type("TASK", integration="SERINUS")}
        if (code := self._context.code) is not None:
            found["sourceCodeLocation"] = code_facet(code)
        return msgspec.structs.replace(job, facets=found)


def code_facet(code: Any) -> dict[str, Any]:
    """Where the code is, as a facet."""
    path = {"repoUrl": code.repo} if code.repo else {}
    return facets.facet("sourceCodeLocation", type=code.type, url=code.url, version=code.version, **path)


def _engine() -> dict[str, Any]:
    from serinus import __version__

    return facets.facet(
        "processing_engine",
        name="kfp",
        version=metadata.version("kfp"),
        openlineageAdapterVersion=__version__,
    )


def message_of(error: BaseException) -> dict[str, Any]:
    """Why it failed, without a word that could be a value of the data: a code, a type, where in the code."""
    if isinstance(error, SerinusError):
        said = f": {error.what}" if error.code in SAYABLE else ""
        return facets.error_message(f"{error.code}{said}")
    where = "".join(traceback.format_tb(error.__traceback__))
    return facets.error_message(type(error).__name__, where)


def _model(arguments: Mapping[str, object], told: Given) -> str:
    """The contract's name, or the one that an artefact has brought along."""
    contract = arguments.get("contract")
    try:
        if isinstance(contract, Path):
            contract = contract.read_text(encoding="utf-8")
        if isinstance(contract, str):
            return str(json.loads(contract)["name"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    for artefact in told.inputs:
        if text := artefact.metadata.get(METADATA):
            return msgspec.json.decode(text, type=Pointer).model
    return ""


class Guarded:
    """A recorder, or none, whose failures end in the log."""

    def __init__(self, step: str, make: Callable[[], Recorder | None]) -> None:
        self._step = step
        self._recorder: Recorder | None = None
        self._try(lambda: setattr(self, "_recorder", make()))

    def start(self) -> None:
        """See ``Recorder``."""
        self._with(lambda it: it.start())

    def complete(self, summary: Mapping[str, Any]) -> dict[str, str]:
        """See ``Recorder``; the metadata of the step's artefact."""
        self._with(lambda it: it.complete(summary))
        self._with(lambda it: it.close())
        return self._recorder.metadata if self._recorder else {}

    def fail(self, error: BaseException) -> None:
        """See ``Recorder``."""
        self._with(lambda it: it.fail(error))
        self._with(lambda it: it.close())

    def _with(self, act: Callable[[Recorder], None]) -> None:
        if (it := self._recorder) is not None:
            self._try(lambda: act(it))

    def _try(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:
            sys.stderr.write(f"serinus: the lineage of {self._step} is not complete: {error!r}\n")


def recorder(step: str, arguments: Mapping[str, object]) -> Guarded:
    """The recorder of this process's step; it does nothing where nobody has asked for lineage."""

    def make() -> Recorder | None:
        context = read_context()
        if context is None:
            return None
        sender = None if context.file else direct()
        if sender is None and not context.file:
            return None
        return Recorder(step, arguments, context, given(sys.argv), sender)

    return Guarded(step, make)
