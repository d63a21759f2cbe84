"""The lineage of a run on this machine: the run around its steps, steps from the cache, and sending."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from components.lineage.recorder import METADATA, Pointer, code_facet, message_of
from pipelines.provenance import ROOT
from serinus.errors import SerinusError
from serinus.home import Home
from serinus.lineage import facets, journal
from serinus.lineage.backend import configured
from serinus.lineage.context import Code, Context, namespace, pipeline_job, step_job, wanted
from serinus.lineage.names import place_of
from serinus.lineage.outbox import Courier, Delivery
from serinus.lineage.stages import record_stages
from serinus.lineage.types import Dataset, Facets, Job, Kind, Run, event, moment, new_run_id


class RunLineage:
    """Tells of one pipeline run. What goes wrong here is logged and never stops the run."""

    def __init__(
        self, home: Home, *, model: str, run: str, data: Path, clock: Callable[[], float] = time.time
    ) -> None:
        begin = clock()
        self._home, self._clock = home, clock
        self._directory = home.lineage
        self._where = namespace()
        self._job = pipeline_job(model, self._where)
        self._data = place_of(str(data.resolve()))
        self.context = Context(
            run=new_run_id(begin),
            model=model,
            name=run,
            file=str(self._directory / f"{run}{journal.SUFFIX}"),
            data=self._data,
            nominal=moment(begin),
            code=code_location(),
        )
        self._file = Path(self.context.file)
        self._courier: Courier | None = None

    def start(self) -> None:
        """Tell that the run starts, and begin to send if there is a backend."""
        found: Facets = {"jobType": facets.job_type("PIPELINE", integration="SERINUS")}
        if self.context.code is not None:
            found["sourceCodeLocation"] = code_facet(self.context.code)
        self._tell(
            "START", Run(self.context.run, self._facets()), msgspec.structs.replace(self._job, facets=found)
        )
        if configured():
            self._courier = Courier((self._file, self._directory / journal.REGISTRY))

    def cached(self, step: str, outputs: Mapping[str, Any]) -> None:
        """Tell of a step whose result was taken from the cache: what it once read and wrote, unchanged."""
        before = self._before(outputs)
        run = Run(
            new_run_id(self._clock()),
            {
                "parent": facets.parent(self.context.run, self._job),
                "tags": facets.tags({"cached": "true", "computed_by": before.run.run_id if before else ""}),
            },
        )
        job = step_job(self.context.model, step, self._where)
        self._tell("START", run, job)
        inputs = tuple(self._ours(each) for each in before.inputs) if before else ()
        self._tell("COMPLETE", run, job, inputs, before.outputs if before else ())

    def _before(self, outputs: Mapping[str, Any]) -> Any:
        """The COMPLETE event of the step that once computed these outputs."""
        for artefact in outputs.values():
            text = getattr(artefact, "metadata", {}).get(METADATA)
            if not text:
                continue
            pointer = msgspec.json.decode(text, type=Pointer)
            for told in journal.read(self._directory / pointer.file) if pointer.file else ():
                if told.run.run_id == pointer.run and told.event_type == "COMPLETE":
                    return told
        return None

    def _ours(self, dataset: Dataset) -> Dataset:
        """The records may lie elsewhere today; the cache has found them by their content."""
        if dataset.namespace == self._where:
            return dataset
        where, name = self._data
        return dataset.but(namespace=where, name=name)

    def finish(self, error: BaseException | None = None) -> Delivery:
        """Tell how the run ended, and of steps that could not say it themselves; wait for the backend, briefly.

        Returns:
            What was sent and what was not; nothing of either where no backend is configured.
        """
        stopped = isinstance(error, KeyboardInterrupt)
        kind: Kind = "COMPLETE" if error is None else "ABORT" if stopped else "FAIL"
        message = {"errorMessage": message_of(error)} if error is not None and not stopped else {}
        try:
            for started in list(journal.unfinished(journal.read(self._file))):
                if started.run.run_id != self.context.run:
                    parent = {"parent": facets.parent(self.context.run, self._job)}
                    self._tell(kind, Run(started.run.run_id, parent | message), started.job)
            self._tell(kind, Run(self.context.run, message), Job(self._where, self._job.name))
            record_stages(self._home, self._where)
        except (OSError, SerinusError) as problem:
            _say(f"the lineage of the run is not complete: {problem}")
        return self._courier.close() if self._courier else Delivery()

    def _tell(
        self,
        kind: Kind,
        run: Run,
        job: Job,
        inputs: tuple[Dataset, ...] = (),
        outputs: tuple[Dataset, ...] = (),
    ) -> None:
        try:
            journal.append(
                self._file, event(kind, run, job, at=self._clock(), inputs=inputs, outputs=outputs)
            )
        except OSError as error:
            _say(f"the lineage of the run is not complete: {error}")

    def _facets(self) -> Facets:
        return {
            "nominalTime": facets.facet("nominalTime", nominalStartTime=self.context.nominal),
            "tags": facets.tags({"model": self.context.model, "run": self.context.name}),
        }


@contextlib.contextmanager
def recorded(home: Home, *, model: str, run: str, data: Path) -> Generator[RunLineage | None]:
    """The lineage around a run: its start, its end however it ends; None where ``SERINUS_LINEAGE=off``."""
    if not wanted():
        yield None
        return
    lineage = RunLineage(home, model=model, run=run, data=data)
    lineage.start()
    try:
        yield lineage
    except BaseException as error:
        _report(lineage.finish(error))
        raise
    _report(lineage.finish())


def _report(done: Delivery) -> None:
    """Say what did not reach the backend: it is kept, and not lost."""
    if done.kept or done.refused:
        refused = f", {done.refused} were refused" if done.refused else ""
        why = f" ({done.why})" if done.why else ""
        _say(
            f"of {done.sent + done.kept + done.refused} lineage events {done.sent} reached {configured()}{refused}, "
            f"{done.kept} are kept{why}; `serinus lineage send` sends them later"
        )


def _say(what: str) -> None:
    sys.stderr.write(f"serinus: {what}\n")


def code_location(root: Path = ROOT) -> Code | None:
    """The commit that is checked out, None where the code is no git repository."""
    commit = next(_git(root, "rev-parse", "HEAD"), "")
    if not commit:
        return None
    remote = next(_git(root, "remote", "get-url", "origin"), "")
    return Code("git", root.as_uri(), commit, remote)


def _git(root: Path, *arguments: str) -> Iterator[str]:
    if not (root / ".git").exists():
        return
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return
    if done.returncode == 0:
        yield done.stdout.strip()
