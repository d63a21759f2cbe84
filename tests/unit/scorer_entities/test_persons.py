"""Requests by entity: the record names the person, and an erased one's history is forgotten."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from serinus.contract import Contract
from serinus.errors import SerinusError
from serinus.events import DecisionEvent, decode_decision
from serinus.features.online import MemoryStore
from serinus.features.online.forget import RedisHistories
from serinus.features.online.link import Link
from serinus.features.online.redis import RedisStore
from serinus.home import Home
from serinus.privacy import open_store
from serinus.privacy.seal import key_of
from serving.scorer.subjects import Subjects, learn
from tests.support.entities import cards, payment
from tests.support.redis import RedisServer, need_redis
from tests.unit.scorer_entities.support import NOW, rig

AT = "2026-02-04T00:00:00+00:00"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def contract(**privacy: str) -> Contract:
    return cards(privacy={"subject": "card", **privacy})


def persons(home: Home, **privacy: str) -> Subjects:
    made = contract(**privacy).privacy
    assert made is not None
    return Subjects(made, open_store(home, {}, create=True), open_store(home, {}), now=lambda: NOW)


def erased(home: Home, name: str) -> None:
    store = open_store(home, {})
    mark = store.mark("card", name)
    if not store.keys_of(mark):
        raise AssertionError(f"{name} has no key")
    store.destroy(mark, AT)


def test_each_record_of_a_request_is_sealed_for_its_own_person(home: Home) -> None:
    made = rig(contract(), subjects=persons(home))
    made.scores(payment(1, 1, card="ann"), payment(2, 2, card="bob"), payment(3, 3, card="ann"))
    made.recorder.write()
    store = open_store(home, {})
    first, second, third = map(key_of, made.sink.sealed)
    assert first == third != second
    assert first in store.keys_of(store.mark("card", "ann"))
    assert all(isinstance(decode_decision(body, store), DecisionEvent) for body in made.sink.sealed)


def test_a_number_and_its_text_name_the_same_person(home: Home) -> None:
    made = rig(contract(), subjects=persons(home))
    made.scores(payment(1, 1, card=7), payment(2, 2, card="7"))
    made.recorder.write()
    assert len(set(map(key_of, made.sink.sealed))) == 1


def test_a_record_that_names_nobody_is_refused(home: Home) -> None:
    made = rig(cards(privacy={"subject": "shop"}), subjects=persons(home))
    made.service._subjects.column = "shop"  # type: ignore[union-attr]
    assert made.refused(payment(1, 1, shop=None)).startswith("400 shop: decisions are sealed by person")


def test_histories_of_who_was_erased_are_forgotten_and_only_theirs(home: Home) -> None:
    store, keys = MemoryStore(contract()), persons(home)
    made = rig(contract(), store, subjects=keys)
    made.scores(payment(1, 1, card="ann"), payment(2, 2, card="bob"))
    made.recorder.write()
    erased(home, "ann")
    asyncio.run(learn(keys, store))
    assert store.stream.names(0) == ["bob"]
    assert store.erasures.startswith("1:")
    assert not store.stream.seen("1")
    assert store.stream.seen("2")
    made.scores(payment(3, 2.5, card="ann"))
    made.recorder.write()
    event = decode_decision(made.sink.sealed[-1], open_store(home, {}))
    assert isinstance(event, DecisionEvent)
    assert event.data.features[3] == 0, "no payment of theirs is remembered"


def test_the_file_forgets_too_and_who_came_back_is_not_forgotten_at_a_restart(
    home: Home, tmp_path: Path
) -> None:
    file, keys = tmp_path / "histories", persons(home)
    store = MemoryStore(contract(), file)
    made = rig(contract(), store, subjects=keys)
    made.scores(payment("first", 1, card="ann-4711"))
    made.recorder.write()
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("histories*"))
    assert b"ann-4711" in kept
    erased(home, "ann-4711")
    asyncio.run(learn(keys, store))
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("histories*"))
    assert b"ann-4711" not in kept
    assert b"first" not in kept
    made.scores(payment("second", 2, card="ann-4711"))
    asyncio.run(store.close())

    again = MemoryStore(contract(), file)
    asyncio.run(learn(persons(home), again))
    assert again.stream.names(0) == ["ann-4711"]


def test_a_scorer_that_was_down_hears_of_it_when_it_starts(home: Home, tmp_path: Path) -> None:
    file, keys = tmp_path / "histories", persons(home)
    store = MemoryStore(contract(), file)
    made = rig(contract(), store, subjects=keys)
    made.scores(payment(1, 1, card="ann"), payment(2, 2, card="bob"))
    made.recorder.write()
    asyncio.run(store.close())
    erased(home, "ann")
    again = MemoryStore(contract(), file)
    asyncio.run(learn(persons(home), again))
    assert again.stream.names(0) == ["bob"]


@pytest.mark.parametrize("fails", ["save", "matching"])
def test_an_erasure_that_failed_once_is_learned_at_the_next_try(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    file, keys = tmp_path / "histories", persons(home)
    store = MemoryStore(contract(), file)
    made = rig(contract(), store, subjects=keys)
    made.scores(payment("first", 1, card="ann-4711"), payment("second", 2, card="bob"))
    made.recorder.write()
    erased(home, "ann-4711")
    with monkeypatch.context() as broken:

        def fail(*given: object) -> None:
            raise SerinusError("SRN-FEATURES-009", "the disk is full", hint="Make room.")

        broken.setattr(*((store, "save") if fails == "save" else (keys, "matching")), fail)
        with pytest.raises(SerinusError, match="SRN-FEATURES-009"):
            asyncio.run(learn(keys, store))
    assert store.erasures == ""
    asyncio.run(learn(keys, store))
    assert store.erasures.startswith("1:")
    assert store.stream.names(0) == ["bob"]
    assert b"ann-4711" not in b"".join(path.read_bytes() for path in tmp_path.glob("histories*"))


def test_a_key_whose_erasure_is_learned_while_it_is_looked_up_is_not_kept(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = persons(home)
    (first,) = before.keys("r1", ("ann",), 1)
    before.flush()
    keys = persons(home)
    find = keys._reader.find

    def slow(mark: bytes) -> tuple[str, bytes] | None:
        found = find(mark)
        erased(home, "ann")
        assert [gone.key for gone in keys.learn()] == [first.id]
        return found

    with monkeypatch.context() as late:
        late.setattr(keys._reader, "find", slow)
        assert keys.keys("r2", ("ann",), 1)[0].id == first.id
    assert keys.keys("r3", ("ann",), 1)[0].id != first.id


def test_redis_forgets_the_person_and_nobody_else(tmp_path: Path) -> None:
    need_redis()
    with RedisServer(tmp_path) as server:

        async def fill() -> list[str]:
            store = RedisStore(contract(), Link(server.url, deadline=20))
            events = [
                store.reader.event(payment(i, i / 10, card=card, shop="ann"))
                for i, card in enumerate(["ann", "bob", "ann", "an*", "h0:ann"])
            ]
            await store.add(events, [f"d{i}" for i in range(len(events))])
            return await names(store)

        async def names(store: RedisStore) -> list[str]:
            found = await store.link.command("KEYS", "*")
            await store.close()
            return sorted(key.decode().partition("}:")[2] for key in found)

        before = asyncio.run(fill())
        histories = RedisHistories(server.url, [contract(), contract(), cards()])
        assert histories.forget("card", "ann") == 1
        assert histories.forget("card", "ann") == 0
        after = asyncio.run(names(RedisStore(contract(), Link(server.url, deadline=20))))
        assert sorted(set(before) - set(after)) == ["d:d0", "d:d2", "e:0", "e:2", "h0:ann"]
        assert "h1:ann" in after, "a shop of that name is another matter"
        assert histories.forget("card", "an*") == 1
        histories.close()
