"""A key store that was put back to an earlier state: whoever follows erasures hears of the later ones."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest
from msgspec.structs import replace

from serinus.features.online import MemoryStore
from serinus.home import Home
from serinus.privacy import find_keys, open_store
from serinus.review.queue import Queue
from serving.outcomes.store import Store
from serving.scorer.subjects import learn
from tests.support.entities import cards, payment
from tests.unit.outcomes.test_erased import engine
from tests.unit.privacy import support
from tests.unit.scorer_entities.support import rig

AT = "2026-09-21T00:00:00+00:00"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


class Backup:
    """Of the key store, whose connections are closed when it is taken and when it is put back."""

    def __init__(self, home: Home) -> None:
        self._file = home.root / "privacy" / "keys.db"
        self._kept = home.root / "backup.db"
        shutil.copy(self._file, self._kept)

    def put_back(self) -> None:
        for path in self._file.parent.glob("keys.db*"):
            path.unlink()
        shutil.copy(self._kept, self._file)


def erase(home: Home, name: str, kind: str = "customer") -> None:
    store = open_store(home, {})
    assert store.destroy(store.mark(kind, name), AT)
    store.close()


def test_the_review_queue_drops_who_was_erased_under_a_number_that_it_knows(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(support, "ANSWER", replace(support.ANSWER, decision="review"))
    support.decide(home, "ann", "bob", "eve")
    backup = Backup(home)

    def waiting() -> list[str]:
        keys = find_keys(home)
        queue = Queue(home.root / "review" / "queue.db", home.decisions, keys)
        queue.sync()
        found = [case.id for case in queue.waiting()]
        if keys._store is not None:
            keys._store.close()
        return found

    assert waiting() == ["r0", "r1", "r2"]
    erase(home, "ann")
    assert waiting() == ["r1", "r2"]
    backup.put_back()
    erase(home, "bob")
    assert waiting() == ["r2"]


def test_the_join_drops_who_was_erased_under_a_number_that_it_knows(home: Home) -> None:
    support.decide(home, "ann", "bob", "eve")
    backup, file = Backup(home), home.root / "outcomes.sqlite"

    def erased() -> int:
        made = engine(home, Store(file))
        made.read()
        made.look()
        if made._keys is not None and made._keys._store is not None:
            made._keys._store.close()
        return made._store.result_counts()["erased"]

    assert erased() == 0
    erase(home, "ann")
    assert erased() == 1
    backup.put_back()
    erase(home, "bob")
    assert erased() == 2


def test_histories_of_who_was_erased_under_a_number_that_they_know_are_forgotten(
    home: Home, tmp_path: Path
) -> None:
    contract, file = cards(privacy={"subject": "card"}), tmp_path / "histories"

    def remembered() -> list[str]:
        store, persons = MemoryStore(contract, file), support.subjects(home)
        persons.column = "card"
        asyncio.run(learn(persons, store))
        persons.close()
        names = sorted(store.stream.names(0))
        asyncio.run(store.close())
        return names

    store, persons = MemoryStore(contract, file), support.subjects(home)
    persons.column = "card"
    made = rig(contract, store, subjects=persons)
    made.scores(*(payment(number, number, card=name) for number, name in enumerate(("ann", "bob", "eve"))))
    made.recorder.write()
    store.save()
    asyncio.run(store.close())
    persons.close()
    backup = Backup(home)
    erase(home, "ann", "card")
    assert remembered() == ["bob", "eve"]
    backup.put_back()
    erase(home, "bob", "card")
    assert remembered() == ["eve"]
