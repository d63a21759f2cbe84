"""Whose decision it is, and the key that seals it, on the request's path.

A key that was met before is looked up in memory; else in the store; else it is
made here, and kept in the store before any line that it seals is written. What an
erasure destroyed is dropped from memory within ``LEARN_EVERY``; what is decided on
that person until then is as unreadable as what was decided before.

While the store cannot be asked, whoever is not in memory is refused (503); who is, is served for
``STALE_AFTER`` and no longer, since an erasure would not be heard of.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence, Set
from datetime import UTC, datetime
from typing import TypeVar

from serinus.contract.types import Privacy
from serinus.errors import SerinusError
from serinus.features.online import MemoryStore, OnlineStore
from serinus.features.values import identifier
from serinus.privacy import KeyStore, SubjectKey
from serinus.privacy.store import Erased, NewKey
from serving.scorer.records import LONGEST
from serving.scorer.refusal import Refusal

T = TypeVar("T")
LEARN_EVERY = 0.5
"""Seconds after which an erasure is learned of."""
LOOK_AGAIN_WITHIN = 2.0
"""The longest wait, in seconds, for a store that cannot be asked."""
STALE_AFTER = 30.0
"""Seconds without hearing of erasures after which keys in memory seal nothing more."""
AGAIN_WITHIN = 16.0
"""The longest wait, in seconds, for what else failed: writing large histories anew holds up requests."""
REQUEST = "request"
"""The kind of mark of a decision on nobody in particular."""


class Subjects:
    """The persons of one scorer's decisions.

    ``of_records`` may be called by any thread, ``keys`` by the loop's, ``flush`` and ``learn`` by others.

    Args:
        privacy: the contract's word.
        reader, writer: the same store twice: nobody who looks up a key waits for a sync of new ones.
        now: seconds since the epoch.
        keep: keys kept in memory, 3 KB each; the longest unused goes first. And of those made here as many, 0.4 KB
            each.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        privacy: Privacy,
        reader: KeyStore,
        writer: KeyStore,
        *,
        now: Callable[[], float],
        keep: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.column = privacy.subject
        self._refuse = privacy.without == "refuse"
        self._reader = reader
        self._writer = writer
        self._now = now
        self._keep = keep
        self._known: OrderedDict[str, SubjectKey] = OrderedDict()
        self._new: list[NewKey] = []
        self._kept: OrderedDict[str, NewKey] = OrderedDict()  # made here and confirmed, the last of them
        self._swap = threading.Lock()
        self._learned = ""
        self._dropped = 0
        self._clock = clock
        self._heard = clock()
        self._away = False
        self._sessions = (reader.engine.session, writer.engine.session)
        self._put_back: SerinusError | None = None
        writer.add_kind(self.column)
        if not self._refuse:
            writer.add_kind(REQUEST)

    def of_records(self, records: Sequence[Mapping[str, object]]) -> tuple[str | None, ...]:
        """Whom each record is about; None where it does not say."""
        return tuple(identifier(record.get(self.column)) for record in records)

    def keys(
        self, request_id: str, subjects: Sequence[str | None] | None, count: int
    ) -> tuple[SubjectKey, ...]:
        """A key for each of a request's rows.

        Raises:
            Refusal: 400 where nobody is named and the contract refuses that; 503 if the store cannot be asked.
        """
        if subjects is None:
            subjects = (None,) * count
        try:
            if self._clock() - self._heard > STALE_AFTER:
                raise _unheard(self._writer.where)
            if count == 1:
                return (self._key(request_id, subjects[0]),)
            found = self._found(subjects)
            return tuple(self._key(f"{request_id}.{i}", subject, found) for i, subject in enumerate(subjects))
        except SerinusError as error:
            raise Refusal(
                503, "", f"the decision could not be sealed ({error.code}), so it is not given", retry_after=1
            ) from error

    def _found(self, subjects: Sequence[str | None]) -> dict[bytes, tuple[str, bytes]]:
        """Of a batch's persons those that the store knows and memory does not, asked for at once."""
        with self._swap:
            unknown = {subject for subject in subjects if subject is not None and subject not in self._known}
        marks = [self._reader.mark(self.column, subject) for subject in sorted(unknown)]
        return self._ask(lambda: self._reader.find_all(marks)) if marks else {}

    def _ask(self, question: Callable[[], T]) -> T:
        """Ask the store, unless it was silent a moment ago: the requests behind this one wait too."""
        if self._away:
            raise SerinusError(
                "SRN-PRIVACY-002",
                "the store of subject keys could not be asked a moment ago",
                where=self._reader.where,
                hint="Whose key is in memory is served on; mend the store.",
            )
        try:
            return question()
        except SerinusError:
            self._away = True
            raise

    def _key(
        self,
        event_id: str,
        subject: str | None,
        batch: Mapping[bytes, tuple[str, bytes]] | None = None,
    ) -> SubjectKey:
        if subject is None:
            if self._refuse:
                raise Refusal(
                    400,
                    self.column,
                    "decisions are sealed by person, so the request has to name one: in its record, "
                    "or in the header Serinus-Subject",
                )
            return self._ask(lambda: self._make(self._reader.mark(REQUEST, event_id)))
        with self._swap:
            known = self._known.get(subject)
            if known is not None:
                self._known.move_to_end(subject)
                return known
            dropped = self._dropped
        mark = self._reader.mark(self.column, subject)
        found = self._ask(lambda: self._reader.find(mark)) if batch is None else batch.get(mark)
        key = self._make(mark) if found is None else SubjectKey(*found)
        with self._swap:
            # A key whose erasure was learned of since it was found would be kept for good.
            if dropped == self._dropped:
                self._known[subject] = key
                if len(self._known) > self._keep:
                    self._known.popitem(last=False)
        return key

    def _make(self, mark: bytes) -> SubjectKey:
        random = os.urandom(48)
        new = NewKey(random[32:].hex(), mark, random[:32], self._stamp())
        with self._swap:
            self._new.append(new)
        return SubjectKey(new.id, new.key)

    def _stamp(self) -> str:
        return datetime.fromtimestamp(self._now(), UTC).isoformat(timespec="seconds")

    # --- beside the requests -----------------------------------------------

    def flush(self) -> None:
        """Keep the new keys, before lines that they seal are written. Raises what ``KeyStore.add`` does."""
        with self._swap:
            new, self._new = self._new, []
        if new:
            try:
                self._writer.add(new)
            except BaseException:
                with self._swap:
                    self._new = new + self._new
                raise
            with self._swap:
                self._kept.update((key.id, key) for key in new)
                while len(self._kept) > self._keep:
                    self._kept.popitem(last=False)

    def learn(self) -> list[Erased]:
        """What was erased since what was ``learned``; those keys are sealed with no more.

        After a connection was lost every key is looked up anew: whoever answers now may be a server that was put
        back to an earlier state. The last keys that were made here are given to it again if it never heard of them,
        since lines that they seal may be written.

        Raises:
            SerinusError: ``SRN-PRIVACY-002``.
        """
        began = self._clock()
        try:
            self._reader.engine.refresh()
            gone = self._writer.erased_after(self._learned)
            sessions = (self._reader.engine.session, self._writer.engine.session)
            if sessions != self._sessions:
                self._settle({erased.key for erased in gone})
        except SerinusError:
            self._away = True
            raise
        ids = {erased.key for erased in gone}
        with self._swap:
            if sessions != self._sessions:
                self._known.clear()
            for subject in [subject for subject, key in self._known.items() if key.id in ids]:
                del self._known[subject]
            for key_id in ids & self._kept.keys():
                del self._kept[key_id]
            if gone or sessions != self._sessions:
                self._dropped += 1
            self._sessions = sessions
        self._heard, self._away = began, False
        return gone

    def _settle(self, gone: Set[str]) -> None:
        """Tell a server that answers for another what it may have lost: a standby that lagged, a backup."""
        with self._swap:
            kept = {key_id: key for key_id, key in self._kept.items() if key_id not in gone}
        lost = self._writer.missing(list(kept))
        if lost:
            self._writer.add(kept[key_id] for key_id in sorted(lost))
        if lost or not self._writer.holds(self._learned):
            self._put_back = _put_back(self._writer.where, len(lost))

    def put_back(self) -> SerinusError | None:
        """``SRN-PRIVACY-012``, once, where the store turned out to lack what it had confirmed."""
        found, self._put_back = self._put_back, None
        return found

    def since(self, position: str) -> list[Erased]:
        """What was erased since another position. Raises ``SRN-PRIVACY-002``."""
        return self._writer.erased_after(position)

    def learned(self, gone: Sequence[Erased]) -> None:
        """What ``learn`` told is forgotten wherever it has to be; it is not told again."""
        if gone:
            self._learned = gone[-1].position

    def matching(self, names: Sequence[str], gone: Sequence[Erased]) -> list[str]:
        """Those of some persons that were erased."""
        marks = {erased.mark for erased in gone}
        return [name for name in names if self._writer.mark(self.column, name) in marks]

    def close(self) -> None:
        """Release the store."""
        self._reader.close()
        self._writer.close()


def _unheard(where: str) -> SerinusError:
    return SerinusError(
        "SRN-PRIVACY-011",
        f"no erasure could be heard of for {STALE_AFTER:.0f} seconds, so no key in memory is used any more",
        where=where,
        hint="Mend the store of subject keys or the way to it; scoring goes on by itself then.",
    )


def _put_back(where: str, given: int) -> SerinusError:
    return SerinusError(
        "SRN-PRIVACY-012",
        f"the store of subject keys was put back to an earlier state; {given} keys that it had lost were given to it "
        "again",
        where=where,
        hint="Run `serinus privacy status --mend`: erasures may be undone. Let a standby that takes over be "
        "synchronous (docs/privacy.md).",
    )


def named(header: bytes | None) -> str | None:
    """Whom the header ``Serinus-Subject`` names; None where it was not sent. Raises Refusal 400."""
    if header is None:
        return None
    try:
        name = identifier(header.decode())
    except UnicodeDecodeError:
        name = None
    if name is None or len(name) > LONGEST:
        raise Refusal(400, "Serinus-Subject", f"names the person by 1 to {LONGEST} characters of UTF-8")
    return name


async def learn(subjects: Subjects, store: OnlineStore | None) -> None:
    """Hear of erasures, and forget those persons' histories where they lie in this process.

    What fails is done at the next call.

    Raises:
        SerinusError: ``SRN-PRIVACY-002`` the keys cannot be read; ``SRN-FEATURES-009`` the
            histories' file still holds what was forgotten.
    """
    loop = asyncio.get_running_loop()
    gone = await loop.run_in_executor(None, subjects.learn)
    if isinstance(store, MemoryStore) and gone:
        fresh = await loop.run_in_executor(None, subjects.since, store.erasures)
        if fresh:
            await _forget(subjects, store, fresh)
    subjects.learned(gone)


async def _forget(subjects: Subjects, store: MemoryStore, fresh: Sequence[Erased]) -> None:
    loop = asyncio.get_running_loop()
    for index, column in enumerate(store.reader.columns):
        if column == subjects.column:
            names = store.stream.names(index)
            store.forget(index, await loop.run_in_executor(None, subjects.matching, names, fresh))
    before, store.erasures = store.erasures, fresh[-1].position
    try:
        store.save()
    except BaseException:
        store.erasures = before
        raise


async def follow(
    subjects: Subjects,
    store: OnlineStore | None,
    report: Callable[[SerinusError], None],
    put_back: Callable[[], None],
) -> None:
    """``learn`` until cancelled; a failure is reported once until it works again, and each wait is longer.

    A store that was put back to an earlier state is reported, and ``put_back`` called.
    """
    failed, within = 0, AGAIN_WITHIN
    while True:
        await asyncio.sleep(min(LEARN_EVERY * 2**failed, within))
        try:
            await learn(subjects, store)
            failed = 0
            lost = subjects.put_back()
            if lost is not None:
                put_back()
                report(lost)
        except SerinusError as error:
            if not failed:
                report(error)
            failed = min(failed + 1, 10)
            # A store is asked in no time; writing large histories anew holds up requests.
            within = LOOK_AGAIN_WITHIN if error.code.startswith("SRN-PRIVACY") else AGAIN_WITHIN
