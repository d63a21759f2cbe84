"""The keys of persons, in a database that several scorers and the commands share.

A row holds a key wrapped by the master key, and a mark of whom it belongs to: an
HMAC (RFC 2104, SHA-256) under a key that is itself wrapped, so the database alone names
nobody. A person may have several keys, since two scorers may meet them at once.

Which database it is, an ``Engine`` hides (``sqlite``, ``postgres``): the statements are the same for
all of them, so what holds for one holds for the others.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple, Protocol

from serinus.errors import SerinusError
from serinus.privacy.master import MasterKey
from serinus.privacy.seal import Withheld
from serinus.privacy.wrapping import Wrapping

FORMAT = b"2"
"""Of the tables. 2: every destroyed key has a token, by which a store that was put back is told."""
META = "SELECT name, value FROM meta"
_CLOSED = "SELECT name, value FROM meta WHERE name = 'closed'"
_PART = 1000
"""Keys in one statement."""


class NewKey(NamedTuple):
    """A key that is to be kept: its id, whose it is, the key, and when it was made (RFC 3339)."""

    id: str
    mark: bytes
    key: bytes
    created: str


class Erased(NamedTuple):
    """A destroyed key: the how-manieth, its id, whose it was, and when (RFC 3339, UTC).

    ``token`` is random for each destruction: a store that was put back to an earlier state counts on from
    there, and gives the same number another token.
    """

    seq: int
    key: str
    mark: bytes
    at: str
    token: str = ""

    @property
    def position(self) -> str:
        """What a follower keeps to be told of what comes after this one."""
        return f"{self.seq}:{self.token}"


class Hold(NamedTuple):
    """Why a person's keys must stay: since when, by whose word."""

    since: str
    by: str
    reason: str


class Run(Protocol):
    """Statements in a transaction, with ``?`` for values."""

    def __call__(self, query: str, values: Sequence[object] = (), /) -> list[tuple[Any, ...]]:
        """Run one; its rows."""
        ...

    def many(self, query: str, rows: Sequence[Sequence[object]], /) -> None:
        """Run one for each row of values, without an answer to each."""
        ...


class Engine(Protocol):
    """A database that keeps what a transaction did, through a crash, before ``transaction`` ends.

    Any thread may call. What fails raises ``SRN-PRIVACY-002`` and changes nothing, but for a connection that
    was lost while a transaction ended: then nobody can say.
    """

    @property
    def where(self) -> str:
        """The store as people may see it, without any password."""
        ...

    @property
    def session(self) -> int:
        """Grows with each connection: whoever serves after a loss may know less than before it."""
        ...

    def read(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Rows of a query; sees every transaction that ended before."""
        ...

    def transaction(self, *, shared: bool = False) -> AbstractContextManager[Run]:
        """All or nothing, one after the other; ``shared`` ones may overlap one another, and nothing else."""
        ...

    def cut(self) -> None:
        """Let go of what was overwritten, as far as the database can."""
        ...

    def refresh(self) -> None:
        """Connect anew where the connection was lost. Raises ``SRN-PRIVACY-002``."""
        ...

    def close(self) -> None:
        """Release it."""
        ...

    def unusable(self, error: Exception) -> SerinusError:
        """``SRN-PRIVACY-002`` for an error."""
        ...


def held_against(hold: Hold) -> SerinusError:
    """What an erasure is told that meets a hold."""
    return SerinusError(
        "SRN-PRIVACY-006",
        f"a legal hold stands against it, since {hold.since} by {hold.by}: {hold.reason}",
        hint="`serinus privacy release` ends the hold; nothing was erased.",
    )


class KeyStore:
    """See the module. Any thread may call; each call is one transaction.

    Args:
        engine: the database, its tables there.
        wrapping: the master key that wraps what is in it.

    Raises:
        SerinusError: ``SRN-PRIVACY-002`` it cannot be used; ``-003`` another master key belongs to it; ``-013`` it
            was moved elsewhere, or is a copy that is not whole. What writes, and ``erased_after``, raise that too.
    """

    def __init__(self, engine: Engine, wrapping: Wrapping) -> None:
        self.engine = engine
        self._wrapping = wrapping
        found = named_values(engine.read(META))
        if not found:
            with engine.transaction() as run:
                found = named_values(run(META))  # another may have been first
                if not found:
                    for name, value in (("format", FORMAT), *wrapping.new_index().items()):
                        run("INSERT INTO meta VALUES (?, ?)", (name, value))
                    return
        check_format(found, engine)
        refuse_closed(found, engine.where)
        wrapping.open_index(found, engine.where)

    @property
    def where(self) -> str:
        """The store as people may see it."""
        return self.engine.where

    def close(self) -> None:
        """Release the database."""
        self.engine.close()

    @contextmanager
    def _changing(self, *, shared: bool = False) -> Generator[Run]:
        """A transaction in a store that is still in use: a running scorer may have it open when it is moved."""
        with self.engine.transaction(shared=shared) as run:
            refuse_closed(named_values(run(_CLOSED)), self.where)
            yield run

    # --- whose -------------------------------------------------------------

    def mark(self, kind: str, subject: str) -> bytes:
        """What stands for a person: 32 bytes. ``kind`` is the column that names them, or ``request``."""
        return self._wrapping.mark(kind, subject)

    def kinds(self) -> list[str]:
        """The columns by which persons were ever named here."""
        return [kind for (kind,) in self.engine.read("SELECT kind FROM kinds ORDER BY kind")]

    def add_kind(self, kind: str) -> None:
        """Note one."""
        if kind not in self.kinds():
            with self._changing(shared=True) as run:
                run("INSERT INTO kinds VALUES (?) ON CONFLICT DO NOTHING", (kind,))

    # --- keys --------------------------------------------------------------

    def find(self, mark: bytes) -> tuple[str, bytes] | None:
        """Id and key of a person, one of them if there are several; None if there is none."""
        rows = self.engine.read("SELECT id, mark, wrapped FROM keys WHERE mark = ? LIMIT 1", (mark,))
        return (rows[0][0], self._unwrap(*rows[0])) if rows else None

    def find_all(self, marks: Sequence[bytes]) -> dict[bytes, tuple[str, bytes]]:
        """``find`` for many at once: those that have a key."""
        found: dict[bytes, tuple[str, bytes]] = {}
        for first in range(0, len(marks), _PART):
            part = marks[first : first + _PART]
            places = ", ".join("?" * len(part))
            for row in self.engine.read(f"SELECT id, mark, wrapped FROM keys WHERE mark IN ({places})", part):
                found[row[1]] = (row[0], self._unwrap(*row))
        return found

    def add(self, keys: Iterable[NewKey]) -> None:
        """Keep keys; they are on the disk on return.

        May be repeated where nobody can say whether it was done: a key is kept once, and one that was destroyed
        meanwhile stays so.

        Raises:
            SerinusError: ``SRN-PRIVACY-002``; ``-003`` the master key was rotated, and its file does not hold
                the new one yet. Then none is kept.
        """
        with self.engine.transaction(shared=True) as run:
            found = named_values(run("SELECT name, value FROM meta WHERE name IN ('master', 'closed')"))
            refuse_closed(found, self.where)
            # What an older master key wraps, nobody could open again.
            self._wrapping.follow(found["master"], self.where)
            wrap = self._wrapping.wrap
            run.many(
                "INSERT INTO keys (id, mark, wrapped, created) SELECT ?, ?, ?, ? "
                "WHERE NOT EXISTS (SELECT 1 FROM erased WHERE key = ?) ON CONFLICT DO NOTHING",
                [(k.id, k.mark, wrap(k.id, k.mark, k.key), k.created, k.id) for k in keys],
            )

    def missing(self, ids: Sequence[str]) -> set[str]:
        """Keys that this store never heard of, neither kept nor destroyed: it was put back to before them."""
        unknown = set(ids)
        for first in range(0, len(ids), _PART):
            part = ids[first : first + _PART]
            places = ", ".join("?" * len(part))
            for query in (
                f"SELECT id FROM keys WHERE id IN ({places})",
                f"SELECT key FROM erased WHERE key IN ({places})",
            ):
                unknown.difference_update(key for (key,) in self.engine.read(query, part))
        return unknown

    def key(self, key_id: str) -> bytes:
        """See ``Keys.key``."""
        rows = self.engine.read("SELECT id, mark, wrapped FROM keys WHERE id = ?", (key_id,))
        if rows:
            try:
                return self._unwrap(*rows[0])
            except SerinusError as error:
                raise Withheld(key_id, "unreadable", error.what) from error
        gone = self.engine.read("SELECT at FROM erased WHERE key = ?", (key_id,))
        if gone:
            at = gone[0][0]
            raise Withheld(key_id, "erased", f"erased on {at[:10]}: the person's key was destroyed", at)
        raise Withheld(key_id, "no_key", f"its key {key_id} is not in this store ({self.where})")

    def keys_of(self, mark: bytes) -> dict[str, str]:
        """Ids of a person's keys, each with when it was made."""
        rows = self.engine.read("SELECT id, created FROM keys WHERE mark = ? ORDER BY created, id", (mark,))
        return {row[0]: row[1] for row in rows}

    def counts(self) -> tuple[int, int]:
        """Keys kept, keys destroyed."""
        kept, gone = self.engine.read("SELECT (SELECT count(*) FROM keys), (SELECT count(*) FROM erased)")[0]
        return kept, gone

    def _unwrap(self, key_id: str, mark: bytes, wrapped: bytes) -> bytes:
        try:
            return self._wrapping.unwrap(key_id, mark, wrapped)
        except ValueError as error:
            raise self.engine.unusable(error) from error

    def rewrap(self, master: MasterKey) -> int:
        """Wrap every key anew, all or none; how many. What the old master key opens is worth nothing then."""
        with self._changing() as run:
            rows = run("SELECT id, mark, wrapped FROM keys")
            turned = self._wrapping.turned(master)
            for first in range(0, len(rows), _PART):
                fresh = [
                    (turned.wrap(key_id, mark, self._unwrap(key_id, mark, wrapped)), key_id)
                    for key_id, mark, wrapped in rows[first : first + _PART]
                ]
                run.many("UPDATE keys SET wrapped = ? WHERE id = ?", fresh)
            for name, value in turned.index().items():
                run("UPDATE meta SET value = ? WHERE name = ?", (value, name))
        self._wrapping = turned
        self.engine.cut()
        return len(rows)

    # --- erasure -----------------------------------------------------------

    def begin(self, mark: bytes, erasure: str, at: str) -> str:
        """Note that a person is being erased; the id of the erasure, the earlier one's if it was not finished.

        Raises:
            SerinusError: ``SRN-PRIVACY-006`` somebody holds the keys, though it be since a moment ago.
        """
        with self._changing() as run:
            held = run("SELECT since, by, reason FROM holds WHERE mark = ?", (mark,))
            if held:
                raise held_against(Hold(*held[0]))
            run("INSERT INTO unfinished VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (mark, erasure, at))
            return run("SELECT id FROM unfinished WHERE mark = ?", (mark,))[0][0]

    def destroy(self, mark: bytes, at: str) -> list[str]:
        """Destroy all keys of a person, at once; ids of those destroyed now. Irreversible."""
        with self._changing() as run:
            gone = [key for (key,) in run("SELECT id FROM keys WHERE mark = ?", (mark,))]
            for key in gone:
                note_destroyed(run, key, mark, at)
            run("DELETE FROM keys WHERE mark = ?", (mark,))
        self.engine.cut()
        return gone

    def destroy_again(self, keys: Mapping[str, str]) -> list[str]:
        """Destroy keys by id that were destroyed before and came back with a backup; ids of those found.

        Args:
            keys: ids with the time of their erasure.
        """
        with self._changing() as run:
            found = [
                (key, mark) for key in keys for (mark,) in run("SELECT mark FROM keys WHERE id = ?", (key,))
            ]
            for key, mark in found:
                note_destroyed(run, key, mark, keys[key])
                run("DELETE FROM keys WHERE id = ?", (key,))
        self.engine.cut()
        return [key for key, _ in found]

    def finish(self, mark: bytes) -> None:
        """The erasure is complete and recorded."""
        with self._changing() as run:
            run("DELETE FROM unfinished WHERE mark = ?", (mark,))

    def unfinished(self) -> list[tuple[str, str]]:
        """Erasures that were begun and not finished: their ids, and since when."""
        return [(i, t) for i, t in self.engine.read("SELECT id, began FROM unfinished ORDER BY began, id")]

    def is_unfinished(self, mark: bytes) -> bool:
        """Whether this person's erasure was."""
        return bool(self.engine.read("SELECT 1 FROM unfinished WHERE mark = ?", (mark,)))

    def erased_of(self, mark: bytes) -> dict[str, str]:
        """Ids of a person's destroyed keys, each with when."""
        rows = self.engine.read("SELECT key, at FROM erased WHERE mark = ? ORDER BY seq", (mark,))
        return {row[0]: row[1] for row in rows}

    def erased_after(self, position: str) -> list[Erased]:
        """Keys destroyed since, in order.

        Args:
            position: of the last that was heard of (``Erased.position``); empty for none. Where this store does
                not hold that one, it was put back to an earlier state, and all that it holds is told anew. A
                position without a token, as earlier versions kept it, counts if there is one of that number.
        """
        refuse_closed(named_values(self.engine.read(_CLOSED)), self.where)
        number, _, token = position.partition(":")
        seq = int(number or 0)
        rows = self._erased(seq or 1)
        if not seq:
            return rows
        if rows and rows[0].seq == seq and token in ("", rows[0].token):
            return rows[1:]
        return self._erased(1)

    def holds(self, position: str) -> bool:
        """Whether the destruction at a position is on record here; if not, the store was put back to before it."""
        number, _, token = position.partition(":")
        rows = self.engine.read("SELECT token FROM erased WHERE seq = ?", (int(number or 0),))
        return not number or any(token in ("", kept) for (kept,) in rows)

    def _erased(self, first: int) -> list[Erased]:
        query = "SELECT seq, key, mark, at, token FROM erased WHERE seq >= ? ORDER BY seq"
        return [Erased(*row) for row in self.engine.read(query, (first,))]

    # --- holds -------------------------------------------------------------

    def hold(self, mark: bytes, hold: Hold) -> None:
        """Keep a person's keys from erasure; a later word replaces an earlier one.

        Raises:
            SerinusError: ``SRN-PRIVACY-006`` their erasure was begun, so there is nothing to promise any more.
        """
        with self._changing() as run:
            begun = run("SELECT began FROM unfinished WHERE mark = ?", (mark,))
            if begun:
                raise SerinusError(
                    "SRN-PRIVACY-006",
                    f"an erasure of this person was begun at {begun[0][0]}, so a hold comes too late",
                    hint="Nothing was held. `serinus privacy status` shows erasures that were not finished.",
                )
            run("DELETE FROM holds WHERE mark = ?", (mark,))
            run("INSERT INTO holds VALUES (?, ?, ?, ?)", (mark, *hold))

    def held(self, mark: bytes) -> Hold | None:
        """Why they are kept; None if they are not."""
        rows = self.engine.read("SELECT since, by, reason FROM holds WHERE mark = ?", (mark,))
        return Hold(*rows[0]) if rows else None

    def release(self, mark: bytes) -> bool:
        """Let go of them; False if nobody held them."""
        with self._changing() as run:
            return bool(run("DELETE FROM holds WHERE mark = ? RETURNING since", (mark,)))


def named_values(rows: Sequence[tuple[Any, ...]]) -> dict[str, bytes]:
    """The rows of ``META`` as values by name."""
    return {row[0]: row[1] for row in rows}


def check_format(found: Mapping[str, bytes], engine: Engine) -> None:
    """Raises ``SRN-PRIVACY-002`` where the tables are of another format."""
    if found.get("format") != FORMAT:
        raise engine.unusable(ValueError("it was written by another version of serinus"))


def refuse_closed(found: Mapping[str, bytes], where: str) -> None:
    """Raises ``SRN-PRIVACY-013`` where nobody may use a store any more, or not yet."""
    closed = found.get("closed")
    if closed is not None:
        raise SerinusError(
            "SRN-PRIVACY-013",
            f"this store of subject keys is closed: {closed.decode()}",
            where=where,
            hint="Name the store that has the keys now with SERINUS_SUBJECT_KEYS. A copy that is not whole is made so "
            "by repeating `serinus privacy copy`.",
        )


def note_destroyed(run: Run, key: str, mark: bytes, at: str) -> None:
    """Write down a destruction. The number is the next one: transactions that destroy come one by one."""
    run(
        "INSERT INTO erased (seq, key, mark, at, token) "
        "SELECT (SELECT coalesce(max(seq), 0) + 1 FROM erased), ?, ?, ?, ? "
        "WHERE NOT EXISTS (SELECT 1 FROM erased WHERE key = ?)",
        (key, mark, at, os.urandom(12).hex(), key),
    )
