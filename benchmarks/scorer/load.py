"""The generator as a process on its core, and what a stretch of load cost the server."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from .machine import ticks
from .process import GENERATOR_CORE, Server

CONNECTIONS = 64
LAG_SHARE = 0.1  # of the server's p99: more of the generator's own lag makes a stretch void


class Load:
    """One generator process for one server's life."""

    def __init__(self, port: int, kind: str, requests: Path, *, spin: bool) -> None:
        module = [sys.executable, "-m", "benchmarks.scorer.generator"]
        arguments = [str(port), kind, str(requests), "spin" if spin else "wait"]
        self._process = subprocess.Popen(
            ["taskset", "-c", str(GENERATOR_CORE), *module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, server: Server, **command: Any) -> dict[str, Any]:
        """A stretch of load: the generator's summary, CPU of the server per answer, and what else was busy.

        Keyword Args:
            rate, law, seed: of an open loop; without a rate it is a closed one.
            seconds, connections, give_up: as ``generator.drive`` takes them.
        """
        asked = {"connections": CONNECTIONS, "law": "closed", "seed": 0, **command}
        cpu, own, (total, busy, steal) = server.cpu(), self._cpu(), ticks()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the generator ended with {self._process.wait()}")
        result: dict[str, Any] = json.loads(line)
        cpu, own = server.cpu() - cpu, self._cpu() - own
        total, busy, steal = (b - a for a, b in zip((total, busy, steal), ticks(), strict=True))
        wall = max(total, 1e-9)
        return {
            "law": asked["law"],
            "rate": asked.get("rate"),
            "connections": asked["connections"],
            **result,
            "cpu_us": round(cpu / max(1, result["answered"]) * 1e6, 2),
            "foreign": round(max(0.0, busy - cpu - own) / wall, 4),
            "steal": round(steal / wall, 4),
            "void": _lagged(result),
        }

    def _cpu(self) -> float:
        return time.clock_gettime(((~self._process.pid) << 3) | 2)

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _lagged(result: dict[str, Any]) -> bool:
    p99, lag = result["p99"], result["lag_p99"]
    return p99 is not None and lag is not None and lag > LAG_SHARE * p99
