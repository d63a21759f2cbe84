"""The archive of an installation: many writers' logs, each with one file that grows."""

from __future__ import annotations

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from serinus.archive.aside import AsideFile
from serinus.archive.chain import read_entry
from serinus.archive.gaps import GapsWriter
from serinus.archive.log import Log
from serinus.archive.outcomes import Outcomes
from serinus.archive.taken import Taken
from serinus.archive.waiting import Waiting, of_one_log
from serinus.chain import GENESIS, Entry, NotAnEntry, segments
from serinus.chain.lock import unwritable
from serinus.errors import SerinusError
from serinus.follow import FEEDBACK
from serinus.home import Home
from serinus.privacy.forgotten import Forgotten
from serinus.privacy.kept import blank_outcomes
from serinus.privacy.seal import key_of

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,199}")
_SEGMENT = re.compile(r"\.\d{6,}$")
_UNNAMED = "unnamed"
_MANY = 16
"""Files open above which each remembers less, so that all of them fit the memory of a small pod."""
_FEW_OUTCOMES = 10_000
_FEW_HASHES = 4_000


class UnusableName(ValueError):  # noqa: N818  what a name is
    """A name under which no log can be kept; the message says why."""


class GapAhead(Exception):  # noqa: N818  what stands in the lines
    """Entries are missing before these lines, and may come yet: nothing was kept, the same may be sent again."""


class Archive:
    """Keeps logs below ``decisions/``; what has no place in one, below ``archive/aside/``; what cannot be written
    there at present, below ``archive/waiting/``.

    A file is the log's name with ``.jsonl``. A chain that begins anew under a name that holds another one (a pod
    that came back with an empty disk) gets a file of its own, ``<name>~<first eight digits of its first hash>.jsonl``.
    Several threads may call it.

    Args:
        rotate_bytes: size at which a file is closed as a segment.
        most_open: logs held open; the one longest unused is closed for another.
        clock: Unix seconds, for when a gap is told.
    """

    def __init__(
        self,
        home: Home,
        *,
        rotate_bytes: int | None = None,
        most_open: int = 64,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._gaps = GapsWriter(home.root, clock)
        self._forgotten = Forgotten(home.root)
        self._directory = home.decisions
        self._aside = home.root / "archive" / "aside"
        self._waiting = home.root / "archive" / "waiting"
        self._rotate_bytes = rotate_bytes
        self._most_open = most_open
        self._open: OrderedDict[str, Log] = OrderedDict()
        self._current: dict[str, str] = {}
        self._feedback: OrderedDict[str, Outcomes] = OrderedDict()
        self._waits: dict[str, Waiting] = {}
        self._damaged: dict[str, str] = {}
        self._unnamed: AsideFile | None = None
        self._lock = threading.Lock()
        self._held: dict[str, tuple[int, int]] = {}

    def take(self, name: str, lines: Sequence[bytes], *, patience: int = 0, may_wait: bool = False) -> Taken:
        """Lines of a log in the order in which they came. On return they are on the disk.

        Args:
            patience: how often lines with a gap before them are sent back. A sender that reads files may look
                just while one is rotated, and finds at its next look what it left out.
            may_wait: where that log alone cannot be written, its lines are kept below ``archive/waiting/``, so
                that others behind them are not held up; ``bring_back`` puts them into the log.

        Raises:
            UnusableName: nothing was kept.
            GapAhead: entries are missing, and patience is not at its end.
            SerinusError: ``SRN-AUDIT-001`` another process writes that log; ``-002`` the disk is full or not to be
                written; ``-003`` the log's end was changed. Some may be kept: send all of them again.
        """
        check_name(name)
        with self._lock:
            if not may_wait:
                return self._take(name, lines, patience)
            try:
                waiting = self._waiting_of(name)
            except OSError as error:
                raise unwritable(self._waiting, error) from error
            why = self._damaged.get(name, "")
            if not waiting:
                try:
                    return self._take(name, lines, patience)
                except SerinusError as error:
                    if not of_one_log(error):
                        raise
                    why = str(error)
            try:
                waiting.add(lines, why)
            except OSError as error:
                raise unwritable(waiting.path, error) from error
            self._damaged[name] = why
            return Taken(waiting=len(lines), why=why)

    def bring_back(self, most: int = 2000) -> list[tuple[str, Taken]]:
        """Put some of the lines that wait into each log that can be written again; names, and what became of them.

        Raises:
            SerinusError: as ``take``, for what is not of one log alone. Nothing is lost: call it again.
        """
        found: list[tuple[str, Taken]] = []
        for path in sorted(self._waiting.glob("*.jsonl")):
            name = path.stem
            with self._lock:
                try:
                    taken = self._bring_back(name, path, most)
                except SerinusError as error:
                    if not of_one_log(error):
                        raise
                    self._damaged[name] = str(error)
                    continue
            if taken is not None:
                found.append((name, taken))
        return found

    def waits(self) -> bool:
        """Whether lines wait for their log."""
        return any(self._waiting.glob("*.jsonl"))

    def damaged(self) -> dict[str, str]:
        """Logs that could not be written when they were last tried, and have lines that wait; why."""
        with self._lock:
            return dict(self._damaged)

    def set_aside(self, why: str, lines: Sequence[bytes]) -> Taken:
        """Keep lines that are of no log. Raises as ``take``."""
        with self._lock:
            path = self._aside / f"{_UNNAMED}.jsonl"
            try:
                file = self._unnamed or AsideFile(path)
                self._unnamed = None  # what a failed write left is found out anew
                new = file.add([(why, line) for line in lines])
                self._unnamed = file
            except OSError as error:
                raise unwritable(path, error) from error
            return Taken(aside=new, duplicate=len(lines) - new, why=why if new else "")

    def feedback(self, name: str, lines: Sequence[bytes]) -> Taken:
        """Outcomes that a scorer was sent: no chain, so the same line counts once among the latest 50,000, or 10,000 of
        a file while more than 16 are open.

        Raises:
            UnusableName: nothing was kept.
            SerinusError: ``SRN-AUDIT-002`` the disk is full or not to be written; send all of them again.
        """
        check_name(name)
        with self._lock:
            path = self._directory / f"{name}{FEEDBACK}jsonl"
            try:
                file = self._feedback.pop(name, None) or Outcomes(path)
                if len(self._feedback) >= _MANY:
                    for each in (*self._feedback.values(), file):
                        each.remember(_FEW_OUTCOMES)
                taken = file.take(lines, self._forgotten.holds)
            except OSError as error:
                raise unwritable(path, error) from error
            self._feedback[name] = file
            while len(self._feedback) > self._most_open:
                self._feedback.popitem(last=False)
            return taken

    def forget(self, before: float) -> int:
        """Remove files that were last written before that time (Unix seconds); how many.

        Closed segments go, and a whole log once its live file is as old. Of a log that lives the newest segment
        stays: an empty live file after it takes its place in the chain from there.
        """
        removed = 0
        with self._lock:
            for live in sorted(self._directory.glob("*.jsonl")):
                if _SEGMENT.search(live.stem):
                    continue
                if not _older(live, before):
                    removed += _remove(_older_segments(live, before)[:-1])
                    continue
                self._forget(live.stem)
                self._feedback.pop(live.name.partition(FEEDBACK)[0], None)
                removed += _remove([*(path for _, path in segments(live)), live])
        return removed

    def close(self) -> None:
        """Release the files and their locks."""
        with self._lock:
            while self._open:
                self._open.popitem()[1].close()

    # -----------------------------------------------------------------------

    def _bring_back(self, name: str, path: Path, most: int) -> Taken | None:
        """Some lines of one log that wait; None if no more do. Raises SerinusError."""
        try:
            waiting = self._waiting_of(name)
            lines, place = waiting.next(most)
            if lines:
                taken = self._take(name, lines, 0)
                waiting.reached(place)
                return taken
            waiting.end()
        except OSError as error:
            raise unwritable(path, error) from error
        self._waits.pop(name, None)
        self._damaged.pop(name, None)
        return None

    def _take(self, name: str, lines: Sequence[bytes], patience: int) -> Taken:
        total = Taken()
        start = 0
        while start < len(lines):
            life = name
            try:  # which chain it is says what stands in the files, and they may not be readable
                life, stop = self._run(name, lines, start)
                log = self._log(life)
                part = lines[start:stop]
                self._note_erased(part)
                total += log.take(part, lambda gap, life=life: self._hold(life, gap, patience))
            except OSError as error:
                self._forget(life)
                raise unwritable(self._place_of(life, error), error) from error
            except BaseException:
                self._forget(life)  # what stands in the file is found out anew
                raise
            start = stop
        return total

    def _note_erased(self, lines: Sequence[bytes]) -> None:
        """Decisions that come after their person was erased are closed; their outcomes must not be kept either.

        Noted before they are kept: a kill between would leave it out for good.
        """
        self._forgotten.look()
        if self._forgotten.keys:
            found = {_id_of(line) for line in lines if key_of(line) in self._forgotten.keys}
            new = found - self._forgotten.ids - {""}
            if new:
                self._forgotten.note((), new)
                blank_outcomes(self._directory, new)  # those that came before their decision

    def _waiting_of(self, name: str) -> Waiting:
        found = self._waits.get(name)
        if found is None:
            found = Waiting(self._waiting / f"{name}.jsonl")
            if found:
                self._waits[name] = found
        return found

    def _hold(self, life: str, gap: int, patience: int) -> None:
        """Raises ``GapAhead`` for the first looks at a gap."""
        before, times = self._held.get(life, (0, 0))
        times = times if before == gap else 0
        if times < patience:
            self._held[life] = (gap, times + 1)
            raise GapAhead(f"entries before {gap:,} are missing")
        self._held.pop(life, None)

    def _run(self, name: str, lines: Sequence[bytes], start: int) -> tuple[str, int]:
        """Which chain of that name the next lines are of, and up to where: the next that begins anew."""
        stop = next(
            (i for i in range(start + 1, len(lines)) if lines[i].startswith(b'{"seq":1,')), len(lines)
        )
        try:
            entry = read_entry(lines[start])
        except NotAnEntry:
            return self._current.get(name, name), stop
        lives = self._lives(name)
        life = next((life for life in lives if self._log(life).chain.follows(entry)), None)
        if life is None and _first(entry) and self._log(name).chain.seq > 0:
            life = f"{name}~{entry.hash[:8]}"
        self._current[name] = life or lives[0]
        return self._current[name], stop

    def _lives(self, name: str) -> list[str]:
        """Chains of that name, the one written last first."""
        current = self._current.get(name)
        found = [current] if current else []
        paths = [*self._directory.glob(f"{name}~????????.jsonl"), *self._directory.glob(f"{name}.jsonl")]
        written = {path.stem: path.stat().st_mtime_ns for path in paths}
        found += sorted(written, key=lambda life: written[life], reverse=True)
        return list(dict.fromkeys([*found, name]))

    def _log(self, life: str) -> Log:
        log = self._open.pop(life, None)
        if log is None:
            aside = self._aside / f"{life}.jsonl"
            log = Log(self._directory / f"{life}.jsonl", aside, self._gaps, self._rotate_bytes)
            if len(self._open) >= _MANY:
                for each in (*self._open.values(), log):
                    each.remember(_FEW_HASHES)
        self._open[life] = log
        while len(self._open) > self._most_open:
            self._open.popitem(last=False)[1].close()
        return log

    def _place_of(self, life: str, error: OSError) -> Path:
        """The file of which the operating system said it, if it said so: it may be a segment."""
        named = error.filename
        return Path(named) if isinstance(named, str) else self._directory / f"{life}.jsonl"

    def _forget(self, life: str) -> None:
        log = self._open.pop(life, None)
        if log is not None:
            log.close()


def check_name(name: str) -> None:
    """Raises ``UnusableName`` for what cannot be a log's name."""
    if not _NAME.fullmatch(name):
        raise UnusableName("a log's name has letters, digits, and . _ @ - between them, 200 at most")
    if FEEDBACK in f"{name}." or name.endswith(".review") or _SEGMENT.search(name):
        raise UnusableName("that is the name of outcomes, of answers, or of a segment")


def _older(path: Path, before: float) -> bool:
    try:
        return path.stat().st_mtime < before
    except FileNotFoundError:
        return False


def _older_segments(live: Path, before: float) -> list[Path]:
    """Closed segments, oldest first, that may go; the list ends with one that may not."""
    found = [path for _, path in segments(live)]
    keep = next((i for i, path in enumerate(found) if not _older(path, before)), len(found) - 1)
    return found[: keep + 1]


def _remove(paths: Sequence[Path]) -> int:
    for path in paths:
        path.unlink(missing_ok=True)
    return len(paths)


def _first(entry: Entry) -> bool:
    return entry.seq == 1 and entry.prev == GENESIS


class _Body(msgspec.Struct, frozen=True):
    id: str = ""


class _Line(msgspec.Struct, frozen=True):
    body: _Body


def _id_of(line: bytes) -> str:
    try:
        return msgspec.json.decode(line, type=_Line).body.id
    except msgspec.DecodeError:
        return ""
