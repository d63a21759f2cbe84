"""Looking up what a log holds already."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from serinus.chain import NotAnEntry, decode_entry, segments

_RECENT = 20_000


class KeptHashes:
    """The hash of a log's entry by its number: at once for what was added here, else by reading on in the files.

    Whoever sends a log again asks in its order, so one pass over the files answers all of it.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        self._recent: dict[int, str] = {}
        self._most = _RECENT
        self._reading: Iterator[tuple[int, str]] | None = None
        self._at: tuple[int, str] = (0, "")

    def add(self, seq: int, digest: str) -> None:
        """An entry that will be in the file before ``settled`` is called."""
        self._recent[seq] = digest

    def settled(self) -> None:
        """All that was added is in the file."""
        if len(self._recent) > 2 * self._most:
            self._recent = dict(list(self._recent.items())[-self._most :])

    def remember(self, most: int) -> None:
        """So many of what was added, twice as many at times; the rest is read in the files. All of it is settled."""
        self._most = most
        self.settled()

    def __call__(self, seq: int) -> str | None:
        """The hash; None if the log does not hold that entry. Raises OSError."""
        found = self._recent.get(seq)
        if found is not None:
            return found
        for _ in range(2):
            if self._reading is None or seq < self._at[0]:
                self._reading, self._at = self._read(), (0, "")
            while self._at[0] < seq:
                following = next(self._reading, None)
                if following is None:
                    break
                self._at = following
            if self._at[0] >= seq:
                return self._at[1] if self._at[0] == seq else None
            self._reading = None  # it ended before: what was rotated meanwhile is found from the start
        return None

    def _read(self) -> Iterator[tuple[int, str]]:
        done = 0
        while True:
            path = next((path for number, path in segments(self._log) if number > done), None)
            done += 1
            try:
                with (path or self._log).open("rb") as file:
                    for line in file:
                        try:
                            entry = decode_entry(line.rstrip(b"\n"))
                        except NotAnEntry:
                            continue  # a line being written; or one that `audit verify` will name
                        yield entry.seq, entry.hash
            except FileNotFoundError:
                return
            if path is None:
                return
