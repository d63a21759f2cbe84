"""What a copy of a key store promises while both sides go on: nothing is lost, and nobody erased comes back."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal, NamedTuple

from hypothesis import example, given, settings
from hypothesis import strategies as st

from serinus.privacy.copying import copy_store
from serinus.privacy.master import MasterKey
from serinus.privacy.sqlite import SqliteEngine
from serinus.privacy.store import KeyStore, NewKey
from serinus.privacy.wrapping import Wrapping


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
    with tempfile.TemporaryDirectory() as directory:
        master = MasterKey(bytes(32))
        source = KeyStore(SqliteEngine(Path(directory, "source.db")), Wrapping(master))
        engine = SqliteEngine(Path(directory, "target.db"))
        copy_store(source, engine, master)
        target = KeyStore(engine, Wrapping(master))
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
                copy_store(source, engine, master)
        alive = {key for person in "ab" for key in target.keys_of(target.mark("customer", person))}
        for key, (person, at) in made.items():
            late = [when for who, when in erased if who == person and when > at]
            assert (key in alive) is (not late), "an erasure reaches it on whichever side it was"
            if not late:
                assert target.key(key) == bytes([int(key, 16)]) * 32
        for store in sides.values():
            store.close()
