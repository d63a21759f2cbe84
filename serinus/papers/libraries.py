"""The libraries that a model is made and served with, as the lock file names them: name, version, licence, digests.

From the lock file and what is installed; nothing is fetched.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

LOCK = Path(__file__).resolve().parents[2] / "uv.lock"
PROJECT = "serinus"
EXTRAS = ("pipeline", "scorer")
"""What makes a model and what serves it."""


class Library(msgspec.Struct, frozen=True, kw_only=True):
    """One locked library.

    Attributes:
        licence: as its own metadata state it; "" where they do not.
        files: (name, SHA-256) of the distributions that the lock file admits, the wheels for this Python and Linux, or
            the source where there is no such wheel.
        direct: whether serinus names it itself, rather than another library.
    """

    name: str
    version: str
    licence: str
    files: tuple[tuple[str, str], ...]
    direct: bool


Installed = Callable[[str], tuple[str, str] | None]
"""Name to (version, licence) of what is installed; None where it is not."""


def locked_libraries(
    expected: str | None, *, lock: Path = LOCK, installed: Installed | None = None
) -> tuple[Library, ...]:
    """Everything that making and serving a model needs, by the lock file, sorted by name.

    Args:
        expected: digest of the lock file that the model was made with (``sha256:…``). Where it is another one, or
            there is none here, nothing is told: its digests are not those of the model.
        installed: what is there; where the lock has several versions, and for what another platform would need,
            the one that is installed counts.
    """
    try:
        content = lock.read_bytes()
    except OSError:
        return ()
    if expected != "sha256:" + hashlib.sha256(content).hexdigest():
        return ()
    look = installed or installed_here
    packages: dict[str, list[dict[str, Any]]] = {}
    for package in tomllib.loads(content.decode())["package"]:
        packages.setdefault(package["name"], []).append(package)
    first = _needs(packages[PROJECT][0], EXTRAS)
    waiting, seen = [(name, extras, True) for name, extras in first], dict[str, set[str]]()
    found: dict[str, Library] = {}
    while waiting:
        name, extras, direct = waiting.pop()
        here = look(name)
        package = next((p for p in packages.get(name, []) if here and p.get("version") == here[0]), None)
        if package is None or here is None or (name in seen and set(extras) <= seen[name]):
            continue  # of another platform, or of parts that are not installed together
        seen[name] = seen.get(name, set()) | set(extras)
        if name != PROJECT:
            found.setdefault(
                name,
                Library(name=name, version=here[0], licence=here[1], files=_files(package), direct=direct),
            )
        waiting += [(n, e, False) for n, e in _needs(package, tuple(seen[name]))]
    return tuple(found[name] for name in sorted(found))


def _needs(package: dict[str, Any], extras: tuple[str, ...]) -> list[tuple[str, tuple[str, ...]]]:
    optional = package.get("optional-dependencies", {})
    needed = [*package.get("dependencies", []), *(d for extra in extras for d in optional.get(extra, []))]
    return [(d["name"], tuple(d.get("extra", ()))) for d in needed]


def _files(package: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    wheels = [w for w in package.get("wheels", []) if _fits(w["url"].rsplit("/", 1)[-1])]
    chosen = wheels or [package[kind] for kind in ("sdist",) if kind in package]
    return tuple(
        (file["url"].rsplit("/", 1)[-1], file["hash"].removeprefix("sha256:"))
        for file in chosen
        if file.get("hash", "").startswith("sha256:")
    )


def _fits(name: str) -> bool:
    python, abi, platform = name.removesuffix(".whl").split("-")[-3:]
    return (abi in ("none", "abi3", "cp312") and python.startswith(("py", "cp3"))) and (
        platform == "any" or "linux" in platform
    )


def installed_here(name: str) -> tuple[str, str] | None:
    """Version and licence of an installed library."""
    try:
        found = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return None
    return found["Version"], licence_of(found)


def licence_of(found: Any) -> str:
    """The licence as a library's metadata state it, in a line; "" where they do not."""
    stated = found["License-Expression"] or found["License"] or ""
    if stated and "\n" not in stated and len(stated) < 80:
        return stated
    classifiers = [
        c.rsplit(" :: ", 1)[-1] for c in found.get_all("Classifier") or [] if c.startswith("License")
    ]
    return ", ".join(classifiers)
