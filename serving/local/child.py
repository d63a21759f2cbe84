"""One child process: in a group of its own, with a log file, and a way to know when it is ready or gone."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from serinus.errors import SerinusError

LAUNCH = str(Path(__file__).with_name("launch.py"))


class Child:
    """A started program. Use ``Child.start``.

    ``exited`` is done, with the exit code (negative: the signal), when the process is gone.
    """

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self.log = log
        self.stopping = False
        self._process = process
        self._ready: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self.exited: asyncio.Task[int] = asyncio.create_task(self._wait())

    @classmethod
    async def start(
        cls, name: str, command: Sequence[str], *, log: Path, mark: dict[str, str], cwd: Path | None = None
    ) -> Child:
        """Start ``command``; both its streams go to ``log``.

        Raises:
            SerinusError: SRN-PLATFORM-004 if it cannot be started.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as file:
            try:
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-I", "-S", LAUNCH, str(os.getpid()), *command,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=file,
                    process_group=0,
                    cwd=cwd,
                    env=os.environ | mark,
                )  # fmt: skip
            except OSError as problem:
                raise SerinusError(
                    "SRN-PLATFORM-004",
                    f"{name} cannot be started: {problem}",
                    where=str(command[0]),
                    hint="Check that the installation is whole: make setup.",
                ) from None
        return cls(name, process, log)

    @property
    def pid(self) -> int:
        """The process id, also that of its group."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Has it not ended?"""
        return self._process.returncode is None

    async def ready(self, timeout: float) -> dict[str, Any]:
        """Its readiness line, ``{"ready": true, "port": …}``.

        Raises:
            SerinusError: SRN-PLATFORM-005 if it ended or stayed silent, with the end of its log.
        """
        done, _ = await asyncio.wait(
            {self._ready, self.exited}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED
        )
        if self._ready in done:
            return self._ready.result()
        what = self.ending() if not self.alive else f"was not ready within {timeout:g} s"
        raise SerinusError(
            "SRN-PLATFORM-005",
            f"{self.name} {what}{self.last_words()}",
            where=str(self.log),
            hint="The log says more.",
        )

    def ending(self) -> str:
        """How it ended, in words."""
        code = self._process.returncode
        if code is None:
            return "is running"
        if code < 0:
            return f"was killed by signal {-code} ({signal.Signals(-code).name})"
        return f"ended with exit code {code}"

    def last_words(self) -> str:
        """The last line of its log that says something, as `` (…)``; empty if there is none."""
        with contextlib.suppress(OSError):
            lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            if lines:
                return f" ({lines[-1].strip()[:300]})"
        return ""

    async def stop(self, grace: float = 10.0) -> None:
        """SIGTERM, so that it drains; after ``grace`` seconds SIGKILL to its whole group."""
        self.stopping = True
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
        done, _ = await asyncio.wait({self.exited}, timeout=grace)
        if not done:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            await self.exited

    async def _wait(self) -> int:
        stdout = self._process.stdout
        assert stdout is not None
        with self.log.open("ab", buffering=0) as log:
            while line := await _line(stdout):
                log.write(line)
                if not self._ready.done() and line.lstrip().startswith(b"{"):
                    with contextlib.suppress(ValueError):
                        said = json.loads(line)
                        if said.get("ready"):
                            self._ready.set_result(said)
        return await self._process.wait()


async def _line(stream: asyncio.StreamReader) -> bytes:
    try:
        return await stream.readline()
    except ValueError:  # a line longer than the buffer
        return await stream.read(65536)
