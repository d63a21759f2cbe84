"""Where a demo plays: a directory of its own, emptied, and nobody else's meanwhile."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Generator

from serinus.errors import SerinusError
from serinus.home import Home
from serving.local.cli import lock_owner


@contextlib.contextmanager
def own_place(parent: Home, case: str) -> Generator[Home]:
    """The demo's directory below an installation, emptied, and held until the end.

    Raises:
        SerinusError: ``SRN-HOME-002`` nothing can be written there;
            ``SRN-DEMO-006`` another demo of this case plays there;
            ``SRN-PLATFORM-002`` a platform that an earlier one left up still runs there.
    """
    root = parent.root / "demo"
    _ = Home(root / case).cache  # made here, with a clear error where that cannot be
    descriptor = os.open(root / f"{case}.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SerinusError(
                "SRN-DEMO-006",
                f"a {case} demo is being played here already",
                where=str(root / case),
                hint="Wait for it to end, or give this one a --home of its own.",
            ) from None
        owner = lock_owner(Home(root / case))
        if owner is not None:
            raise SerinusError(
                "SRN-PLATFORM-002",
                f"a platform is still running here (process {owner})",
                where=str(root / case),
                hint=f"Take it down first: serinus down --home {root / case}",
            )
        yield fresh_home(parent, case)
    finally:
        os.close(descriptor)


def fresh_home(parent: Home, case: str) -> Home:
    """The demo's own place below an installation, emptied; its cache is kept so that a second run is quick."""
    root = parent.root / "demo" / case
    if root.exists():
        for part in root.iterdir():
            if part.name == "cache":
                continue
            if part.is_dir() and not part.is_symlink():
                shutil.rmtree(part, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    part.unlink()
    return Home(root)
