"""Where one installation keeps its things, and how a file is written whole or not at all."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from serinus.errors import SerinusError


@dataclass(frozen=True)
class Home:
    """The directory of one installation; its parts are created when first asked for."""

    root: Path

    def _part(self, name: str, mode: int = 0o755) -> Path:
        path = self.root / name
        try:
            path.mkdir(parents=True, exist_ok=True, mode=mode)
        except OSError as error:
            raise unwritable(path, error) from error
        return path

    @property
    def bundles(self) -> Path:
        """Immutable bundles, one directory each, named by digest."""
        return self._part("bundles")

    @property
    def registry_db(self) -> Path:
        """The SQLite file of the registry."""
        return self._part(".") / "registry.db"

    @property
    def access_db(self) -> Path:
        """The SQLite file of delegations and overrides."""
        return self._part(".") / "access.db"

    @property
    def policy(self) -> Path:
        """The access policy in force, if there is one; else the built-in one is."""
        return self.root / "policy.yaml"

    @property
    def keys(self) -> Path:
        """The signing key and the trusted public keys; readable by the owner only."""
        return self._part("keys", 0o700)

    @property
    def audit(self) -> Path:
        """The hash-chained audit log."""
        return self._part("audit")

    @property
    def runs(self) -> Path:
        """Pipeline runs: artefacts and logs."""
        return self._part("runs")

    @property
    def cache(self) -> Path:
        """Step results by their inputs; may be deleted at any time."""
        return self._part("cache")

    @property
    def platform(self) -> Path:
        """The embedded platform: Envoy's files, state, logs."""
        return self._part("platform")

    @property
    def decisions(self) -> Path:
        """Decision logs, one file per writer."""
        return self._part("decisions")

    @property
    def lineage(self) -> Path:
        """OpenLineage events, one file a pipeline run."""
        return self._part("lineage")

    @property
    def reports(self) -> Path:
        """Reports of rollouts and runs."""
        return self._part("reports")


def find_home(explicit: str | Path | None = None) -> Home:
    """The installation: ``--home``, else ``$SERINUS_HOME``, else ``./.serinus``."""
    root = explicit or os.environ.get("SERINUS_HOME") or ".serinus"
    return Home(Path(root).absolute())


def existing_home(explicit: str | Path | None = None, *, needed: bool = True) -> Home:
    """The installation, for whoever makes none: a mistyped path is told, and not made.

    Args:
        needed: False where everything asked for was named, and only an installation that is named
            as well has to be there.

    Raises:
        SerinusError: ``SRN-HOME-003`` it is not there.
    """
    home = find_home(explicit)
    named = explicit or os.environ.get("SERINUS_HOME")
    if (needed or named) and not home.root.is_dir():
        how = "Check --home and SERINUS_HOME" if named else "Name one with --home or SERINUS_HOME"
        raise SerinusError(
            "SRN-HOME-003",
            "no installation is there",
            where=str(home.root),
            hint=f"{how}; serinus pipeline run makes one.",
        )
    return home


def beside(home: Home) -> str:
    """For who finds nothing in a home: where the demo, which keeps a home of its own for each case, left something.

    Empty where it left nothing.
    """
    found = sorted(path.parent for path in (home.root / "demo").glob("*/registry.db"))
    return (
        f" What `serinus demo` left is in a home of its own: --home {' or '.join(map(str, found))}."
        if found
        else ""
    )


def atomic_write(path: Path, data: bytes | str) -> None:
    """Write a file so that a reader sees the old content or the new, never a part.

    The data reach the disk before the name does, so a crash or a full disk
    leaves the old file in place.

    Raises:
        SerinusError: ``SRN-HOME-001`` the disk is full; ``SRN-HOME-002`` the
            place cannot be written.
    """
    with replacing(path) as file:
        file.write(data.encode("utf-8") if isinstance(data, str) else data)


@contextmanager
def replacing(path: Path) -> Generator[BinaryIO]:
    """A file to be filled that takes its name once all of it is on the disk. Raises as ``atomic_write``."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException as error:
        # Ctrl-C too leaves nothing half-written.
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise unwritable(path, error) from error
        raise


def fsync_directory(path: Path) -> None:
    """Make the names in a directory durable, not only the files' content."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def unwritable(path: Path, error: OSError) -> SerinusError:
    """``SRN-HOME-001`` the disk is full, or ``SRN-HOME-002``."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return SerinusError(
            "SRN-HOME-001",
            "the disk is full; nothing was changed",
            where=str(path),
            hint="Free some space (serinus keeps runs and logs below --home) and run the command again.",
        )
    return SerinusError(
        "SRN-HOME-002",
        f"cannot be written ({error.strerror or error})",
        where=str(path),
        hint="Check that the directory exists and who may write there, or name another place; the installation's is "
        "--home or SERINUS_HOME.",
    )
