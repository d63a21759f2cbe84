"""One chain that is kept, and its file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from serinus.archive.aside import AsideFile
from serinus.archive.chain import Chain, Step
from serinus.archive.gaps import GapsWriter
from serinus.archive.kept import KeptHashes
from serinus.archive.taken import Taken
from serinus.chain import ChainWriter, Gap
from serinus.errors import SerinusError


class _Run:
    """Lines that follow each other, behind a gap or None; number and hash of the last."""

    def __init__(self, gap: Gap | None = None) -> None:
        self.gap = gap
        self.lines: list[bytes] = []
        self.seq, self.head = 0, ""

    def add(self, line: bytes, seq: int, head: str) -> None:
        """One more."""
        self.lines.append(line + b"\n")
        self.seq, self.head = seq, head


class Log:
    """One writer's chain: what arrives of it goes to its end, into its gaps' log, or aside.

    Raises:
        SerinusError: ``SRN-AUDIT-001`` to ``-003`` the file cannot be written; ``SRN-ARCHIVE-002`` what was set
            aside cannot be read.
    """

    def __init__(self, path: Path, aside: Path, gaps: GapsWriter, rotate_bytes: int | None) -> None:
        self.path = path
        self._gaps = gaps
        try:
            self._aside = AsideFile(aside)
        except OSError as error:
            raise SerinusError(
                "SRN-ARCHIVE-002",
                f"what was set aside cannot be read ({error})",
                where=str(aside),
                hint="Mend the permissions.",
            ) from error
        self._writer = ChainWriter(path, rotate_bytes=rotate_bytes)
        self._kept = KeptHashes(path)
        self.chain = Chain(self._writer.seq, self._writer.head, kept=self._kept, forks=self._aside.forks)

    def take(self, lines: Sequence[bytes], hold: Callable[[int], None]) -> Taken:
        """``hold`` is told the entry behind a first gap before anything is written.

        Raises OSError, SerinusError or what ``hold`` raises; the object is then of no use.
        """
        after = self.chain.seq
        steps: list[Step] = []
        runs: list[_Run] = [_Run()]  # of lines without a gap between them
        aside: list[tuple[str, bytes]] = []
        gaps: list[Gap] = []
        for line in lines:
            seq, head = self.chain.seq, self.chain.head
            step = self.chain.take(line)
            steps.append(step)
            if step.missing and step.entry is not None:
                gaps.append(self._gaps.between(self.path, seq, head, step.entry))
                runs.append(_Run(gaps[-1]))
            if step.fate == "kept":
                self._kept.add(self.chain.seq, self.chain.head)
                runs[-1].add(line, self.chain.seq, self.chain.head)
            elif step.fate == "aside":
                aside.append((step.why, line))
        first_gap = gaps[0].before if gaps else 0
        if gaps:
            hold(first_gap)
        for run in runs:
            if run.gap is not None:
                # What stands before it is on the disk by now: the gap says that it was here.
                self._gaps.tell([run.gap])
            if run.lines:
                self._writer.write([b"".join(run.lines)], run.seq, run.head, after=after)
                after = run.seq
        kept = [line for run in runs for line in run.lines]
        new = self._aside.add(aside)
        self._kept.settled()
        return Taken(
            kept=len(kept),
            duplicate=len(lines) - len(kept) - new,
            aside=new,
            gaps=len(gaps),
            missing=sum(step.missing for step in steps),
            bytes=sum(map(len, kept)),
            first_gap=first_gap,
            why=aside[0][0] if new else "",
        )

    def remember(self, most: int) -> None:
        """Of what it holds so many hashes in memory."""
        self._kept.remember(most)

    def close(self) -> None:
        """Release the file."""
        self._writer.close()
