"""A source of messages, and the turn that keeps what it gives."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Protocol

import msgspec

from serinus.archive import Archive, UnusableName
from serinus.errors import SerinusError
from serving.archive.board import Board

_SLOWEST = 30.0
_WAITING = "waiting"
"""The source of lines that waited for their log."""


class Item(msgspec.Struct, frozen=True):
    """A message: of which writer, and the line."""

    writer: str
    line: bytes


class Batch(msgspec.Struct, frozen=True):
    """Some messages, in order, and the places behind them."""

    items: Sequence[Item]
    places: Mapping[str, int]


class Source(Protocol):
    """Where messages come from."""

    @property
    def name(self) -> str:
        """For metrics and people."""
        ...

    def read(self) -> Batch | None:
        """The next messages; None if there are none at present. Raises SerinusError: none can be had now."""
        ...

    def done(self, batch: Batch) -> None:
        """They are kept: their places are too, from now on. Raises SerinusError."""
        ...


class Intake:
    """Takes from one source, a batch at a time: the next is read when this one is on the disk.

    Killed between the two, the batch comes again and is known already.

    Args:
        writers: glob of the writers that are kept; lines of others are passed over, and counted.
    """

    def __init__(self, source: Source, archive: Archive, board: Board, *, writers: str = "*") -> None:
        self._writers = writers
        self._source = source
        self._archive = archive
        self._board = board
        self._batch: Batch | None = None
        board.source(source.name)

    def turn(self) -> int:
        """Keep one batch; how many messages. What failed is tried again by the next turn.

        Raises:
            SerinusError: the source gives nothing now, or the disk takes nothing.
        """
        self._batch = self._batch or self._source.read()
        if self._batch is None:
            return 0
        for writer, lines in _by_writer(self._batch.items).items():
            if not fnmatchcase(writer, self._writers):
                self._board.passed(self._source.name, len(lines))
                continue
            try:
                taken = self._archive.take(writer, lines, may_wait=True)
            except UnusableName as error:
                taken = self._archive.set_aside(f"key {writer!r:.100}: {error}", lines)
            self._board.taken(self._source.name, writer, taken)
            if taken.waiting:
                self._board.damaged(self._archive.damaged())
        self._source.done(self._batch)
        count, self._batch = len(self._batch.items), None
        return count

    def run(self, stopping: threading.Event) -> None:
        """Turn until stopped."""
        wait = 1.0
        while not stopping.is_set():
            try:
                self.turn()
                self._board.problem(self._source.name, "")
                wait = 1.0
            except SerinusError as error:
                self._board.problem(self._source.name, str(error))
                stopping.wait(wait)
                wait = min(_SLOWEST, 2 * wait)


def keep_what_waits(archive: Archive, board: Board, most: int = 2000) -> int:
    """Put lines that wait into their logs, where these can be written again; how many lines. Raises as ``Archive``."""
    found = archive.bring_back(most)
    for name, taken in found:
        board.taken(_WAITING, name, taken)
    board.damaged(archive.damaged())
    return sum(taken.kept + taken.duplicate + taken.aside for _, taken in found)


def watch_what_waits(archive: Archive, board: Board, stopping: threading.Event, pause: float = 5.0) -> None:
    """Do that until stopped, every ``pause`` seconds while nothing moves."""
    while not stopping.is_set():
        try:
            more = keep_what_waits(archive, board)
            board.problem(_WAITING, "")
        except SerinusError as error:
            board.problem(_WAITING, str(error))
            more = 0
        if not more:
            stopping.wait(pause)


def _by_writer(items: Sequence[Item]) -> dict[str, list[bytes]]:
    found: dict[str, list[bytes]] = {}
    for item in items:
        found.setdefault(item.writer, []).append(item.line)
    return found
