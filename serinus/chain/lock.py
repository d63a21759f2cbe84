"""One writer a chain: two would each continue the same entry."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import BinaryIO

from serinus.errors import SerinusError


def lock(path: Path, *, what: str, hint: str) -> BinaryIO:
    """Hold ``path``'s lock until the file returned is closed.

    It is a file of its own beside it, since the file itself may change its name.

    Raises:
        SerinusError: ``SRN-AUDIT-001`` another process holds it: ``what`` and ``hint`` say so;
            ``-002`` there can be no file there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        held = path.with_name(path.name + ".lock").open("ab")
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        held.close()
        raise SerinusError("SRN-AUDIT-001", what, where=str(path), hint=hint) from error
    return held


def unwritable(path: Path, error: OSError) -> SerinusError:
    """``SRN-AUDIT-002``, for what the operating system said."""
    return SerinusError(
        "SRN-AUDIT-002",
        f"the log cannot be written ({error.strerror})",
        where=str(path),
        hint="Free space on the disk or mend the permissions; what was acknowledged so far is kept.",
    )
