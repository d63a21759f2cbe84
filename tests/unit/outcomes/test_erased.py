"""Sealed decisions are joined like others; who was erased is dropped from the join, and counts stay."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec
import pytest

from serinus.contract import Protected
from serinus.errors import SerinusError
from serinus.follow import exactly, matching
from serinus.home import Home
from serinus.privacy import NoKeys, find_keys, open_store
from serinus.privacy.protected import seal_protected
from serving.outcomes.engine import Engine, Settings
from serving.outcomes.store import Store
from tests.support.bundles import small_contract
from tests.unit.outcomes.lines import protected
from tests.unit.privacy.support import NOW, bodies, decide, outcome

AT = "2026-09-22T00:00:00+00:00"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def engine(home: Home, store: Store) -> Engine:
    base = small_contract()
    label = msgspec.structs.replace(base.label, delay="1d")
    contract = msgspec.structs.replace(base, label=label, protected=(Protected(column="race"),))
    return Engine(
        Settings(model="credit", contract=contract, keep=60 * 86_400.0, grace=0.0),
        store,
        {
            "decisions": matching(home.decisions, "credit-*.jsonl"),
            "protected": exactly(home.root / "protected.jsonl"),
            "feedback": exactly(home.decisions / "credit.feedback.jsonl"),
        },
        clock=lambda: NOW + 10 * 86_400,
        keys=find_keys(home),
    )


def test_sealed_decisions_are_joined_and_the_erased_are_dropped(home: Home) -> None:
    decide(home, "ann", "bob", "ann")
    for request in ("r0", "r1", "r2"):
        outcome(home, request, [1])
    store = Store(home.root / "outcomes.sqlite")
    made = engine(home, store)
    made.read()
    made.look()
    assert store.outcome_counts() == {("champion", "decline", "bad"): 3}
    keys = open_store(home, {})
    keys.destroy(keys.mark("customer", "ann"), AT)
    made.look()
    assert store.coverage("champion", 0, 4e9) == (1, 1)
    assert store.result_counts()["erased"] == 2
    assert store.outcome_counts() == {("champion", "decline", "bad"): 3}, "counts name nobody"
    made.look()
    assert store.result_counts()["erased"] == 2


def test_who_is_erased_before_the_log_is_read_is_counted_and_nothing_breaks(home: Home) -> None:
    decide(home, "ann", "bob")
    keys = open_store(home, {})
    keys.destroy(keys.mark("customer", "ann"), AT)
    store = Store(None)
    made = engine(home, store)
    made.read()
    made.look()
    assert (store.result_counts()["sealed"], store.result_counts()["unreadable"]) == (1, 0)
    assert store.coverage("champion", 0, 4e9) == (0, 1)


def test_without_keys_sealed_lines_are_counted_and_lines_of_other_models_are_not(home: Home) -> None:
    decide(home, "ann")
    (home.root / "privacy").rename(home.root / "elsewhere")
    store = Store(None)
    engine(home, store).read()
    assert store.result_counts()["sealed"] == 1


def test_a_store_of_before_gets_the_column(home: Home, tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite"
    Store(path).close()
    with sqlite3.connect(path) as db:
        db.execute("DROP INDEX by_key")
        db.execute("ALTER TABLE decisions DROP COLUMN key")
    decide(home, "ann")
    store = Store(path)
    engine(home, store).read()
    assert (
        store.erase(list(open_store(home, {}).keys_of(open_store(home, {}).mark("customer", "ann"))), "1:a")
        == 1
    )


def test_protected_attributes_are_sealed_with_the_decisions_key(home: Home) -> None:
    decide(home, "ann", "bob")
    clear, sealed = home.root / "clear.jsonl", home.root / "protected.jsonl"
    clear.write_bytes(
        protected("r0", race="black") + b"\n" + protected("r1", race="white") + protected("x", race="a")
    )
    keys = open_store(home, {})
    done = seal_protected(clear, sealed, [home.decisions], keys)
    assert (done.sealed, done.clear, done.before, done.left_out) == (2, 1, 0, 0)
    text = sealed.read_bytes()
    assert b"black" not in text
    assert b"white" not in text
    assert sealed.stat().st_mode & 0o777 == 0o600

    store = Store(None)
    engine(home, store).read()
    found = store._db.execute("SELECT id, attribute, value FROM groups ORDER BY id").fetchall()
    assert found == [("r0", "race", "black"), ("r1", "race", "white"), ("x", "race", "a")]
    keys.destroy(keys.mark("customer", "ann"), AT)
    assert seal_protected(clear, sealed, [home.decisions], keys).left_out == 1
    assert seal_protected(sealed, sealed, [home.decisions], keys).before == 1


def test_sealing_a_file_in_its_place_loses_no_line_but_of_who_is_erased(home: Home) -> None:
    decide(home, "ann", "bob")
    place, apart = home.root / "protected.jsonl", home.root / "apart.jsonl"
    lines = protected("r0", race="black") + protected("r1", race="white")
    place.write_bytes(lines)
    with pytest.raises(SerinusError, match="SRN-PRIVACY-009") as caught:
        seal_protected(place, place, [home.decisions], NoKeys())
    assert caught.value.where.endswith("line 1")
    assert place.read_bytes() == lines
    assert seal_protected(place, apart, [home.decisions], NoKeys()).left_out == 2
    keys = open_store(home, {})
    keys.destroy(keys.mark("customer", "ann"), AT)
    done = seal_protected(place, place, [home.decisions], keys)
    assert (done.sealed, done.left_out) == (1, 1)


def test_an_attribute_cannot_be_moved_to_another_request(home: Home) -> None:
    from serving.outcomes.records import Groups, Sealed, read_groups

    decide(home, "ann", "ann")
    clear, sealed = home.root / "clear.jsonl", home.root / "protected.jsonl"
    clear.write_bytes(protected("r0", race="black"))
    keys = open_store(home, {})
    seal_protected(clear, sealed, [home.decisions], keys)
    line = sealed.read_bytes()
    assert read_groups(line, keys) == Groups("r0", {"race": "black"})
    assert isinstance(read_groups(line.replace(b'"r0"', b'"r1"'), keys), Sealed)
    assert len(bodies(home)) == 2
