"""Copying a key store into another database, while it is in use, as often as it takes, and moving to it.

What is copied are the rows as they stand, wrapped by the same master key. Both sides may have gone on since an
earlier copy: keys are united, and what either side destroyed stays destroyed. A key that was made before its
person was erased in the other store falls under that erasure, though the other had never heard of the key.
Holds and unfinished erasures: see ``merging``.

A page of keys is a transaction of the target, so whatever is interrupted goes on where it was. Until a first copy
is whole nobody can open it; see ``refuse_closed``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from serinus.errors import SerinusError
from serinus.privacy.master import MasterKey
from serinus.privacy.merging import merge, name_store
from serinus.privacy.store import META, Engine, KeyStore, Run, check_format, named_values, note_destroyed
from serinus.privacy.wrapping import Wrapping

Read = Callable[[str, Sequence[object]], list[tuple[Any, ...]]]
_PAGE = 1000
_ADD = (
    "INSERT INTO keys (id, mark, wrapped, created) SELECT ?, ?, ?, ? "
    "WHERE NOT EXISTS (SELECT 1 FROM erased WHERE key = ?) ON CONFLICT DO NOTHING"
)


class Copied(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a copy.

    ``keys`` of the source: ``copied`` now, ``there`` before, ``destroyed`` in the target by an erasure of either
    side. ``taken_back``: keys of the target that an erasure of the source destroyed. ``unreadable``: ids of
    keys that the master key does not open, copied as they are. ``switched``: the source is closed.
    """

    source: str
    target: str
    keys: int
    copied: int
    there: int
    destroyed: int
    erasures: int
    taken_back: int
    unreadable: tuple[str, ...]
    switched: bool


class _Row(NamedTuple):
    id: str
    mark: bytes
    wrapped: bytes
    created: str


class _Tally:
    def __init__(self) -> None:
        self.keys = self.copied = self.there = self.destroyed = self.erasures = self.taken_back = 0
        self.unreadable: list[str] = []

    def add(self, later: _Tally) -> None:
        """What a later pass did beside this one, and what it found in its place."""
        self.copied += later.copied
        self.erasures += later.erasures
        self.taken_back += later.taken_back
        self.keys, self.destroyed, self.unreadable = later.keys, later.destroyed, later.unreadable


def copy_store(
    source: KeyStore,
    target: Engine,
    master: MasterKey,
    *,
    switch: bool = False,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> Copied:
    """Copy keys, erasures, holds and unfinished erasures; every key is read back and opened.

    Args:
        source: stays as it is, unless it is switched from.
        target: empty, or an earlier copy of the same store in whichever direction.
        master: wraps the keys of both.
        switch: close the source for good when all of it is in the target; nobody writes there meanwhile. Not
            done where a key is unreadable.
        progress: told of keys seen and keys there are, after each page.

    Raises:
        SerinusError: ``SRN-PRIVACY-002`` one of them cannot be used; ``-003`` another master key belongs to the
            target; ``-014`` it holds keys of another store, or is the same one, or a key differs, or the master
            key was rotated meanwhile. Repeating goes on.
    """
    _prepare(source, target, master)
    work = _Copying(source, target, master)
    tally = work.all(source.engine.read, progress)
    switched = switch and not tally.unreadable
    if switched:
        with source.engine.transaction() as run:  # what came meanwhile, and nothing comes after it
            last = work.all(run, progress)
            tally.add(last)
            switched = not last.unreadable
            _open(target)
            if switched:
                work.note_merged(run)  # the way back begins with it
                run(
                    "INSERT INTO meta VALUES ('closed', ?)",
                    (f"its keys were moved to {target.where}".encode(),),
                )
    else:
        _open(target)
    if tally.taken_back:
        target.cut()
    return Copied(
        source=source.where, target=target.where, keys=tally.keys, copied=tally.copied, there=tally.there,
        destroyed=tally.destroyed, erasures=tally.erasures, taken_back=tally.taken_back,
        unreadable=tuple(tally.unreadable), switched=switched,
    )  # fmt: skip


def _prepare(source: KeyStore, target: Engine, master: MasterKey) -> None:
    """Make sure that the target is of the same store, and another database; begin it where it is empty."""
    ours = named_values(source.engine.read(META))
    _same_master(ours, master)
    token = os.urandom(16)
    with target.transaction() as run:
        theirs = named_values(run(META))
        if not theirs:
            unfinished = f"it was copied from {source.where}, and is not whole yet".encode()
            for name in ("format", "master", "index"):
                run("INSERT INTO meta VALUES (?, ?)", (name, ours[name]))
            run("INSERT INTO meta VALUES ('closed', ?)", (unfinished,))
            name_store(run)
            return
        check_format(theirs, target)
        wrapping = Wrapping(master)
        wrapping.open_index(theirs, target.where)
        if wrapping.mark("", "") != source.mark("", ""):
            raise _refused(target, "the target holds keys of another store", "Name an empty database.")
        run("DELETE FROM meta WHERE name = 'copy'")
        run("INSERT INTO meta VALUES ('copy', ?)", (token,))
    # However it is named: a token that was written there is not to be found here.
    same = source.engine.read("SELECT 1 FROM meta WHERE name = 'copy' AND value = ?", (token,))
    with target.transaction() as run:
        run("DELETE FROM meta WHERE name = 'copy' AND value = ?", (token,))
    if same:
        raise _refused(target, "source and target are the same store", "Name another database.")


def _open(target: Engine) -> None:
    with target.transaction() as run:
        run("DELETE FROM meta WHERE name = 'closed'")


class _Copying:
    """One pass over all of it, with whatever reads the source."""

    def __init__(self, source: KeyStore, target: Engine, master: MasterKey) -> None:
        self._total = source.counts()[0]
        self._where = source.where
        self._target = target
        self._master = master
        self._wrapping = Wrapping(master)
        self.note_merged: Callable[[Run], None] = lambda run: None

    def all(self, read: Read, progress: Callable[[int, int], object]) -> _Tally:
        tally = _Tally()
        self._erasures(read, tally)
        for page in self._pages(read, "keys", "id", "id, mark, wrapped, created", ""):
            self._keys(read, [_Row(*row) for row in page], tally)
            progress(tally.keys, max(self._total, tally.keys))
        self._rest(read)
        return tally

    def _pages(
        self, read: Read, table: str, by: str, columns: str, last: object
    ) -> Iterator[list[tuple[Any, ...]]]:
        query = f"SELECT {columns} FROM {table} WHERE {by} > ? ORDER BY {by} LIMIT {_PAGE}"
        while page := read(query, (last,)):
            _same_master(named_values(read(META, ())), self._master)  # after it was read
            yield page
            last = page[-1][0]

    # --- what was destroyed ------------------------------------------------

    def _erasures(self, read: Read, tally: _Tally) -> None:
        """Destroy in the target what the source destroyed."""
        for page in self._pages(read, "erased", "seq", "seq, key, mark, at, token", 0):
            with self._target.transaction() as run:
                query = "SELECT key, token FROM erased WHERE key"
                known = dict(_where_in(run, query, [row[1] for row in page]))
                # A key that both destroyed has two tokens, and both erasures count.
                fresh = [row for row in page if known.get(row[1]) != row[4]]
                if not fresh:
                    continue
                unknown = [row for row in fresh if row[1] not in known]
                _number(run, unknown)
                tally.erasures += len(unknown)
                gone, until = {row[1] for row in unknown}, _latest((row[2], row[3]) for row in fresh)
                found = _where_in(run, "SELECT id, mark, created FROM keys WHERE mark", list(until))
                # Who came back in the second of their erasure has a key that the source keeps.
                alive = {
                    key for (key,) in _where_in(read, "SELECT id FROM keys WHERE id", [r[0] for r in found])
                }
                for key, mark, created in found:
                    if key in gone or (key not in alive and created <= until[mark]):
                        note_destroyed(run, key, mark, until[mark])
                        run("DELETE FROM keys WHERE id = ?", (key,))
                        tally.taken_back += 1

    # --- keys --------------------------------------------------------------

    def _keys(self, read: Read, page: list[_Row], tally: _Tally) -> None:
        ids = [row.id for row in page]
        there = self._there(self._target.read, ids)
        gone = self._gone(ids)
        fresh = [row for row in page if row.id not in there and row.id not in gone]
        if fresh:
            erased = self._erased_there(read, fresh)
            lost = {row for row in fresh if row.created <= erased.get(row.mark, "")}
            with self._target.transaction(shared=not lost) as run:
                _same_master(named_values(run(META)), self._master)
                for row in lost:
                    note_destroyed(run, row.id, row.mark, erased[row.mark])
                run.many(_ADD, [(*row, row.id) for row in fresh if row not in lost])
            there |= self._there(self._target.read, [row.id for row in fresh])
            gone |= self._gone([row.id for row in fresh])
        for row in page:
            self._verify(row, there.get(row.id), row.id in gone, tally)
        tally.keys += len(page)
        added = sum(row.id in there for row in fresh)
        tally.copied += added
        tally.there += len(there) - added
        tally.destroyed += len(page) - len(there)

    def _there(self, read: Read, ids: Sequence[str]) -> dict[str, _Row]:
        rows = _where_in(read, "SELECT id, mark, wrapped, created FROM keys WHERE id", ids)
        return {row[0]: _Row(*row) for row in rows}

    def _gone(self, ids: Sequence[str]) -> set[str]:
        return {key for (key,) in _where_in(self._target.read, "SELECT key FROM erased WHERE key", ids)}

    def _erased_there(self, read: Read, rows: Sequence[_Row]) -> dict[bytes, str]:
        """Persons whom the target erased and the source did not, each with when."""
        marks = list({row.mark for row in rows})
        found = _where_in(self._target.read, "SELECT key, mark, at, token FROM erased WHERE mark", marks)
        known = dict(_where_in(read, "SELECT key, token FROM erased WHERE key", [row[0] for row in found]))
        return _latest((mark, at) for key, mark, at, token in found if known.get(key) != token)

    def _verify(self, row: _Row, there: _Row | None, gone: bool, tally: _Tally) -> None:
        """A key is in the target as it is in the source, and opens; or the target says that it was destroyed."""
        if there is None:
            if not gone:
                raise self._differs(row, "is not in the target, though it was confirmed")
            return
        ours = self._opened(row)
        theirs = ours if there.wrapped == row.wrapped else self._opened(there)
        if ours is None:
            tally.unreadable.append(row.id)
        # The same key may be wrapped twice: a scorer that gave it again drew another nonce.
        if (ours, row.mark) != (theirs, there.mark) or (ours is None and row.wrapped != there.wrapped):
            raise self._differs(row, "is another one in the target")

    def _opened(self, row: _Row) -> bytes | None:
        try:
            return self._wrapping.unwrap(row.id, row.mark, row.wrapped)
        except ValueError:
            return None

    def _differs(self, row: _Row, how: str) -> SerinusError:
        return _refused(
            self._target, f"key {row.id} {how}", "Copy into an empty database; the source is as it was."
        )

    # --- the rest ----------------------------------------------------------

    def _rest(self, read: Read) -> None:
        kinds = read("SELECT kind FROM kinds", ())
        with self._target.transaction() as run:
            run.many("INSERT INTO kinds VALUES (?) ON CONFLICT DO NOTHING", kinds)
        self.note_merged = merge(read, self._target)


def _number(run: Run, rows: Sequence[tuple[Any, ...]]) -> None:
    """Note destructions under their own numbers, so that followers go on where they were; or under the next ones."""
    last = run("SELECT coalesce(max(seq), 0) FROM erased")[0][0]
    numbered = list[tuple[Any, ...]]()
    for seq, *others in rows:
        last = max(last + 1, seq)
        numbered.append((last, *others))
    run.many("INSERT INTO erased (seq, key, mark, at, token) VALUES (?, ?, ?, ?, ?)", numbered)


def _latest(pairs: Iterator[tuple[bytes, str]]) -> dict[bytes, str]:
    found = dict[bytes, str]()
    for mark, at in pairs:
        found[mark] = max(at, found.get(mark, ""))
    return found


def _where_in(read: Read | Run, query: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
    found = list[tuple[Any, ...]]()
    for first in range(0, len(values), _PAGE):
        part = values[first : first + _PAGE]
        found += read(f"{query} IN ({', '.join('?' * len(part))})", part)
    return found


def _same_master(found: Mapping[str, bytes], master: MasterKey) -> None:
    if found["master"].decode() != master.id:
        raise SerinusError(
            "SRN-PRIVACY-014",
            "the master key was rotated while the store was copied",
            hint="Repeat it where both stores are wrapped by the same master key; else copy into an empty database.",
        )


def _refused(target: Engine, what: str, hint: str) -> SerinusError:
    return SerinusError("SRN-PRIVACY-014", what, where=target.where, hint=hint)
