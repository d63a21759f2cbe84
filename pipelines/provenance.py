"""What a run is made of: the code, the locked libraries, the data, each by digest."""

from __future__ import annotations

import hashlib
import os
from importlib import metadata
from pathlib import Path
from typing import Any

from serinus.errors import SerinusError
from serinus.home import unwritable

LIBRARIES = ("duckdb", "lightgbm", "matplotlib", "numpy")
"""Whose version may change a result."""

ROOT = Path(__file__).resolve().parent.parent
SOURCES = (
    "components",
    "pipelines/training.py",
    *(
        f"serinus/{part}"
        for part in (
            "bundle",
            "contract",
            "durations.py",
            "errors.py",
            "fairness.py",
            "features",
            "intervals.py",
            "model",
            "papers",
            "scoring.py",
            "storage",
            "watching",
        )
    ),
)
APART = ("components/datasets", "components/lineage")
"""What a step executes, and below it what no step does: changing a demo's data generator
or the command line must not make every cached result stale."""


def code_of(root: Path = ROOT) -> dict[str, Any]:
    """Digest of every source file that a step executes, the lock file's, and the libraries.

    Of the content rather than of a commit: uncommitted changes count, and a commit
    that only touches documents does not make another model.
    """
    found = hashlib.sha256()
    for path in _sources(root):
        found.update(f"{path.relative_to(root)}\0".encode())
        found.update(hashlib.sha256(path.read_bytes()).digest())
    lock = root / "uv.lock"
    return {
        "digest": "sha256:" + found.hexdigest(),
        "lock": "sha256:" + hashlib.sha256(lock.read_bytes()).hexdigest() if lock.is_file() else None,
        "libraries": {name: metadata.version(name) for name in LIBRARIES},
    }


def _sources(root: Path) -> list[Path]:
    found: list[Path] = []
    for name in SOURCES:
        source = root / name
        found += [source] if source.is_file() else source.rglob("*")
    left_out = tuple(root / name for name in APART)
    return sorted(
        path
        for path in found
        if path.suffix in (".py", ".j2") and not any(path.is_relative_to(other) for other in left_out)
    )


def by_content(data: Path, store: Path) -> Path:
    """A path to the data that names their content, so that what is cached by path is cached by content.

    Returns:
        A symbolic link below ``store``, named by the SHA-256 of the file's bytes.

    Raises:
        SerinusError: ``SRN-PIPELINE-010`` the file cannot be read; ``SRN-HOME-001``/``-002`` the store
            cannot be written.
    """
    try:
        with data.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SerinusError(
            "SRN-PIPELINE-010",
            f"the data cannot be read ({error.strerror or error})",
            where=str(data),
            hint="Give the path of a CSV (.csv, .csv.gz) or Parquet file with --data.",
        ) from error
    link = store / f"{digest}{''.join(data.suffixes[-2:])}"
    temporary = store / f".{digest}.{os.getpid()}"
    try:
        store.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(data.resolve())
        os.replace(temporary, link)  # the file may have moved since it was last seen
    except OSError as error:
        raise unwritable(link, error) from error
    return link
