"""Gaps are told before what follows them is written, so that no kill leaves one that nobody told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from serinus.chain import ChainWriter, Entry, Gap, Gaps, gaps_log, read_gaps


class GapsWriter:
    """Writes the log of gaps of an installation. It is held only for the moment of an append.

    Args:
        root: the directory of the installation.
        clock: Unix seconds.
    """

    def __init__(self, root: Path, clock: Callable[[], float]) -> None:
        self._root = root
        self._clock = clock
        self._told: Gaps | None = None

    def between(self, log: Path, after: int, head: str, entry: Entry) -> Gap:
        """The gap between a log's end and an entry that comes now."""
        now = datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="seconds")
        return Gap(
            log=log.name, after=after, head=head, before=entry.seq, prev=entry.prev, hash=entry.hash, time=now
        )

    def tell(self, gaps: Sequence[Gap]) -> None:
        """Write down those that are not told yet, durably.

        Raises:
            SerinusError: ``SRN-AUDIT-001`` to ``-004``: their log cannot be written or read.
        """
        told = read_gaps(self._root) if self._told is None else self._told
        self._told = None
        new = [gap for gap in gaps if not _is_told(told, gap)]
        if new:
            path = gaps_log(self._root)
            path.parent.mkdir(parents=True, exist_ok=True)
            with ChainWriter(path) as writer:
                writer.append([msgspec.json.encode(gap) for gap in new])
            told.add(new)
        self._told = told


def _is_told(told: Gaps, gap: Gap) -> bool:
    before = told.of(Path(gap.log)).get((gap.after, gap.before))
    return before is not None and msgspec.structs.replace(before, time=gap.time) == gap
