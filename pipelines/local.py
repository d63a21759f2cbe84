"""Running the pipeline on this machine by ``kfp.local``: the only module that knows its inside.

``kfp.local`` runs the compiled steps one after the other, each in a process of its own,
prints all of it, and knows of a failed step only that it failed. Around it stands what a
person needs: which step runs, whether its result came from the cache, its key numbers,
and the error that the step itself gave.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import shutil
import signal
import sys
import time
import warnings
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from components.step import (
    CANCELLED,
    STEPS_DIRECTORY,
    SUMMARY,
    Began,
    Ended,
    Failed,
    Summary,
    as_serinus_error,
    disk_full,
    read_struct,
)
from pipelines.kfp_lean import import_kfp_local
from pipelines.lineage import RunLineage
from serinus.errors import SerinusError
from serinus.lineage.context import CONTEXT


class Listener(Protocol):
    """Who is told how the run goes."""

    def started(self, step: str) -> None:
        """A step is due."""
        ...

    def finished(self, step: str, seconds: float, cached: bool, summary: Summary) -> None:
        """A step has a result; ``seconds`` is the wall clock, its process included."""
        ...

    def failed(self, step: str, seconds: float) -> None:
        """A step has failed, and with it the run."""
        ...


@dataclass
class Outcome:
    """Steps with a result in order: seconds, which of them were cached, and their outputs."""

    seconds: dict[str, float] = field(default_factory=dict)
    cached: list[str] = field(default_factory=list)
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)


def run_local(
    arguments: dict[str, Any],
    *,
    directory: Path,
    cache: Path,
    listener: Listener,
    lineage: RunLineage | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Outcome:
    """Run the training pipeline.

    Args:
        arguments: of ``pipelines.training.training``.
        directory: of this run; artefacts, ``steps`` and ``log.txt`` are written there.
        cache: where results are kept by their inputs, across runs.
        listener: is told of each step; lineage: of those that the cache answers for.

    Raises:
        SerinusError: the failed step's own; ``SRN-PIPELINE-001`` it failed unexpectedly;
            ``-002`` its process was killed; ``-004`` the disk is full.
        KeyboardInterrupt: on Ctrl-C or SIGTERM, after the running step was stopped.
    """
    steps = directory / "steps"
    steps.mkdir(parents=True, exist_ok=True)
    import_kfp_local()
    from kfp import local

    from pipelines.training import training

    outcome = Outcome()
    watch = _Watch(steps, listener, outcome, clock, lineage)
    local.init(
        runner=local.SubprocessRunner(use_venv=False),
        pipeline_root=str(directory / "artefacts"),
        workspace_root=str(directory / "workspace"),
        enable_caching=True,
        cache_root=str(cache),
    )
    try:
        with (
            (directory / "log.txt").open("w", encoding="utf-8", buffering=1) as log,
            _quiet(log),
            watch.watching(),
            _environment(directory, cache.parent / "bytecode", lineage),
            _interruptible(),
        ):
            training(**arguments)
    except KeyboardInterrupt:
        watch.stop()
        raise
    except SerinusError:
        raise
    except Exception as error:
        watch.stop()
        raise watch.cause(error, directory / "log.txt") from error
    return outcome


class _Watch:
    """Stands around the one function through which ``kfp.local`` runs every task."""

    def __init__(
        self,
        steps: Path,
        listener: Listener,
        outcome: Outcome,
        clock: Callable[[], float],
        lineage: RunLineage | None,
    ) -> None:
        self._steps, self._listener, self._outcome, self._clock = steps, listener, outcome, clock
        self._lineage = lineage
        self._running: str | None = None

    @contextlib.contextmanager
    def watching(self) -> Generator[None]:
        # KFP 2.17 offers no hook; both of its orchestrators call this module attribute.
        from kfp.local.orchestrator import task_executor

        original = task_executor.execute_single_task

        def observed(task_name: str, **rest: Any) -> Any:
            return self._observe(original, task_name, rest)

        task_executor.execute_single_task = observed
        try:
            yield
        finally:
            task_executor.execute_single_task = original

    def _observe(self, original: Callable[..., Any], task: str, rest: dict[str, Any]) -> Any:
        self._running = task
        self._listener.started(task)
        start = self._clock()
        outputs, status = original(task_name=task, **rest)
        seconds = self._clock() - start
        if status.name != "SUCCESS":
            self._listener.failed(task, seconds)
            return outputs, status
        ended = self._steps / f"{task}.ended.json"
        cached = not ended.exists()
        summary = _summary(outputs) if cached else read_struct(ended, Ended).summary
        self._outcome.seconds[task] = round(seconds, 3)
        self._outcome.outputs[task] = outputs
        if cached:
            self._outcome.cached.append(task)
            if self._lineage is not None:
                self._lineage.cached(task, outputs)
        self._listener.finished(task, seconds, cached, summary)
        self._running = None
        return outputs, status

    def stop(self) -> None:
        """Stop the running step's process, also if it is only about to begin."""
        with contextlib.suppress(OSError):
            (self._steps / CANCELLED).touch()
        began = self._steps / f"{self._running}.began.json"
        if self._running is None or not began.exists() or self._over(self._running):
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(read_struct(began, Began).pid, signal.SIGKILL)

    def _over(self, step: str) -> bool:
        return any((self._steps / f"{step}.{end}.json").exists() for end in ("ended", "failed"))

    def cause(self, error: Exception, log: Path) -> SerinusError:
        """Why the run failed, in the failed step's own words if it had any."""
        step = self._running
        failed = self._steps / f"{step}.failed.json"
        if failed.exists():
            return read_struct(failed, Failed).error()
        tail = _tail(log)
        known = as_serinus_error(error) or (
            disk_full(str(log)) if "No space left on device" in tail else None
        )
        if known is not None:
            return known
        if step is None:
            return _unexpected("the pipeline failed between its steps", str(error), log)
        if (self._steps / f"{step}.began.json").exists() and "Traceback" not in tail:
            return SerinusError(
                "SRN-PIPELINE-002",
                f"the step {step} was killed; nothing was registered",
                where=str(log),
                hint="Mostly the machine ran out of memory (see dmesg). Free memory or give fewer rows, and run "
                "again: the steps before it are cached.",
            )
        return _unexpected(f"the step {step} failed unexpectedly", _exception(tail), log)


def _unexpected(what: str, why: str, log: Path) -> SerinusError:
    return SerinusError(
        "SRN-PIPELINE-001",
        f"{what} ({why[:200]}); nothing was registered",
        where=str(log),
        hint="The log has the whole story; please report it, for a step should explain its own errors.",
    )


def _exception(tail: str) -> str:
    """The last line of the last traceback: the exception itself."""
    after = tail.rpartition("Traceback (most recent call last)")[2].split("\n")
    return next(
        (line.strip() for line in after if re.match(r"\s*[\w.]+(Error|Exception|Exit)\b", line)),
        "see the log",
    )


def _summary(outputs: dict[str, Any]) -> Summary:
    """The key numbers that a cached step left in the metadata of its artefacts."""
    for artefact in outputs.values():
        text = getattr(artefact, "metadata", {}).get(SUMMARY)
        if text:
            return json.loads(text)
    return {}


def _tail(log: Path, size: int = 4000) -> str:
    try:
        return log.read_text(encoding="utf-8", errors="replace")[-size:]
    except OSError:
        return ""


@contextlib.contextmanager
def _quiet(log: Any) -> Generator[None]:
    """KFP prints to stdout and to whatever it believes the root logger's handlers to be."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = [logging.StreamHandler(log)]
    try:
        with contextlib.redirect_stdout(log), warnings.catch_warnings():
            # "You may be attempting to run a task that uses a custom image": we do, on purpose.
            warnings.simplefilter("ignore")
            yield
    finally:
        root.handlers, root.level = handlers, level


@contextlib.contextmanager
def _environment(directory: Path, bytecode: Path, lineage: RunLineage | None) -> Generator[None]:
    """What the steps' processes inherit.

    Eleven processes each import LightGBM or DuckDB: without compiled bytecode a run
    spends most of its time compiling. Where the environment has none and forbids
    writing it into the tree, it is kept in the cache.
    """
    scratch = directory / "tmp"
    scratch.mkdir(parents=True, exist_ok=True)
    changes: dict[str, str | None] = {
        STEPS_DIRECTORY: str(directory / "steps"),
        # KFP leaves a directory with the component's source behind for each step.
        "TMPDIR": str(scratch),
        "PYTHONPATH": _with_root(),
        # Idle OpenMP threads sleep instead of spinning: beside live traffic on two cores
        # a training that spins is several times slower, and so is the traffic.
        "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE"),
    }
    # Without one, a context of somebody else's run must not reach the steps either.
    changes |= dict.fromkeys((CONTEXT,)) | (lineage.context.to_environment() if lineage else {})
    if sys.dont_write_bytecode and not _has_bytecode():
        changes |= {"PYTHONDONTWRITEBYTECODE": None, "PYTHONPYCACHEPREFIX": str(bytecode)}
    before = {name: os.environ.get(name) for name in changes}
    _set(changes)
    try:
        yield
    finally:
        _set(before)
        shutil.rmtree(scratch, ignore_errors=True)


def _set(values: dict[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _has_bytecode() -> bool:
    import numpy

    return any((Path(numpy.__file__).parent / "__pycache__").glob("__init__.*.pyc"))


def _with_root() -> str:
    """The steps must find the packages that this process uses, installed or not."""
    root = str(Path(__file__).resolve().parent.parent)
    existing = os.environ.get("PYTHONPATH", "")
    return root if not existing else f"{root}{os.pathsep}{existing}"


@contextlib.contextmanager
def _interruptible() -> Generator[None]:
    """SIGTERM stops the run as Ctrl-C does: a supervisor must not leave a step behind."""
    try:
        before = signal.signal(signal.SIGTERM, _interrupt)
    except ValueError:  # not in the main thread: whoever runs us there decides
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt
