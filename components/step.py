"""How a pipeline step runs: its function inside, its errors and key numbers outside.

A step is a process of its own (a pod on a KFP server). Whoever watches it on this
machine learns from three small files in ``$SERINUS_STEPS``: that it began and under
which process id, that it ended and with which key numbers, or why it failed. On a
server the variable is not set and the log says the same.
"""

from __future__ import annotations

import errno
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from components.lineage import recorder
from serinus.contract import Contract, parse_contract
from serinus.errors import SerinusError

Summary = dict[str, Any]
"""Key numbers of a step, in the order in which they are shown; plain JSON values."""

STEPS_DIRECTORY = "SERINUS_STEPS"
SUMMARY = "summary"
CANCELLED = "cancelled"


class Began(msgspec.Struct, frozen=True):
    """The step's process, so that it can be stopped."""

    pid: int


class Ended(msgspec.Struct, frozen=True):
    """Wall-clock seconds inside the step's function, and its key numbers."""

    seconds: float
    summary: Summary


class StepError(SerinusError):
    """A step's error together with what a reader wants to see of it (a table)."""

    def __init__(
        self, code: str, what: str, *, where: str = "", hint: str, details: Summary | None = None
    ) -> None:
        super().__init__(code, what, where=where, hint=hint)
        self.details = details or {}


class Failed(msgspec.Struct, frozen=True):
    """A ``SerinusError`` on its way out of the step's process."""

    code: str
    what: str
    where: str
    hint: str
    details: Summary = {}

    def error(self) -> StepError:
        """The error again, in another process."""
        return StepError(self.code, self.what, where=self.where, hint=self.hint, details=self.details)


def run_step(name: str, function: Callable[..., Summary], /, **arguments: object) -> dict[str, str]:
    """Run a step's function; report its start, its end and its key numbers.

    Returns:
        The key numbers as metadata of an artefact, where they outlive the process: the
        cache hands them on with the artefact.

    A ``SerinusError`` ends the process with code 1 and one readable line; any other
    failure keeps its traceback in the log, since it is a fault of ours. Lineage is told of
    the start and of either end (docs/lineage.md).
    """
    directory = os.environ.get(STEPS_DIRECTORY)
    steps = Path(directory) if directory else None
    if steps is not None and (steps / CANCELLED).exists():
        raise SystemExit(1)  # the pipeline was stopped while this process was starting
    _report(steps, f"{name}.began.json", Began(os.getpid()))
    lineage = recorder(name, arguments)
    lineage.start()
    start = time.perf_counter()
    try:
        summary = function(**arguments)
    except Exception as error:
        known = as_serinus_error(error)
        lineage.fail(known or error)
        if known is None:
            raise
        if known is not error:
            traceback.print_exc()
        details = known.details if isinstance(known, StepError) else {}
        _report(
            steps, f"{name}.failed.json", Failed(known.code, known.what, known.where, known.hint, details)
        )
        sys.stderr.write(f"serinus: {known}\n")
        raise SystemExit(1) from None
    _report(steps, f"{name}.ended.json", Ended(time.perf_counter() - start, summary))
    # As one text: KFP's metadata keep neither the order of keys nor whole numbers.
    return {SUMMARY: msgspec.json.encode(summary).decode(), **lineage.complete(summary)}


def as_serinus_error(error: BaseException) -> SerinusError | None:
    """The error itself if it is ours; a full disk under our code; else None.

    DuckDB reports a full disk as text only, hence the look into the message.
    """
    if isinstance(error, SerinusError):
        return error
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if full or "No space left on device" in str(error):
        return disk_full(str(getattr(error, "filename", "") or ""))
    if isinstance(error, MemoryError):
        return SerinusError(
            "SRN-PIPELINE-003",
            "the step ran out of memory",
            hint="Give it more memory, or fewer rows.",
        )
    return None


def disk_full(where: str) -> SerinusError:
    """``SRN-PIPELINE-004``."""
    return SerinusError(
        "SRN-PIPELINE-004",
        "the disk is full; nothing was registered",
        where=where,
        hint="Free some space (runs and cache below --home may be deleted) and run the pipeline again.",
    )


def _report(steps: Path | None, name: str, value: msgspec.Struct) -> None:
    if steps is None:
        return
    temporary = steps / f".{name}.{os.getpid()}"
    try:
        temporary.write_bytes(msgspec.json.encode(value))
        os.replace(temporary, steps / name)
    except OSError as error:
        sys.stderr.write(f"serinus: {name} could not be written: {error}\n")


def write_json(path: str | Path, value: object) -> None:
    """Write plain values as indented JSON with a fixed order of keys (NaN becomes null)."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(value, order="deterministic"), indent=1))


def read_json(path: str | Path) -> Any:
    """Read what ``write_json`` wrote."""
    return msgspec.json.decode(Path(path).read_bytes())


def read_struct[T](path: str | Path, kind: type[T]) -> T:
    """Read JSON as a struct of ours."""
    return msgspec.json.decode(Path(path).read_bytes(), type=kind)


def read_contract(path: str | Path) -> Contract:
    """The contract that ingest handed on, as JSON (a tenth of the time of reading YAML)."""
    return parse_contract(read_json(path), where=str(path))


def rounded(values: Mapping[str, Any], digits: int = 4) -> Summary:
    """A copy with floats rounded, for showing."""
    return {key: round(value, digits) if isinstance(value, float) else value for key, value in values.items()}
