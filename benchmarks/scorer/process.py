"""A server under test: started on its core, watched, stopped with all its children."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from .grpc_wire import call

SERVER_CORE, GENERATOR_CORE = 0, 1
_REFUSING = (
    30.0  # seconds after which a server that listens and refuses is not one that still loads its model
)


class NotStarted(Exception):  # noqa: N818  as asyncio's TimeoutError, a state and no fault of ours
    """The server ended or did not answer in time; the message quotes its last words."""


def free_port() -> int:
    """A port nobody listens on now; whoever answers there must show the run's nonce."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Server:
    """One server process and its children, in a process group of their own.

    Args:
        command: argv; pinned to the server's core, and so are all its children.
        env: added to the environment.
        cwd: working directory, also of the log ``server.log``.
    """

    def __init__(self, command: Sequence[str], env: Mapping[str, str], cwd: Path) -> None:
        cwd.mkdir(parents=True, exist_ok=True)
        self._cwd, self._log = cwd, cwd / "server.log"
        self._forget_decisions()
        self.began = time.perf_counter()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                ["taskset", "-c", str(SERVER_CORE), *command],
                env={**os.environ, **env},
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_ready(self, port: int, message: bytes, seconds: float, *, grpc: bool = False) -> float:
        """Seconds from the start until a scoring request is answered with 200.

        Raises:
            NotStarted: if that takes longer than ``seconds``, or the process ends.
        """
        deadline = self.began + seconds
        said, refused = "", 0.0
        while time.perf_counter() < deadline:
            if self._process.poll() is not None:
                raise NotStarted(f"ended with {self._process.returncode}: {self.last_words()}")
            try:
                if grpc:
                    status, body = 200 if call(port, message, timeout=5) is not None else 500, b""
                else:
                    status, _, body = ask(port, message, timeout=5)
                if status == 200:
                    return time.perf_counter() - self.began
                said = f"status {status}: {body[:300]!r}"
                if status in (400, 404, 415, 422):
                    refused = refused or time.perf_counter()
                    if time.perf_counter() - refused > _REFUSING:
                        raise NotStarted(said)
            except (OSError, http.client.HTTPException) as error:
                said = said or repr(error)
            time.sleep(0.02)
        raise NotStarted(f"no answer within {seconds:g} s ({said}): {self.last_words()}")

    def pids(self) -> list[int]:
        """The process and all its descendants that live."""
        children: dict[int, list[int]] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError, IndexError):
                    parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                    children.setdefault(parent, []).append(int(entry.name))
        found, open_ = list[int](), [self._process.pid]
        while open_:
            pid = open_.pop()
            found.append(pid)
            open_ += children.get(pid, [])
        return found

    def cpu(self) -> float:
        """CPU seconds of all of it, threads that ended included.

        The process clocks that ``/proc/PID/stat`` shows rounded to 10 ms, read to the nanosecond
        (clock_getcpuclockid(3)), so that short stretches can be told apart.
        """
        total = 0.0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                total += time.clock_gettime(((~pid) << 3) | 2)
        return total

    def memory(self) -> dict[str, float]:
        """MiB: resident, summed over the processes, and proportional (shared pages counted once)."""
        found = {"rss": 0.0, "pss": 0.0}
        for pid in self.pids():
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                    key = line.split(":", 1)[0].lower()
                    if key in found:
                        found[key] += int(line.split()[1]) / 1024
        return {key: round(value, 1) for key, value in found.items()}

    def last_words(self) -> str:
        """The end of what it wrote."""
        return " | ".join(self._log.read_text(errors="replace").strip().splitlines()[-4:])[-600:]

    def stop(self) -> None:
        """SIGTERM to the group, SIGKILL after 5 s."""
        for number, patience in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)
            deadline = time.monotonic() + patience
            while time.monotonic() < deadline and self._group_lives():
                self._process.poll()
                time.sleep(0.02)
            if not self._group_lives():
                break
        self._process.poll()
        self._forget_decisions()

    def _forget_decisions(self) -> None:
        """A decision log of a minute at full speed is some hundred MB."""
        for path in self._cwd.glob("decisions*"):
            path.unlink(missing_ok=True)

    def _group_lives(self) -> bool:
        try:
            os.killpg(self._process.pid, 0)
        except (ProcessLookupError, PermissionError):
            return False
        return self._process.poll() is None or len(self.pids()) > 1


def ask(port: int, message: bytes, timeout: float = 10) -> tuple[int, str, bytes]:
    """One request on a connection of its own: status, headers as text, body."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as sock:
        sock.sendall(message)
        response = http.client.HTTPResponse(sock)
        response.begin()
        return response.status, str(response.headers), response.read()
