"""What the platform's tests share: an installation with versions, clients, and a count of what is left."""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import Callable
from pathlib import Path

from serinus.bundle import Bundle, SigningKey, write_bundle
from serinus.home import Home
from serinus.registry import Registry
from serving.local.guardian import VARIABLE
from serving.local.platform import Settings
from serving.local.replay import Replay
from serving.rollout.spec import RolloutSpec, Step, default_guards
from tests.support.bundles import small_parts, small_records

STANDIN = (sys.executable, str(Path(__file__).with_name("standin.py")))
# No request is late, unless that is what a test is about: a busy machine may let any process wait.
PATIENT = 60.0
QUICK = Settings(scorer_command=STANDIN, interval=0.2, timeout=PATIENT)
SCORER = (sys.executable, "-m", "serving.scorer", "--max-wait", f"{PATIENT:g}")
REAL = Settings(scorer_command=SCORER, interval=0.3, timeout=PATIENT)
MODEL = small_parts().name


def installation(root: Path, *versions: int) -> tuple[Home, dict[int, Bundle]]:
    """A home with these versions registered by ann; the first is the champion."""
    home = Home(root)
    registry = Registry(home)
    bundles = {}
    for version in versions:
        # Another seed gives another model, so that every version has a digest of its own.
        parts = small_parts(seed=7 + version % 2, version=version)
        bundles[version] = write_bundle(home.bundles, parts, SigningKey.load_or_create(home.keys))
        registry.register(bundles[version], by="ann", owner="cards", run="test")
    registry.set_stage(MODEL, versions[0], "champion", by="ann", reason="first")
    return home, bundles


def spec_for(candidate: int, *steps: Step, **changes: object) -> RolloutSpec:
    """Errors and latency are guarded: the stand-in has no scores."""
    guards = tuple(g for g in default_guards() if g.name in ("errors", "latency"))
    fields: dict[str, object] = {"guards": guards, "steps": steps or (Step(weight=50, min_requests=10_000),)}
    return RolloutSpec(model=MODEL, candidate=str(candidate), **(fields | changes))  # type: ignore[arg-type]


def load(url: str, rate: float) -> Replay:
    return Replay(url, itertools.cycle(small_records(50)), rate, deadline=2 * PATIENT)


def family(mark: str) -> list[int]:
    """Processes that carry the platform's mark; zombies do not count."""
    from serving.local.guardian import marked

    return marked(mark)


def marks_of(pid: int) -> str:
    """The mark in a process's environment."""
    for pair in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
        if pair.startswith(f"{VARIABLE}=".encode()):
            return pair.split(b"=", 1)[1].decode()
    raise LookupError(f"process {pid} carries no mark")


async def eventually(condition: Callable[[], object], timeout: float = 60.0) -> None:
    """Wait until the condition holds."""
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, "it did not become so in time"
        await asyncio.sleep(0.05)
