"""The whole run: rounds of visits in random order, batches, cross-checks; each block a file of its own."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from . import batches, checks, crosscheck, machine
from .models import Files, prepare
from .systems import System, all_systems, scorer_help
from .visit import Plan, visit

Step = tuple[int, System] | Literal["batches", "crosscheck"]
"""A row's round, or what is measured beside the rows."""
NULL_RATES = (20, 50, 100, 200, 500, 1000)


@dataclass(frozen=True)
class Run:
    """What to do.

    Attributes:
        rounds: of the headline rows; every other row is measured once.
        minutes: no block starts after that.
        force: measure although the machine is not quiet; the report says so.
    """

    systems: Sequence[System]
    plan: Plan
    rounds: int
    minutes: float
    work: Path
    venvs: Path
    blocks: Path
    seed: int = 6
    force: bool = False
    resume: bool = False


def run(what: Run, say: Callable[[str], None]) -> dict[str, Any]:
    """Everything, as it stands in ``results.json``."""
    began = time.monotonic()
    files = prepare(what.work)
    quiet = machine.look() if what.force else machine.wait_until_quiet(120)
    if not quiet.fit and not what.force:
        raise SystemExit(
            f"bench-scorer: the machine is not quiet (load {quiet.load:.2f}, at most {machine.MAX_LOAD}; steal "
            f"{quiet.steal:.1%}, at most {machine.MAX_STEAL:.0%}). Stop what else runs, or pass FORCE=1 and have the "
            "report say so."
        )
    what.blocks.mkdir(parents=True, exist_ok=True)
    if not what.resume:
        for old in what.blocks.glob("*.json"):
            old.unlink()
    scorer_help()

    def in_time() -> bool:
        return time.monotonic() - began < what.minutes * 60

    blocks: list[dict[str, Any]] = []
    extras: dict[str, Any] = {}
    plan = (what.plan, what.work, what.venvs)
    more: dict[str, Callable[[], dict[str, Any]]] = {
        "batches": partial(batches.run, what.systems, files, *plan),
        "crosscheck": partial(crosscheck.run, what.systems, blocks, files, *plan),
    }
    for step in order(what.systems, what.rounds, what.seed):
        if isinstance(step, str):
            extras[step] = _block(what, step, say, in_time, more[step])
            continue
        round_, system = step
        known = _known(blocks, system.key)
        if round_ and (known is None or not in_time()):
            continue
        block = _block(
            what, f"{system.key}-{round_}", say, in_time, partial(_visit, what, files, system, round_, known)
        )
        blocks.append({"key": system.key, "round": round_, **block})
    extras["additivity"] = _block(what, "additivity", say, lambda: True, partial(_additivity, files))
    return {
        "machine": machine.description(),
        "quiet_before": machine.as_json(quiet),
        "forced": what.force and not quiet.fit,
        "minutes": round((time.monotonic() - began) / 60, 1),
        "plan": {k: getattr(what.plan, k) for k in ("warm", "probe", "tail", "search", "spin", "limit_ms")},
        "rounds": what.rounds,
        "seed": what.seed,
        "rows": [
            {"key": s.key, "product": s.product, "setting": s.setting, "model": s.model, "protocol": s.wire.name,
             "reasons": s.reasons, "headline": s.headline}
            for s in what.systems
        ],
        "blocks": blocks,
        **extras,
    }  # fmt: skip


def order(systems: Sequence[System], rounds: int, seed: int) -> list[Step]:
    """What is measured when: what the targets rest on first, in rounds that lie apart, and the rest between them.

    So a run whose time is up lacks the least. Rows are shuffled within their round.
    """

    def shuffled(chosen: Sequence[System], salt: int) -> list[System]:
        made = list(chosen)
        random.Random(seed + salt).shuffle(made)
        return made

    headline, others = (
        [s for s in systems if s.headline],
        shuffled([s for s in systems if not s.headline], 100),
    )
    parts = max(1, rounds - 1)
    found: list[Step] = []
    for round_ in range(rounds):
        found += [(round_, s) for s in shuffled(headline, round_)]
        if round_ == 0:
            found.append("batches")
            found.append("crosscheck")
        if round_ < parts:
            found += [(0, s) for s in others[round_::parts]]
    return found


def _additivity(files: Files) -> dict[str, Any]:
    return {m: checks.additivity(files, m) for m in ("lightgbm", "sklearn") if files.bundle(m) is not None}


def _known(blocks: Sequence[dict[str, Any]], key: str) -> float | None:
    rates = [b["max_rate"] for b in blocks if b["key"] == key and b.get("max_rate")]
    return rates[0] if rates else None


def _visit(what: Run, files: Files, system: System, round_: int, known: float | None) -> dict[str, Any]:
    if why := system.missing(files, what.venvs):
        return {"failed": why}
    seed = what.seed * 1000 + round_ * 97 + sum(system.key.encode()) % 89
    # A row that no target rests on is searched for half as long.
    plan = what.plan if system.headline else replace(what.plan, search=what.plan.search / 2)
    return visit(
        system, files, what.work, what.venvs, plan, seed=seed, known=known,
        null_rates=NULL_RATES if system.key == "null" else (),
    )  # fmt: skip


def _block(
    what: Run, name: str, say: Callable[[str], None], in_time: Callable[[], bool],
    measure: Callable[[], dict[str, Any]],
) -> dict[str, Any]:  # fmt: skip
    """One block, from its file if it was measured before; a failure is a result, and the run goes on."""
    path = what.blocks / f"{name}.json"
    commit = machine.description()["commit"]
    if path.exists():
        kept: dict[str, Any] = json.loads(path.read_text())
        if kept.get("commit") == commit:
            return kept
        say(f"{name}: measured anew, as it was measured at another commit ({kept.get('commit')})")
    if not in_time():
        say(f"{name}: not measured, the time is up")
        return {"failed": "not measured: the run's time was up"}
    began = time.monotonic()
    try:
        block: dict[str, Any] = measure()
    except KeyboardInterrupt:
        raise
    except Exception as error:
        block = {"failed": f"{type(error).__name__}: {error}"[:900]}
    block["commit"] = commit
    block["block_s"] = round(time.monotonic() - began, 1)
    if "failed" not in block:
        path.write_text(json.dumps(block))
    say(f"{name}: {_line(block)}")
    return block


def _line(block: dict[str, Any]) -> str:
    if "failed" in block:
        return f"failed: {block['failed'][:200]}"
    if "max_rate" not in block:
        return f"{block['block_s']} s"
    half = block["half"]["poisson"]
    cpu = block["cpu"][str(block["cpu_rate"])]["cpu_us"]
    return (
        f"{block['max_rate']:.0f}/s, p99 at half {half['p99']} ms, {cpu:.0f} us at {block['cpu_rate']}/s, "
        f"{block['rss']:.0f} MiB, ready in {block['ready_s']:.1f} s ({block['block_s']} s)"
    )


def choose(keys: Sequence[str], quick: bool) -> list[System]:
    """Rows by key or by the part of a key before its first hyphen; none given means the set's."""
    known = all_systems()
    if not keys:
        return [s for s in known if s.quick or not quick]
    chosen = [s for s in known if s.key in keys or s.key.split("-")[0] in keys]
    if not chosen:
        raise SystemExit(f"no such rows: {', '.join(keys)}; there are {', '.join(s.key for s in known)}")
    return chosen
