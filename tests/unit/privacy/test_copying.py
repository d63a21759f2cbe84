"""What a copy of a key store promises while both sides go on: nothing is lost, and nothing that ended comes back."""

from __future__ import annotations

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

from hypothesis import example, given, settings
from hypothesis import strategies as st

from serinus.errors import SerinusError
from serinus.privacy.copying import copy_store
from serinus.privacy.master import MasterKey
from serinus.privacy.sqlite import SqliteEngine
from serinus.privacy.store import Hold, KeyStore, NewKey
from serinus.privacy.wrapping import Wrapping

MASTER = MasterKey(bytes(32))


@contextmanager
def copied() -> Generator[tuple[KeyStore, KeyStore]]:
    """A store, and the copy that was made of it while both were empty."""
    with tempfile.TemporaryDirectory() as directory:
        source = KeyStore(SqliteEngine(Path(directory, "source.db")), Wrapping(MASTER))
        engine = SqliteEngine(Path(directory, "target.db"))
        copy_store(source, engine, MASTER)
        target = KeyStore(engine, Wrapping(MASTER))
        yield source, target
        source.close()
        target.close()


class Op(NamedTuple):
    what: Literal["add", "erase", "copy"]
    side: Literal["source", "target"]
    person: str


whats = st.sampled_from(["add", "add", "erase", "copy"])
ops = st.lists(
    st.builds(Op, whats, st.sampled_from(["source", "target"]), st.sampled_from("ab")), max_size=14
)


@settings(max_examples=60, deadline=None)
@given(ops)
@example(
    [
        Op("add", "source", "a"),
        Op("copy", "source", "a"),
        Op("erase", "target", "a"),
        Op("add", "target", "a"),
        Op("erase", "source", "a"),
    ]
)
@example(
    [
        Op("add", "source", "a"),
        Op("copy", "source", "a"),
        Op("erase", "source", "a"),
        Op("add", "source", "a"),
        Op("erase", "target", "a"),
    ]
)
def test_keys_are_united_and_erasures_too(happened: list[Op]) -> None:
    with copied() as (source, target):
        sides = {"source": source, "target": target}
        made, erased = dict[str, tuple[str, str]](), list[tuple[str, str]]()
        for i, op in enumerate([*happened, Op("copy", "source", "a")]):
            at = f"2026-09-21T00:00:{i:02d}+00:00"
            store = sides[op.side]
            mark = store.mark("customer", op.person)
            if op.what == "add":
                made[f"{i:032x}"] = (op.person, at)
                store.add([NewKey(f"{i:032x}", mark, bytes([i]) * 32, at)])
            elif op.what == "erase":
                if store.destroy(mark, at):  # else whoever asked is told that nothing was ever sealed there
                    erased.append((op.person, at))
            else:
                copy_store(source, target.engine, MASTER)
        alive = {key for person in "ab" for key in target.keys_of(target.mark("customer", person))}
        for key, (person, at) in made.items():
            late = [when for who, when in erased if who == person and when > at]
            assert (key in alive) is (not late), "an erasure reaches it on whichever side it was"
            if not late:
                assert target.key(key) == bytes([int(key, 16)]) * 32


class Word(NamedTuple):
    what: Literal["hold", "release", "begin", "finish", "copy", "back"]
    side: Literal["source", "target"]
    person: str


word = st.sampled_from(["hold", "release", "begin", "finish", "copy", "back"])
words = st.lists(
    st.builds(Word, word, st.sampled_from(["source", "target"]), st.sampled_from("ab")), max_size=14
)
COPY = Word("copy", "source", "a")


@settings(max_examples=100, deadline=None)
@given(words)
@example([Word("begin", "source", "a"), COPY, Word("finish", "source", "a")])
@example([Word("begin", "source", "a"), COPY, Word("finish", "target", "a")])
@example([Word("hold", "source", "b"), COPY, Word("release", "source", "b")])
@example([Word("hold", "source", "b"), COPY, Word("hold", "source", "b")])
@example([Word("hold", "target", "b"), Word("hold", "source", "b"), COPY, Word("release", "target", "b")])
@example([Word("hold", "target", "b"), Word("back", "target", "b"), COPY, Word("release", "source", "b")])
def test_what_either_side_let_go_of_stays_so_and_what_nobody_did_stands(happened: list[Word]) -> None:
    with copied() as (source, target):
        sides = {"source": source, "target": target}
        made, ended = {(table, who): set[str]() for table in TABLES for who in "ab"}, set[str]()
        for i, op in enumerate([*happened, COPY]):
            store, at = sides[op.side], f"2026-09-21T00:00:{i:02d}+00:00"
            mark, before = store.mark("customer", op.person), names(store, op.person)
            if op.what == "copy":
                copy_store(source, target.engine, MASTER)
                continue
            if op.what == "back":
                copy_store(target, source.engine, MASTER)
                continue
            with allowed():
                if op.what == "hold":
                    store.hold(mark, Hold(at, "dpo", "case 7"))
                elif op.what == "begin":
                    store.begin(mark, f"e-{i}", at)
                elif op.what == "release":
                    store.release(mark)
                else:
                    store.finish(mark)
            after = names(store, op.person)
            for table in TABLES:
                made[table, op.person] |= after[table] - before[table]
                ended |= before[table] - after[table]
        for (table, who), all_of_them in made.items():
            found, left = names(target, who)[table], all_of_them - ended
            assert found <= left, "what was let go of on one side came back from the other"
            assert bool(found) is bool(left), "what nobody let go of is lost"


TABLES = {"holds": "since", "unfinished": "id"}


def names(store: KeyStore, person: str) -> dict[str, set[str]]:
    """What stands about a person, by what no other row has."""
    mark = store.mark("customer", person)
    query = "SELECT {} FROM {} WHERE mark = ?"
    return {t: {r[0] for r in store.engine.read(query.format(by, t), (mark,))} for t, by in TABLES.items()}


@contextmanager
def allowed() -> Generator[None]:
    """A hold that meets an erasure is refused, and the other way round."""
    try:
        yield
    except SerinusError as error:
        if error.code != "SRN-PRIVACY-006":
            raise
