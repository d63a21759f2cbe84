"""Running the pipeline: a child process on this machine, or in memory."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from string import Formatter
from typing import Any, Protocol

import msgspec

from serinus.errors import SerinusError

FIELDS = ("model", "reason", "run")
# Asks the kernel for a SIGKILL at the parent's death (prctl 1), then becomes the program. A program of
# its own, because code between fork and exec in a process with threads may deadlock.
_LAUNCH = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); "
    "os.getppid() == int(sys.argv[1]) or sys.exit(1); os.execvp(sys.argv[2], sys.argv[2:])"
)


class RunFailed(Exception):  # noqa: N818  an outcome, not a defect
    """The pipeline ran and did not succeed; the message says how it ended."""


class RunStopped(RunFailed):
    """The receiver ends; the run goes on elsewhere and will be followed by the next receiver."""


class Runner(Protocol):
    """Runs the pipeline for a model and waits for its end.

    ``resumable``: a run outlives the receiver, and ``run`` called again with the
    same id follows it instead of starting another.
    """

    @property
    def resumable(self) -> bool:
        """Whether runs outlive the receiver."""
        ...

    def run(self, *, run: str, model: str, reason: str) -> dict[str, Any] | None:
        """The result of a successful run, or None if it told none. Raises ``RunFailed``."""
        ...

    def stop(self) -> None:
        """End what runs; ``run`` then raises ``RunFailed``."""
        ...


def read_command(text: str) -> list[str]:
    """A command template as its arguments: ``serinus pipeline run --model {model} --reason {reason}``.

    No shell reads it, so what an alert says can never become a command.

    Raises:
        SerinusError: ``SRN-RETRAIN-003`` it is empty, has an open quote or an unknown placeholder.
    """
    try:
        arguments = shlex.split(text)
        unknown = {
            field for a in arguments for _, field, _, _ in Formatter().parse(a) if field is not None
        } - set(FIELDS)
    except ValueError as error:
        raise _bad_command(text, str(error)) from error
    if not arguments:
        raise _bad_command(text, "it is empty")
    if unknown:
        raise _bad_command(text, f"it has the placeholder {{{min(unknown)}}}")
    return arguments


def _bad_command(text: str, why: str) -> SerinusError:
    return SerinusError(
        "SRN-RETRAIN-003",
        f"the command {text!r} cannot be used: {why}",
        where="--command",
        hint="Give a program and its arguments; {model}, {reason} and {run} are filled in, {{ }} are braces.",
    )


class LocalRunner:
    """Runs a command as a child process, which dies with this one; its output goes to ``logs``."""

    resumable = False

    def __init__(self, command: Sequence[str], logs: Path, timeout: float = 3600.0) -> None:
        self._command = list(command)
        self._logs = logs
        self._timeout = timeout
        self._children: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._stopped = False

    def run(self, *, run: str, model: str, reason: str) -> dict[str, Any] | None:
        """Run the command to its end; the result is the JSON object in its last line of stdout."""
        arguments = [part.format(model=model, reason=reason, run=run) for part in self._command]
        self._logs.mkdir(parents=True, exist_ok=True)
        output, log = self._logs / f"{run}.out", self._logs / f"{run}.log"
        with output.open("wb") as stdout, log.open("wb") as stderr:
            child = self._start(arguments, stdout.fileno(), stderr.fileno())
            try:
                code = child.wait(self._timeout)
            except subprocess.TimeoutExpired:
                self._end(child)
                raise RunFailed(f"it took more than {self._timeout:g} s and was ended; see {log}") from None
            finally:
                with self._lock:
                    self._children.discard(child)
        if code != 0:
            raise RunFailed(f"{_ending(code)}: {_tail(log) or 'it said nothing'}; see {log}")
        return _result(output)

    def stop(self) -> None:
        """End the children and start no more."""
        with self._lock:
            self._stopped = True
            children = list(self._children)
        for child in children:
            self._end(child)

    def _start(self, arguments: list[str], stdout: int, stderr: int) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._stopped:
                raise RunFailed("the receiver is shutting down")
            if shutil.which(arguments[0]) is None:
                raise RunFailed(f"there is no program {arguments[0]}")
            try:
                child = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-c", _LAUNCH, str(os.getpid()), *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=stdout,
                    stderr=stderr,
                    start_new_session=True,
                )
            except OSError as error:
                raise RunFailed(f"{arguments[0]} cannot be started: {error.strerror or error}") from error
            self._children.add(child)
            return child

    def _end(self, child: subprocess.Popen[bytes]) -> None:
        for number, patience in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
            try:
                os.killpg(child.pid, number)
                child.wait(patience)
                return
            except subprocess.TimeoutExpired:
                continue
            except ProcessLookupError:
                return


class MemoryRunner:
    """Answers with what it was given, and remembers what it was asked."""

    def __init__(
        self, result: dict[str, Any] | None = None, failure: str = "", *, resumable: bool = False
    ) -> None:
        self.resumable = resumable
        self.result = result
        self.failure = failure
        self.asked: list[dict[str, str]] = []

    def run(self, *, run: str, model: str, reason: str) -> dict[str, Any] | None:
        """The prepared result, or the prepared failure."""
        self.asked.append({"run": run, "model": model, "reason": reason})
        if self.failure:
            raise RunFailed(self.failure)
        return self.result

    def stop(self) -> None:
        """Nothing runs."""


def _ending(code: int) -> str:
    return f"it was killed by signal {-code}" if code < 0 else f"it ended with code {code}"


def _tail(path: Path, size: int = 4096) -> str:
    lines = path.read_bytes()[-size:].decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:300] if lines else ""


def _result(path: Path) -> dict[str, Any] | None:
    lines = path.read_bytes().strip().splitlines()
    try:
        result = msgspec.json.decode(lines[-1]) if lines else None
    except msgspec.DecodeError:
        return None
    return result if isinstance(result, dict) else None
