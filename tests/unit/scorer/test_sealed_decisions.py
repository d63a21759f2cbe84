"""Decisions sealed by person: whose key, from where, and what happens when nobody is named or somebody was erased."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from serinus.errors import SerinusError
from serinus.events import DecisionEvent, WithheldEvent, decode_decision
from serinus.home import Home
from serinus.privacy import KeyStore, open_store
from serinus.privacy.seal import key_of
from serinus.privacy.sqlite import SqliteEngine
from serving.scorer.metrics import Metrics
from serving.scorer.subjects import Subjects, follow
from tests.unit.privacy.support import IDENTITY, subjects
from tests.unit.scorer.support import BAD, GOOD, Rig, rig, v1, v2

AT = "2026-09-21T00:00:00+00:00"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def logged(made: Rig, home: Home) -> list[DecisionEvent | WithheldEvent]:
    made.service.recorder.write()
    keys = open_store(home, {})
    return [decode_decision(body, keys) for body in made.sink.sealed]


def owner(store: KeyStore, body: bytes, kind: str, name: str) -> bool:
    return key_of(body) in store.keys_of(store.mark(kind, name))


@pytest.mark.parametrize("path", ["/api/v1.0/predictions", "/v2/models/small/infer"])
def test_the_header_names_the_person(home: Home, path: str) -> None:
    made = rig(subjects=subjects(home))
    document = v1(GOOD) if path.startswith("/api") else v2(GOOD)
    answered = made.predict(document, path, Serinus_Subject="ann")
    assert answered.status == 200
    (event,) = logged(made, home)
    assert isinstance(event, DecisionEvent)
    assert made.sink.events == []
    assert owner(open_store(home, {}), made.sink.sealed[0], "customer", "ann")
    assert b"ann" not in made.sink.sealed[0]


def test_one_person_has_one_key_two_have_two(home: Home) -> None:
    made = rig(subjects=subjects(home))
    for name in ("ann", "bob", "ann"):
        made.predict(v1(GOOD), Serinus_Subject=name)
    logged(made, home)
    first, second, third = map(key_of, made.sink.sealed)
    assert first == third != second


def test_a_new_scorer_takes_the_key_that_there_is(home: Home) -> None:
    for _ in range(2):
        made = rig(subjects=subjects(home))
        made.predict(v1(GOOD), Serinus_Subject="ann")
        logged(made, home)
    store = open_store(home, {})
    assert len(store.keys_of(store.mark("customer", "ann"))) == 1


def test_a_request_that_names_nobody_is_refused_and_nothing_is_logged(home: Home) -> None:
    made = rig(subjects=subjects(home))
    answered = made.predict(v1(GOOD))
    assert answered.status == 400
    assert "Serinus-Subject" in answered.json["status"]["info"]
    assert logged(made, home) == []
    assert made.metric('serinus_requests_total{code="400",model="small",predictor="canary"}') == 1


def test_or_it_is_sealed_with_a_key_of_its_own(home: Home) -> None:
    made = rig(subjects=subjects(home, without="request"))
    assert made.predict(v1(GOOD), Seldon_Puid="r7").status == 200
    assert made.predict(v1(GOOD, BAD), Seldon_Puid="b").status == 200
    assert [event.id for event in logged(made, home)] == ["r7", "b.0", "b.1"]
    store = open_store(home, {})
    for body, name in zip(made.sink.sealed, ("r7", "b.0", "b.1"), strict=True):
        assert owner(store, body, "request", name)


@pytest.mark.parametrize("name", ["", "x" * 201, "\xff\xfe"])
def test_a_name_that_is_none_is_refused(home: Home, name: str) -> None:
    made = rig(subjects=subjects(home))
    assert made.predict(v1(GOOD), Serinus_Subject=name).status == 400


def test_without_the_contracts_word_nothing_is_sealed_and_the_header_means_nothing() -> None:
    made = rig()
    assert made.predict(v1(GOOD), Serinus_Subject="ann").status == 200
    made.service.recorder.write()
    assert (len(made.sink.events), made.sink.sealed) == (1, [])


def test_large_bodies_and_batches_are_sealed_too(home: Home) -> None:
    made = rig(subjects=subjects(home))
    assert made.predict(v1(*[GOOD] * 700), Serinus_Subject="ann").status == 200
    found = logged(made, home)
    assert len(found) == 700
    assert {type(event) for event in found} == {DecisionEvent}


def test_keys_are_kept_before_the_lines_that_they_seal(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    persons = subjects(home)
    made = rig(subjects=persons)
    made.predict(v1(GOOD), Serinus_Subject="ann")

    def fails(self: KeyStore, keys: Any) -> None:
        raise SerinusError("SRN-PRIVACY-002", "the disk is full", hint="Free space.")

    with monkeypatch.context() as patched:
        patched.setattr(KeyStore, "add", fails)
        with pytest.raises(SerinusError, match="SRN-PRIVACY-002"):
            made.service.recorder.write()
    assert made.sink.sealed == []
    (event,) = logged(made, home)
    assert isinstance(event, DecisionEvent)


def test_a_store_that_cannot_be_asked_is_503_and_no_decision(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = rig(subjects=subjects(home))

    def fails(self: KeyStore, mark: bytes) -> None:
        raise SerinusError("SRN-PRIVACY-002", "no", hint="Mend it.")

    monkeypatch.setattr(KeyStore, "find", fails)
    answered = made.predict(v1(GOOD), Serinus_Subject="ann")
    assert (answered.status, answered.headers["retry-after"]) == (503, "1")
    made.service.recorder.write()
    assert made.sink.sealed == []


def test_after_an_erasure_the_next_decision_has_a_new_key(home: Home) -> None:
    persons = subjects(home)
    made = rig(subjects=persons)
    made.predict(v1(GOOD), Serinus_Subject="ann")
    made.predict(v1(GOOD), Serinus_Subject="bob")
    logged(made, home)
    store = open_store(home, {})
    gone = store.destroy(store.mark("customer", "ann"), AT)
    learned = persons.learn()
    assert [erased.key for erased in learned] == gone
    assert persons.learn() == learned, "until it is said to be done"
    persons.learned(learned)
    assert persons.learn() == []
    made.predict(v1(GOOD), Serinus_Subject="ann")
    made.predict(v1(GOOD), Serinus_Subject="bob")
    verdicts = [getattr(event.data, "verdict", "open") for event in logged(made, home)]
    assert verdicts == ["erased", "open", "open", "open"]


def test_what_is_kept_in_memory_is_bounded(home: Home) -> None:
    persons = subjects(home, keep=3)
    made = rig(subjects=persons)
    for i in range(10):
        made.predict(v1(GOOD), Serinus_Subject=f"p{i}")
    made.service.recorder.write()
    assert list(persons._known) == ["p7", "p8", "p9"]
    made.predict(v1(GOOD), Serinus_Subject="p0")
    logged(made, home)
    store = open_store(home, {})
    assert len(store.keys_of(store.mark("customer", "p0"))) == 1, "it is found again in the store"


def test_a_store_that_fails_is_reported_once_and_looked_at_again(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    persons, told, looks = subjects(home), list[SerinusError](), list[int]()

    def learn(self: Subjects) -> list[Any]:
        looks.append(1)
        if len(looks) in (1, 2, 4):
            raise SerinusError("SRN-PRIVACY-002", "no", hint="Mend it.")
        return []

    monkeypatch.setattr(Subjects, "learn", learn)
    monkeypatch.setattr("serving.scorer.subjects.LEARN_EVERY", 0)

    async def story() -> None:
        task = asyncio.create_task(follow(persons, None, told.append, lambda: None))
        while len(looks) < 6:
            await asyncio.sleep(0)
        task.cancel()

    asyncio.run(story())
    assert [error.code for error in told] == ["SRN-PRIVACY-002"] * 2


def test_a_store_that_was_put_back_is_counted_for_prometheus_and_reported_once(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, persons = open_store(home, {}, create=True), subjects(home)
    metrics, told = Metrics(IDENTITY, ()), list[SerinusError]()
    persons.keys("r1", ("ann",), 1)
    persons.flush()
    monkeypatch.setattr("serving.scorer.subjects.LEARN_EVERY", 0)

    def shown() -> str:
        line = 'serinus_subject_keys_put_back_total{model="credit",predictor="champion"} '
        return metrics.exposition().decode().partition(line)[2].partition("\n")[0]

    async def story() -> None:
        looks, learn = list[int](), persons.learn
        monkeypatch.setattr(persons, "learn", lambda: looks.append(1) or learn())
        task = asyncio.create_task(follow(persons, None, told.append, metrics.keys_put_back))
        while len(looks) < 2:
            await asyncio.sleep(0)
        assert shown() == "0.0"
        with store.engine.transaction() as run:
            run("DELETE FROM keys")
        monkeypatch.setattr(SqliteEngine, "session", 1)  # as after another server answers
        while len(looks) < 6:
            await asyncio.sleep(0)
        task.cancel()

    asyncio.run(story())
    assert (shown(), [error.code for error in told]) == ("1.0", ["SRN-PRIVACY-012"])
    assert store.counts() == (1, 0)


def test_the_answer_is_the_same_as_without(home: Home) -> None:
    sealed, plain = rig(subjects=subjects(home)), rig()
    first = sealed.predict(v1(BAD), Serinus_Subject="ann", Seldon_Puid="r").json
    assert first == plain.predict(v1(BAD), Seldon_Puid="r").json
