"""The online store of one process: today's feature stream, and a file that outlives it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from serinus.contract import Contract
from serinus.errors import SerinusError
from serinus.features.history import History
from serinus.features.online.journal import Journal
from serinus.features.online.port import Key, KnownLabel, Look
from serinus.features.reading import FeatureEvent, Reader
from serinus.features.stream import FeatureStream, Outcome


class MemoryStore:
    """Histories in this process; for one event loop, or one thread.

    Args:
        contract: declares the features.
        file: where they are kept when the process ends (``Journal``); None forgets them.
        report: told of a disk that began to fail.

    Raises:
        SerinusError: ``SRN-FEATURES-006`` the file cannot be restored,
            ``-009`` it cannot be used.
    """

    def __init__(
        self,
        contract: Contract,
        file: Path | None = None,
        report: Callable[[SerinusError], None] = lambda error: None,
    ) -> None:
        self.stream = FeatureStream(contract)
        self.decided: dict[str, str] = {}
        """Decision id to event id, of events whose label may come back by the former."""
        self.erasures = ""
        """The last destroyed key (``serinus.privacy``) that these histories have heard of: its position."""
        self._journal: Journal | None = None
        if file is not None:
            journal = Journal(file, report)
            try:
                journal.restore(self)
            except BaseException:
                journal.release()
                raise
            self._journal = journal

    @property
    def reader(self) -> Reader:
        """The features that the histories serve."""
        return self.stream.reader

    @property
    def unkept(self) -> int:
        """Events and labels that the file should hold and does not, for want of room on the disk."""
        return 0 if self._journal is None else self._journal.unkept

    def look(self, events: Sequence[FeatureEvent]) -> Look:
        """See ``OnlineStore.look``."""
        stream = self.stream
        histories: dict[Key, History] = {}
        for event in events:
            for index, key in enumerate(event.keys):
                history = stream.history(index, key)
                if history is not None and key is not None:
                    histories[index, key] = history
        seen = {event.id for event in events if event.id is not None and stream.seen(event.id)}
        return Look(stream.now, histories, seen, True)

    def add(self, events: Sequence[FeatureEvent], decisions: Sequence[str] = ()) -> list[Outcome]:
        """See ``OnlineStore.add``."""
        found: list[Outcome] = []
        for place, event in enumerate(events):
            decision = decisions[place] if decisions else None
            outcome = self.apply(event, decision)
            found.append(outcome)
            if outcome == "added" and self._journal is not None:
                self._journal.event(event, decision)
        return found

    def apply(self, event: FeatureEvent, decision: str | None) -> Outcome:
        """Add one event without writing it down."""
        outcome = self.stream.add(event) if self.reader.columns else "added"
        if (
            decision is not None
            and event.id is not None
            and outcome != "late"
            and self.reader.label is not None
        ):
            if len(self.decided) > 2 * self.stream.ids + 1000:
                self.decided = {d: e for d, e in self.decided.items() if self.stream.seen(e)}
            self.decided[decision] = event.id
        return outcome

    def label(self, labels: Sequence[KnownLabel]) -> list[bool]:
        """See ``OnlineStore.label``."""
        found: list[bool] = []
        for label in labels:
            event = label.event if label.event is not None else self.decided.get(label.decision or "")
            if event is None:
                found.append(False)
                continue
            found.append(self.stream.set_label(event, label.value, label.at))
            if self._journal is not None and self.reader.label is not None:
                self._journal.label(event, label.value, label.at)
        return found

    def warm(self, records: Iterable[Mapping[str, object]]) -> int:
        """Add records of the past, in order of arrival; how many were new.

        Not written to the journal: who warms a store does so at every start, or saves it afterwards.
        """
        return self.stream.warm(records)

    def forget(self, index: int, names: Sequence[str]) -> int:
        """Drop the histories of some entities, and their events' ids; how many there were.

        The file holds them until ``save``.
        """
        found = self.stream.forget(index, names)
        if found:
            self.decided = {d: e for d, e in self.decided.items() if self.stream.seen(e)}
        return found

    def save(self) -> None:
        """Write the whole state to the file. Raises ``SRN-FEATURES-009`` if that fails."""
        if self._journal is not None:
            self._journal.snapshot(self)

    async def close(self) -> None:
        """Save, and let the file go."""
        if self._journal is not None:
            try:
                self._journal.snapshot(self)
            finally:
                self._journal.release()
