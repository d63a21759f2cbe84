"""Running the other rooms' commands: progress passes through, the result is JSON, errors keep their code."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from serinus.errors import SerinusError


class Finished(msgspec.Struct, frozen=True):
    """What a command left: its exit code, the JSON of its last line (if any), and what it printed as error."""

    code: int
    result: dict[str, Any]
    stderr: str


async def run_module(
    module: str,
    arguments: Sequence[str],
    *,
    log: Path,
    show: bool = True,
    user: str | None = None,
    nice: int = 0,
    show_error: bool = True,
) -> Finished:
    """Run ``python -m module arguments…`` to its end.

    Args:
        log: everything it prints is kept there.
        show: pass its progress (stderr) on to the terminal as it comes.
        user: the identity it acts under.
        nice: how far it stands back for others; work beside live traffic must.
        show_error: also pass on the line with which it fails (False where the caller raises it).
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    columns = str(max(110, shutil.get_terminal_size().columns))
    environment = os.environ | {"COLUMNS": columns} | ({"SERINUS_USER": user} if user else {})
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
        limit=1 << 22,
    )  # fmt: skip
    if nice:
        with contextlib.suppress(ProcessLookupError):
            os.setpriority(os.PRIO_PROCESS, process.pid, nice)
    assert process.stdout is not None
    assert process.stderr is not None
    heard: list[bytes] = []

    async def listen(stream: asyncio.StreamReader) -> None:
        with log.open("ab") as file:
            async for line in stream:
                heard.append(line)
                file.write(line)
                file.flush()
                if show and (show_error or not line.startswith(b"serinus: SRN-")):
                    sys.stderr.buffer.write(line)
                    sys.stderr.flush()

    try:
        _, stdout = await asyncio.gather(listen(process.stderr), process.stdout.read())
        code = await process.wait()
    except BaseException:
        # Ctrl-C, or a sibling failed: nothing may outlive the demo.
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 10)
            except TimeoutError:
                process.kill()
        raise
    with log.open("ab") as file:
        file.write(stdout)
    return Finished(code, _last_json(stdout), b"".join(heard).decode(errors="replace"))


async def must(
    module: str,
    arguments: Sequence[str],
    *,
    log: Path,
    show: bool = True,
    user: str | None = None,
    nice: int = 0,
) -> dict[str, Any]:
    """As ``run_module``, for what must succeed.

    Raises:
        SerinusError: the program's own, with its code, if it told one;
            else ``SRN-DEMO-001`` with its last words.
    """
    done = await run_module(module, arguments, log=log, show=show, user=user, nice=nice, show_error=False)
    if done.code == 0:
        return done.result
    raise failure(module, done, log)


def failure(module: str, done: Finished, log: Path) -> SerinusError:
    """The error a program ended with, as it told it itself where it did."""
    told = done.result.get("error")
    if isinstance(told, dict):
        return SerinusError(told["code"], told["what"], where=told.get("where", ""), hint=told["hint"])
    words = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return SerinusError(
        "SRN-DEMO-001",
        f"python -m {module} ended with exit code {done.code}: {words[-1] if words else 'it said nothing'}",
        where=str(log),
        hint="Its whole output is in that log.",
    )


def _last_json(stdout: bytes) -> dict[str, Any]:
    """The JSON object a program printed: all of its output, or its last line."""
    text = stdout.decode(errors="replace").strip()
    for candidate in (text, text.rsplit("\n", 1)[-1]):
        try:
            value = json.loads(candidate)
        except ValueError:
            continue
        if isinstance(value, dict):
            return value
    return {}
