"""Bringing an object here: resumed after a loss, checked against its hash, whole or not at all."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from serinus.errors import SerinusError
from serinus.home import unwritable
from serinus.storage.port import ObjectStore, StoreUnavailable, altered, unavailable

_PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)


@dataclass
class Budget:
    """What a transfer may take.

    Args:
        seconds: for all of it, counted from the making of this object.
        size: most bytes of one object.
    """

    seconds: float
    size: int
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def __post_init__(self) -> None:
        self._end = self.clock() + self.seconds

    @property
    def left(self) -> float:
        """Seconds left; 0 when it is used up."""
        return max(0.0, self._end - self.clock())


def download(
    store: ObjectStore, name: str, target: Path, budget: Budget, *, size: int | None = None, sha256: str = ""
) -> int:
    """Write an object to ``target``; what is there of it already is not asked for again.

    Where a loss interrupts it, it goes on from the byte where it was, as long as tries
    bring something or the last few brought nothing for no longer than half a minute.

    Args:
        target: a partial file of this name is taken as the object's beginning.
        size, sha256: what the object must have; without them what comes is believed.

    Returns:
        Bytes received now.

    Raises:
        SerinusError: ``SRN-STORE-002`` to ``-004`` of the store; ``-006`` it is larger than the budget
            or not what it should be; ``-007`` the time is used up; ``SRN-HOME-001`` the disk is full,
            ``-002`` not writable.
    """
    where = f"{store.where}/{name}"
    limit = budget.size if size is None else size
    if limit > budget.size:
        raise _too_large(where, f"{limit:,} bytes", budget.size)
    if size is None or _present(target) > size:
        target.unlink(missing_ok=True)  # of unknown origin: begin anew
    resumed, received, fruitless = _present(target) > 0, 0, 0
    while True:
        start = _present(target)
        trouble = None
        if size is None or start < size:
            try:
                _append(store, name, target, start, limit, budget, where)
            except StoreUnavailable as error:
                trouble = error
        now = _present(target)
        received += now - start
        if trouble is None and size is not None and start < now < size:
            trouble = unavailable(where, f"the answer ended after {now:,} of {size:,} bytes")
        if trouble is not None:
            fruitless = 0 if now > start else fruitless + 1
            pause = _PAUSES[min(fruitless, len(_PAUSES) - 1)]
            if fruitless > len(_PAUSES) or budget.left <= pause:
                raise trouble
            budget.sleep(pause)
            continue
        wrong = _wrong(target, size, sha256)
        if not wrong:
            return received
        target.unlink(missing_ok=True)
        if not resumed:
            raise altered(where, wrong)
        resumed = False  # the old beginning may have been at fault: once more, from the start


def _append(
    store: ObjectStore, name: str, target: Path, start: int, limit: int, budget: Budget, where: str
) -> None:
    written = start
    try:
        with target.open("ab") as file:
            for chunk in store.read(name, start):
                written += len(chunk)
                if written > limit:
                    raise _too_large(where, f"more than {limit:,} bytes", limit)
                file.write(chunk)
                if not budget.left:
                    raise out_of_time(where, budget.seconds)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise unwritable(target, error) from error


def out_of_time(where: str, seconds: float) -> SerinusError:
    """``SRN-STORE-007``."""
    return SerinusError(
        "SRN-STORE-007",
        f"it took more than {seconds:g} s",
        where=where,
        hint="Give it more time (--timeout), or find out why the store is slow; what has come is kept, and the "
        "next try goes on from there.",
    )


def _wrong(target: Path, size: int | None, sha256: str) -> str:
    if size is not None and (present := _present(target)) != size:
        return f"{present:,} bytes, not {size:,}"
    if sha256:
        with target.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != sha256:
            return f"sha256 {found}, not {sha256}"
    return ""


def _present(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _too_large(where: str, what: str, limit: int) -> SerinusError:
    return SerinusError(
        "SRN-STORE-006",
        f"it has {what}, and {limit:,} are allowed",
        where=where,
        hint="If that is right, allow more (--max-size); otherwise it is not what it should be.",
    )
