"""The machine: whether it is quiet enough to measure on, what it is, and what else ran meanwhile."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

MAX_LOAD, MAX_STEAL = 0.5, 0.01
_LIBRARIES = ("uvloop", "httptools", "msgspec", "grpcio", "lightgbm", "scikit-learn", "numpy")


@dataclass(frozen=True)
class Quiet:
    """Load average of the last minute, and shares of all cores' time over a sample: stolen, busy."""

    load: float
    steal: float
    busy: float

    @property
    def fit(self) -> bool:
        """Whether a measurement means something now."""
        return self.load <= MAX_LOAD and self.steal <= MAX_STEAL


def ticks() -> tuple[float, float, float]:
    """Total, busy and stolen CPU seconds of all cores since boot."""
    fields = [int(f) for f in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    idle, steal = fields[3] + fields[4], fields[7]
    unit = os.sysconf("SC_CLK_TCK")
    return sum(fields) / unit, (sum(fields) - idle - steal) / unit, steal / unit


def look(seconds: float = 1.0) -> Quiet:
    """How quiet it is now."""
    before = ticks()
    time.sleep(seconds)
    total, busy, steal = (b - a for a, b in zip(before, ticks(), strict=True))
    return Quiet(os.getloadavg()[0], steal / max(total, 1e-9), busy / max(total, 1e-9))


def wait_until_quiet(seconds: float) -> Quiet:
    """Look until it is quiet, at most so long: the load average remembers the work before ours."""
    deadline = time.monotonic() + seconds
    while not (quiet := look(2.0)).fit and time.monotonic() < deadline:
        time.sleep(3)
    return quiet


def description() -> dict[str, object]:
    """What stands in the report's header; nothing that names a place or a person."""
    cpu = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    memory = int(Path("/proc/meminfo").read_text().split(None, 2)[1]) / 2**20
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "hypervisor": "hypervisor" in Path("/proc/cpuinfo").read_text(),
        "memory_gib": round(memory, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "libraries": {name: _version(name) for name in _LIBRARIES},
        "commit": _commit(),
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def _commit() -> str:
    """The commit measured, with a plus if the tree differs from it."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
        return done.stdout.strip()

    dirty = git("status", "--porcelain", "--", "serinus", "serving")
    return git("rev-parse", "--short", "HEAD") + ("+" if dirty else "")


def as_json(quiet: Quiet) -> dict[str, float]:
    """For the raw files."""
    return {key: round(value, 4) for key, value in asdict(quiet).items()}
