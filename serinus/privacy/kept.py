"""What an installation keeps of a person: their entries in the logs, and the outcomes of those."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import msgspec

from serinus.chain import Gaps, Place, find_logs, read_on
from serinus.errors import SerinusError
from serinus.events import Feedback
from serinus.privacy.seal import key_of

FEEDBACK = "*.feedback*.jsonl"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A sealed entry: its log, request id, time (RFC 3339), model, and the whole body."""

    log: Path
    id: str
    time: str
    model: str
    body: bytes


class _Data(msgspec.Struct, frozen=True):
    model: str


class _Head(msgspec.Struct, frozen=True):
    id: str
    time: str
    data: _Data


_head = msgspec.json.Decoder(_Head).decode
_feedback = msgspec.json.Decoder(Feedback).decode


def entries_of(places: Sequence[Path], keys: Collection[str], gaps: Gaps | None = None) -> Iterator[Entry]:
    """Entries sealed with any of these keys, log by log, the logs verified as they are read.

    Args:
        gaps: told by the archive; a log that breaks just there is read on, since a person's entries stand behind too.

    Raises:
        SerinusError: ``SRN-AUDIT-003`` a log is broken elsewhere; ``-004`` it cannot be read.
    """
    if not keys:
        return
    for log in find_logs(places):
        for body in read_on(log, Place((gaps or Gaps()).of(log))):
            if key_of(body) in keys:
                head = _head(body)
                yield Entry(log=log, id=head.id, time=head.time, model=head.data.model, body=body)


def outcomes_of(directory: Path, ids: Collection[str]) -> list[Feedback]:
    """Outcomes sent for these decisions, of each request the rows that are meant."""
    found: list[Feedback] = []
    for path in sorted(directory.glob(FEEDBACK)):
        for line in _lines(path):
            kept = _read(line)
            if kept is None:
                continue
            rows = kept.truth or []
            whole = kept.request_id in ids
            mine = [row for i, row in enumerate(rows) if row and (whole or f"{kept.request_id}.{i}" in ids)]
            if whole or mine:
                found.append(msgspec.structs.replace(kept, truth=mine or None))
    return found


def blank_outcomes(directory: Path, ids: Collection[str]) -> int:
    """Overwrite the outcomes of these decisions with blanks, where they stand; how many lines.

    The files are no chains. A line keeps its length, so whoever appends or follows is not disturbed;
    of a batch only the rows that are meant lose their outcome.

    Raises:
        SerinusError: ``SRN-PRIVACY-008`` a file cannot be written.
    """
    if not ids:
        return 0
    blanked = 0
    for path in sorted(directory.glob(FEEDBACK)):
        try:
            with path.open("r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)  # an archive that appends looks who is erased under it
                at = 0
                for line in file:
                    fresh = without(line, ids)
                    if fresh is not None:
                        os.pwrite(file.fileno(), fresh, at)
                        blanked += 1
                    at += len(line)
                if blanked:
                    os.fsync(file.fileno())
        except OSError as error:
            raise SerinusError(
                "SRN-PRIVACY-008",
                f"the outcomes cannot be overwritten ({error.strerror})",
                where=str(path),
                hint="Mend the permissions and repeat the erasure; it goes on where it stopped.",
            ) from error
    return blanked


def without(line: bytes, ids: Collection[str]) -> bytes | None:
    """A line (with its end) without these outcomes, as long as it was; None where it holds none of them."""
    kept = _read(line)
    if kept is None or not line.endswith(b"\n"):
        return None
    if kept.request_id in ids:
        return b" " * (len(line) - 1) + b"\n"
    if not kept.truth:
        return None
    rows = [[] if row and f"{kept.request_id}.{i}" in ids else row for i, row in enumerate(kept.truth)]
    if rows == kept.truth:
        return None
    fresh = msgspec.json.encode(msgspec.structs.replace(kept, truth=rows))
    return fresh.ljust(len(line) - 1) + b"\n" if len(fresh) < len(line) else b" " * (len(line) - 1) + b"\n"


def _read(line: bytes) -> Feedback | None:
    try:
        return _feedback(line)
    except msgspec.DecodeError:
        return None


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from file
