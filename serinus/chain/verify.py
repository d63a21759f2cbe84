"""Verification of whole logs: every hash, every link, every segment, in bounded memory.

One loop serves reading and verifying. It compares each line with the only form
a sound line can have, which needs no JSON decoding; a line that differs is then
looked at closely, to say what is wrong with it.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import msgspec

from serinus.chain.gaps import Gap, GapsOfLog
from serinus.chain.link import GENESIS, Entry, NotAnEntry, decode_entry, entry_hash
from serinus.chain.segments import segment_number, segment_path, segments
from serinus.errors import SerinusError

_CHUNK = 1 << 20
LONGEST = 16 << 20
"""Bytes a line may have; more is no entry, and must not fill the memory."""


class Break(msgspec.Struct, frozen=True):
    """Where and how a chain breaks. ``line`` counts in ``file``, ``entry`` in the whole log."""

    file: str
    line: int
    entry: int
    what: str


class Verification(msgspec.Struct, frozen=True):
    """What was found. ``first`` is the first entry's number: 1, unless a lone segment was verified.

    Attributes:
        log: the path asked for.
        files: segments and live file read.
        entries: sound entries, up to the break if there is one.
        head: hash of the last sound entry.
        size: bytes read.
        broken: the first break; None for a sound log.
    """

    log: str
    files: int
    first: int
    entries: int
    head: str
    size: int
    broken: Break | None = None


class Place:
    """How far a scan has come; its owner reads it between entries.

    Args:
        known: gaps at which the scan goes on.

    Attributes:
        gaps: those that it passed, in order.
    """

    __slots__ = ("anchor", "file", "files", "first", "gaps", "head", "known", "line", "seq", "size")

    def __init__(self, known: GapsOfLog | None = None) -> None:
        self.known = known or {}
        self.gaps: list[Gap] = []
        self.file = Path()
        self.files = 0
        self.line = 0
        self.first = 1
        self.seq = 0
        self.anchor = GENESIS
        self.head = GENESIS.encode()
        self.size = 0


class Broken(Exception):  # noqa: N818  a finding, not a fault
    """Raised by ``scan`` at the first thing wrong; ``missing`` are the numbers that are left out there."""

    def __init__(self, found: Break, missing: range = range(0)) -> None:
        super().__init__(found.what)
        self.found = found
        self.missing = missing


def verify_log(
    log: Path,
    *,
    known: Mapping[int, str] | None = None,
    progress: Callable[[int], None] = lambda size: None,
) -> Verification:
    """Verify a log with all its segments, or one segment by itself. Never raises for what it finds.

    Args:
        log: the live log; or a closed segment, whose first link is then taken as given.
        known: hashes noted elsewhere, by entry number, that the log must still hold.
        progress: told the bytes read so far, about once a mebibyte.

    Raises:
        SerinusError: ``SRN-AUDIT-004`` the log cannot be read.
    """
    place = Place()
    wanted = dict(known or {})
    broken: Break | None = None
    try:
        if wanted:
            for _ in scan(log, place, progress):
                digest = wanted.pop(place.seq, None)
                if digest is not None and digest.encode() != place.head:
                    raise Broken(_at(place, place.seq, "its hash is not the one noted elsewhere"))
        else:
            for _ in scan(log, place, progress):
                pass
        beyond = [seq for seq in wanted if seq > place.seq]
        if beyond:
            what = f"ends at entry {place.seq:,}, but entry {max(beyond):,} was noted elsewhere"
            raise Broken(_at(place, place.seq, what))
    except Broken as found:
        broken = found.found
        removed = sorted(seq for seq in wanted if seq in found.missing)
        if removed:  # not lost on the way here: it stood in this log
            numbers = ", ".join(f"{seq:,}" for seq in removed)
            what = f"{broken.what}, but entry {numbers} was noted elsewhere: it was here, and was removed"
            broken = msgspec.structs.replace(broken, what=what)
    return Verification(
        log=str(log),
        files=place.files,
        first=place.first,
        entries=max(0, place.seq - place.first + 1),
        head=place.head.decode(),
        size=place.size,
        broken=broken,
    )


def scan(log: Path, place: Place, progress: Callable[[int], None] = lambda size: None) -> Iterator[bytes]:
    """The bodies of a log's entries, each verified before it is given; ``place`` tells where it stands.

    Raises:
        Broken: at the first entry that is not what it should be.
        SerinusError: ``SRN-AUDIT-004`` the log cannot be read.
    """
    alone = segment_number(log) is not None
    try:
        for path, file in open_files(log, alone, place):
            with file:
                place.file, place.line = path, 0
                place.files += 1
                yield from _scan_file(file, place, progress, anchor=alone)
    except OSError as error:
        raise unreadable(log, error) from error


def open_files(log: Path, alone: bool, place: Place) -> Generator[tuple[Path, BinaryIO]]:
    """Open files in the order of the chain, while a writer may be closing segments."""
    if alone:
        yield log, log.open("rb")
        return
    done = 0
    while True:
        for number, path in segments(log):
            if number <= done:
                continue
            if number != done + 1:
                place.file, place.line = segment_path(log, done + 1), 0
                raise Broken(_at(place, place.seq + 1, "this segment is missing"))
            yield path, path.open("rb")
            done = number
        try:
            live = log.open("rb")
        except FileNotFoundError:
            # Between closing a segment and its successor's first entry there is no live file.
            if done and not any(number > done for number, _ in segments(log)):
                return
            if not done:
                raise
            continue
        if any(number > done for number, _ in segments(log)):
            live.close()
            continue
        yield log, live
        return


def _scan_file(
    file: BinaryIO, place: Place, progress: Callable[[int], None], *, anchor: bool
) -> Iterator[bytes]:
    sha256 = hashlib.sha256
    rest = b""
    if anchor:
        _anchor(file, place)
    waited = 0
    while True:
        chunk = file.read(_CHUNK)
        if not chunk:
            if not rest:
                return
            # A writer may be in the middle of this line: it has half a second to end it.
            if waited == 50:
                place.line += 1
                raise Broken(
                    _at(
                        place,
                        place.seq + 1,
                        "is torn: by a crash, after which the writer cuts it off when it starts again, or by hand",
                    )
                )
            waited += 1
            time.sleep(0.01)
            continue
        waited = 0
        place.size += len(chunk)
        progress(place.size)
        lines = (rest + chunk).split(b"\n") if rest else chunk.split(b"\n")
        rest = lines.pop()
        seq, head, number = place.seq, place.head, place.line
        for line in lines:
            number += 1
            start = b'{"seq":%d,"prev":"%b","hash":"' % (seq + 1, head)
            at = len(start)
            body = line[at + 73 : -1]
            digest = sha256(b"%b\n%d\n%b" % (head, seq + 1, body)).hexdigest().encode()
            if line != b'%b%b","body":%b}' % (start, digest, body):
                place.line = number
                place.seq, place.head = seq, head
                seq, body, digest = _closely(line, place)
            else:
                seq += 1
            head = digest
            place.seq, place.head, place.line = seq, head, number
            yield body
        if len(rest) > LONGEST:
            place.line += 1
            raise Broken(_at(place, place.seq + 1, "is longer than any entry"))


def _anchor(file: BinaryIO, place: Place) -> None:
    """Take a lone segment's first link as given."""
    first = file.readline(LONGEST)
    file.seek(0)
    try:
        entry = decode_entry(first)
    except NotAnEntry:
        return
    place.first, place.seq, place.anchor = entry.seq, entry.seq - 1, entry.prev
    place.head = entry.prev.encode()


def _closely(line: bytes, place: Place) -> tuple[int, bytes, bytes]:
    """Number, body and hash of an unusually written but sound line, or of the one behind a known gap; otherwise
    Broken says what is wrong."""
    expected = place.seq + 1
    try:
        entry = decode_entry(line)
    except NotAnEntry as error:
        raise Broken(_at(place, expected, f"is not an entry ({error})")) from error
    if entry.seq != expected:
        gap = place.known.get((place.seq, entry.seq))
        if gap is not None and gap.fits(place.head.decode(), entry) and _by_itself(entry):
            place.gaps.append(gap)
            return entry.seq, bytes(entry.body), entry.hash.encode()
        if entry.seq > expected:
            missing = f"{expected:,}" if entry.seq == expected + 1 else f"{expected:,} to {entry.seq - 1:,}"
            what = f"entry {entry.seq:,} stands here; {missing} missing"
        else:
            what = f"entry {entry.seq:,} stands here again, or was moved"
        raise Broken(_at(place, expected, what), range(expected, entry.seq))
    if entry.prev.encode() != place.head:
        raise Broken(_at(place, expected, "the entry before it was changed, removed or moved"))
    body = bytes(entry.body)
    digest = entry_hash(place.head, expected, body)
    if digest != entry.hash.encode():
        raise Broken(_at(place, expected, "the entry was changed"))
    return expected, body, digest


def _by_itself(entry: Entry) -> bool:
    """Whether its hash is that of what it holds."""
    return entry_hash(entry.prev.encode(), entry.seq, bytes(entry.body)) == entry.hash.encode()


def _at(place: Place, entry: int, what: str) -> Break:
    return Break(str(place.file), place.line, entry, what)


def unreadable(path: Path, error: OSError) -> SerinusError:
    """``SRN-AUDIT-004``."""
    return SerinusError(
        "SRN-AUDIT-004",
        f"the log cannot be read ({error.strerror})",
        where=str(path),
        hint="Give the path of an audit or decision log.",
    )
