"""Signed checkpoints: who vouches that a log stood so at that time.

A chain shows every change but one: entries cut off its end leave a sound chain
behind, and whoever can write the whole file can write a whole new chain. A
checkpoint is a log's length and last hash under a signature; kept with the log
it ties the log to the key, kept elsewhere as well it shows what was cut.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from serinus.bundle.keyring import Keyring
from serinus.bundle.keys import Signature, SigningKey
from serinus.chain.segments import files_below, log_of
from serinus.chain.verify import Break, unreadable
from serinus.errors import SerinusError
from serinus.home import fsync_directory

SUFFIX = ".checkpoints"


class Checkpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A log's state at one time: ``seq`` entries, the last with ``hash``; ``time`` is RFC 3339 in UTC."""

    log: str
    seq: int
    hash: str
    time: str
    signature: Signature

    def text(self) -> str:
        """What is signed."""
        return _text(self.log, self.seq, self.hash, self.time)


def _text(log: str, seq: int, digest: str, time: str) -> str:
    return f"serinus checkpoint v1\nlog {log}\nentries {seq}\nhash {digest}\ntime {time}\n"


def checkpoints_path(log: Path) -> Path:
    """Where a log's checkpoints stand: beside it."""
    return log_of(log).with_suffix(SUFFIX)


def sign_checkpoint(log: Path, seq: int, digest: str, time: str, key: SigningKey) -> Checkpoint:
    """A checkpoint of a log that was just verified up to entry ``seq``, which has hash ``digest``."""
    name = log_of(log).name
    signature = key.sign(_text(name, seq, digest, time))
    return Checkpoint(log=name, seq=seq, hash=digest, time=time, signature=signature)


def append_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Add one to a file of them, durably. Raises ``SRN-AUDIT-002``."""
    line = msgspec.json.encode(checkpoint) + b"\n"
    try:
        new = not path.exists()
        with path.open("ab", buffering=0) as file:
            file.write(line)
            os.fsync(file.fileno())
        if new:
            fsync_directory(path.parent)
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> SerinusError:
    """``SRN-AUDIT-002``."""
    return SerinusError(
        "SRN-AUDIT-002",
        f"the checkpoint cannot be written ({error.strerror})",
        where=str(path),
        hint="Free space on the disk or mend the permissions; the log itself was not touched.",
    )


def read_checkpoints(path: Path) -> list[Checkpoint]:
    """All of a file; none if there is no such file.

    Raises:
        SerinusError: ``SRN-AUDIT-004`` the file cannot be read; ``-008`` a line is no checkpoint.
    """
    try:
        lines = path.read_bytes().splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise unreadable(path, error) from error
    found: list[Checkpoint] = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(msgspec.json.decode(line, type=Checkpoint))
        except msgspec.DecodeError as error:
            raise SerinusError(
                "SRN-AUDIT-008",
                f"line {number} is not a checkpoint ({error})",
                where=str(path),
                hint="A crash may have torn the last line, which may then be removed; any other was altered.",
            ) from error
    return found


def vouched(checkpoints: Iterable[Checkpoint], trusted: Keyring, log: Path) -> dict[int, str]:
    """The hashes that the checkpoints of this log vouch for, by entry number.

    Raises:
        SerinusError: ``SRN-AUDIT-008`` one is of another log, contradicts another, is signed by
            a key that is not trusted here or was retired before, or its signature does not fit.
    """
    name, found = log_of(log).name, dict[int, str]()
    for checkpoint in checkpoints:
        place = f"checkpoint of entry {checkpoint.seq:,}, {checkpoint.time}"
        if checkpoint.log != name:
            raise _false(place, f"it is of the log {checkpoint.log}, not of {name}")
        try:
            trusted.verify(checkpoint.text(), checkpoint.signature, where=place, entry=(name, checkpoint.seq))
        except SerinusError as error:
            signer = f"is signed by the key {checkpoint.signature.key_id}, which"
            what = {
                "SRN-BUNDLE-005": f"{signer} is not trusted here",
                "SRN-BUNDLE-011": f"{signer} was retired before",
            }.get(error.code, "was altered")
            raise _false(place, f"it {what}") from error
        if found.setdefault(checkpoint.seq, checkpoint.hash) != checkpoint.hash:
            raise _false(place, "two sound checkpoints of this entry contradict each other")
    return found


def lost_logs(
    places: Iterable[Path],
    logs: Iterable[Path],
    trusted: Keyring,
    elsewhere: Path | None = None,
    unread: Callable[[SerinusError], None] | None = None,
) -> Iterator[Break]:
    """Logs that sound checkpoints tell of and that are not there at all: no chain is left that could break.

    Args:
        places: directories of logs, whose checkpoints are looked through; files among them are passed over.
        logs: those that were found.
        trusted: whose checkpoints count.
        elsewhere: a directory of copies, which are held against ``logs`` by their names.
        unread: told of each directory that cannot be read.

    Raises:
        SerinusError: as ``read_checkpoints`` and ``vouched``; ``SRN-AUDIT-010`` a directory cannot be read, and
            nobody is to be told.
    """
    there = {log_of(log) for log in logs}
    names = {log.name for log in there}
    kept = sorted(file for place in places for file in files_below(place, SUFFIX, unread))
    kept = [file for file in kept if file.with_suffix(".jsonl") not in there]
    if elsewhere is not None:
        copies = [f for f in files_below(elsewhere, SUFFIX, unread) if f.parent == elsewhere]
        kept += [f for f in copies if f.stem + ".jsonl" not in names]
    told: set[str] = set()
    for file in kept:
        log = file.with_suffix(".jsonl")
        signed = vouched(read_checkpoints(file), trusted, log)
        if signed and log.name not in told:
            told.add(log.name)
            where = log if elsewhere is None or file.parent != elsewhere else Path(log.name)
            yield Break(str(where), 0, 0, f"{file} vouches for {max(signed):,} entries of it")


def newest(checkpoints: Sequence[Checkpoint]) -> Checkpoint | None:
    """The one that reaches furthest."""
    return max(checkpoints, key=lambda checkpoint: checkpoint.seq, default=None)


def _false(place: str, what: str) -> SerinusError:
    return SerinusError(
        "SRN-AUDIT-008",
        f"a checkpoint cannot be relied on: {what}",
        where=place,
        hint="Keep the file as evidence; compare it with the copy of the checkpoints kept elsewhere.",
    )
