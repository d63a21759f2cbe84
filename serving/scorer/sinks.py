"""Where decisions are kept: the port, and the sink of tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from serinus.chain import GENESIS, Entry
from serinus.events import DecisionEvent
from serinus.privacy.seal import key_of


class DecisionSink(Protocol):
    """The end of one writer's chain (``serinus.events.DecisionLog``, ``kafka.KafkaLog``)."""

    @property
    def seq(self) -> int:
        """Number of the last entry stored, 0 before the first."""
        ...

    @property
    def head(self) -> str:
        """Its hash."""
        ...

    @property
    def safe(self) -> int:
        """Number of the last entry that no crash can take away."""
        ...

    def write(
        self, lines: Sequence[bytes], seq: int, head: str, *, after: int | None = None, durable: bool = True
    ) -> None:
        """Store chained lines that follow ``head``, all or none; safely, if ``durable``.

        Args:
            lines: one each or, where ``after`` says which entry they follow, as blocks of whole lines.
            seq, head: the last one's number and hash.

        Raises:
            SerinusError: it cannot. ``seq`` and ``head`` tell what stands; the caller
                may come again with what follows them, or with something else.
        """
        ...

    def sync(self) -> None:
        """Make safe what was written without ``durable``; another thread may write meanwhile.

        Raises:
            SerinusError: it cannot; the next ``write`` fails too, and after it ``seq``
                is back at ``safe``.
        """
        ...

    def probe(self) -> None:
        """See whether it would take lines. Raises SerinusError if not."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class MemorySink:
    """Keeps decoded events, for tests; sealed ones as they stand, in ``sealed``."""

    def __init__(self) -> None:
        self.events: list[DecisionEvent] = []
        self.sealed: list[bytes] = []
        self.seq, self.head = 0, GENESIS

    @property
    def safe(self) -> int:
        """All of it."""
        return self.seq

    def sync(self) -> None:
        """Nothing to do."""

    def write(
        self, lines: Sequence[bytes], seq: int, head: str, *, after: int | None = None, durable: bool = True
    ) -> None:
        """Keep the events; refuses lines that do not follow."""
        if (seq - len(lines) if after is None else after) != self.seq:
            raise ValueError(f"lines up to {seq} do not follow {self.seq}")
        for line in b"".join(lines).splitlines():
            entry = msgspec.json.decode(line, type=Entry)
            if key_of(bytes(entry.body)) is not None:
                self.sealed.append(bytes(entry.body))
                continue
            self.events.append(msgspec.json.decode(entry.body, type=DecisionEvent))
        self.seq, self.head = seq, head

    def probe(self) -> None:
        """Always well."""

    def close(self) -> None:
        """Nothing to let go of."""
