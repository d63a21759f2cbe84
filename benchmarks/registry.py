"""Commands over a registry of hundreds of models: ``python -m benchmarks.registry [MODELS] [VERSIONS]``.

Each row is a whole process, as a person at a shell has it; the best of three. All rows of the registry name one
real, signed bundle, which ``inventory`` opens and verifies once a model.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from serinus.home import Home
from serinus.registry import Registry
from tests.support.bundles import small_bundle, small_home

COMMANDS = (
    "registry list",
    "registry list model-003",
    "registry due",
    "inventory",
    "lineage model-003",
)


def fill(root: Path, models: int, versions: int) -> Home:
    """A home with so many models, each with a champion and its retired forerunners."""
    bundle, home = small_bundle(root), small_home(root)
    registry = Registry(home)
    registry.register(bundle, by="ann", owner="cards", run="r1")
    with registry.transaction() as db:
        known = dict(db.execute("SELECT * FROM versions").fetchone())
        db.execute("DELETE FROM versions")
        for model in range(models):
            for version in range(1, versions + 1):
                stage = "champion" if version == versions else "retired"
                # The last one has the bundle's own digest, so that it is opened as far as any is.
                digest = known["digest"] if version == versions else f"sha256:{model * 1000 + version:064x}"
                row = known | {
                    "model": f"model-{model:03d}", "version": version, "stage": stage, "digest": digest,
                    "tier": model % 4 + 1,
                }  # fmt: skip
                marks = ", ".join("?" * len(row))
                db.execute(f"INSERT INTO versions ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))
    return home


def main() -> None:
    """Fill a registry, run each command three times, print a table."""
    given = [int(text) for text in sys.argv[1:3]]
    models, versions = [*given, *(500, 20)[len(given) :]]
    with tempfile.TemporaryDirectory(prefix="serinus-registry-") as scratch:
        home = fill(Path(scratch), models, versions)
        print(f"{models} models, {versions} versions each\n\n| command | s | CPU s |\n|---|---|---|")
        for command in COMMANDS:
            walls: list[float] = []
            cpus: list[float] = []
            for _ in range(3):
                before, used = time.perf_counter(), _used()
                line = [sys.executable, "-m", "serinus.cli", *command.split(), "--home", str(home.root)]
                subprocess.run(line, check=True, capture_output=True)
                walls.append(time.perf_counter() - before)
                cpus.append(_used() - used)
            print(f"| `serinus {command}` | {min(walls):.2f} | {min(cpus):.2f} |", flush=True)


def _used() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


if __name__ == "__main__":
    main()
