"""What every store of keys promises, held against each: a file, and a PostgreSQL that is killed."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from serinus.audit import AuditLog
from serinus.errors import SerinusError
from serinus.events import WithheldEvent, decode_decision
from serinus.privacy import KeyStore, MasterKey, Withheld
from serinus.privacy.erase import BEGUN, DONE, Asked, Erasure, erase
from serinus.privacy.retention import Retention
from serinus.privacy.store import Hold, NewKey
from tests.local.privacy.conftest import Place
from tests.unit.privacy.support import NOW, bodies, decide, outcome, subjects

pytestmark = pytest.mark.local
AT = "2026-09-21T00:00:00+00:00"
STEPS = ("begun", "recorded", "outcomes", "histories", "destroyed", "confirmed", "finished")


def new(store: KeyStore, name: str) -> NewKey:
    return NewKey(os.urandom(16).hex(), store.mark("customer", name), os.urandom(32), AT)


def heard(store: KeyStore, position: str) -> tuple[list[str], str]:
    gone = store.erased_after(position)
    return [erased.key for erased in gone], gone[-1].position if gone else position


def test_a_key_that_was_kept_outlives_a_crash(place: Place) -> None:
    store, reader = place.open(), place.open(at_once=True)
    key = new(store, "ann")
    store.add([key])
    place.crash()
    reader.engine.refresh()
    for found in (store, reader, place.open()):
        assert found.find(key.mark) == (key.id, key.key)
    assert store.find_all([key.mark, b"nobody"]) == {key.mark: (key.id, key.key)}


def test_what_is_kept_names_nobody_and_holds_no_key(place: Place) -> None:
    store = place.open()
    key = new(store, "customer-0815")
    store.add([key])
    rows = [store.engine.read(f"SELECT * FROM {table}") for table in ("meta", "keys", "erased", "kinds")]
    kept = b"".join(
        cell if isinstance(cell, bytes) else str(cell).encode() for t in rows for r in t for cell in r
    )
    assert key.id.encode() in kept
    assert key.key not in kept
    assert b"0815" not in kept


def test_keys_may_be_added_again_when_nobody_knows_whether_they_were(place: Place) -> None:
    store = place.open()
    first, second = new(store, "ann"), new(store, "bob")
    store.add([first])
    store.add([first, second])
    assert store.counts() == (2, 0)
    store.destroy(first.mark, AT)
    store.add([first])
    assert store.counts() == (1, 1), "what was destroyed does not come back"


def test_all_keys_of_a_person_go_at_once_and_nobody_elses(place: Place) -> None:
    store, other = place.open(), place.open()
    mine, also, bobs = new(store, "ann"), new(other, "ann"), new(store, "bob")
    store.add([mine, bobs])
    other.add([also])
    assert sorted(store.destroy(mine.mark, AT)) == sorted([mine.id, also.id])
    place.crash()
    assert other.key(bobs.id) == bobs.key
    with pytest.raises(Withheld, match="erased on 2026-09-21") as caught:
        other.key(also.id)
    assert caught.value.verdict == "erased"
    assert sorted(heard(other, "")[0]) == sorted([mine.id, also.id])
    assert other.destroy(mine.mark, AT) == []


def test_a_transaction_that_does_not_end_has_done_nothing(place: Place) -> None:
    store = place.open()
    keys = [new(store, "ann"), new(store, "ann")]
    store.add(keys)

    def cut_short() -> None:
        with store.engine.transaction() as run:
            run("DELETE FROM keys WHERE mark = ?", (keys[0].mark,))
            if place.server is None:
                raise ZeroDivisionError
            place.crash()

    with pytest.raises((SerinusError, ZeroDivisionError)):
        cut_short()
    assert store.counts() == (2, 0)
    assert len(store.destroy(keys[0].mark, AT)) == 2


def test_who_follows_hears_of_every_erasure_though_many_come_at_once(place: Place) -> None:
    follower, stores = place.open(), [place.open() for _ in range(4)]
    keys = [[new(store, f"p{i}-{j}") for j in range(15)] for i, store in enumerate(stores)]
    failed: list[BaseException] = []

    def work(store: KeyStore, mine: list[NewKey]) -> None:
        try:
            for key in mine:
                store.add([key])
                store.destroy(key.mark, AT)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=pair) for pair in zip(stores, keys, strict=True)]
    for thread in threads:
        thread.start()
    told, position = list[str](), ""
    while any(thread.is_alive() for thread in threads):
        gone, position = heard(follower, position)
        told += gone
    told += heard(follower, position)[0]
    assert failed == []
    assert sorted(told) == sorted(key.id for mine in keys for key in mine)


@pytest.mark.parametrize("later", ["nobody", "another", "the same again"])
def test_after_a_backup_was_put_back_every_erasure_is_heard(place: Place, later: str) -> None:
    store = place.open()
    ann, bob, eve = new(store, "ann"), new(store, "bob"), new(store, "eve")
    store.add([ann, bob, eve])
    restore = place.backup()
    store = place.open()
    store.destroy(ann.mark, AT)
    store.destroy(bob.mark, AT)
    told, position = heard(store, "")
    assert told == [ann.id, bob.id]
    restore()
    store = place.open()
    if later == "nobody":
        assert heard(store, position) == ([], position)
    # Numbers are given anew: eve's is one that was heard of, and the last is bob's as before.
    store.destroy(eve.mark, AT)
    if later == "the same again":
        assert store.destroy_again({bob.id: AT}) == [bob.id]
        assert heard(store, position)[0] == [eve.id, bob.id]
    elif later == "another":
        store.destroy(ann.mark, AT)
        assert heard(store, position)[0] == [eve.id, ann.id]
    else:
        assert heard(store, position)[0] == [eve.id]
    last = heard(store, position)[1]
    assert heard(store, last) == ([], last), "and once"


def test_a_position_of_an_earlier_version_goes_on_where_it_was(place: Place) -> None:
    store = place.open()
    ann, bob = new(store, "ann"), new(store, "bob")
    store.add([ann, bob])
    store.destroy(ann.mark, AT)
    store.destroy(bob.mark, AT)
    assert heard(store, "1")[0] == [bob.id]
    assert heard(store, "7")[0] == [ann.id, bob.id]


def test_a_hold_and_an_erasure_exclude_each_other(place: Place) -> None:
    store, other = place.open(), place.open()
    mark = store.mark("customer", "ann")
    store.hold(mark, Hold(AT, "dpo", "old"))
    store.hold(mark, Hold(AT, "dpo", "case 7"))
    with pytest.raises(SerinusError, match=r"SRN-PRIVACY-006.*case 7"):
        other.begin(mark, "e-1", AT)
    assert (other.release(mark), other.release(mark)) == (True, False)
    assert other.begin(mark, "e-1", AT) == "e-1"
    place.crash()
    assert store.begin(mark, "e-2", AT) == "e-1", "the one that was begun goes on"
    with pytest.raises(SerinusError, match=r"SRN-PRIVACY-006.*too late"):
        store.hold(mark, Hold(AT, "dpo", "case 8"))
    store.finish(mark)
    assert other.unfinished() == []


def test_after_a_rotation_the_old_master_key_is_worth_nothing(place: Place, tmp_path: Path) -> None:
    running, store = place.open(), place.open()
    keys = [new(store, f"p{i}") for i in range(1200)]
    store.add(keys)
    aside, before = place.master.with_name("master.key.new"), place.master.read_bytes()
    assert store.rewrap(MasterKey.create(aside)) == 1200
    late = new(running, "late")
    with pytest.raises(SerinusError, match="SRN-PRIVACY-003"):
        running.add([late])  # its file is the old one's still
    os.replace(aside, place.master)
    running.add([late])
    assert running.key(keys[-1].id) == keys[-1].key
    place.crash()
    assert place.open().key(late.id) == late.key
    place.master.write_bytes(before)
    with pytest.raises(SerinusError, match="SRN-PRIVACY-003"):
        place.open()


def test_columns_are_noted_once(place: Place) -> None:
    store, other = place.open(), place.open()
    for each in (store, other, store):
        each.add_kind("customer")
    other.add_kind("request")
    assert store.kinds() == ["customer", "request"]


class Killed(BaseException):
    pass


@pytest.mark.parametrize("last", STEPS)
def test_an_erasure_killed_after_any_step_is_finished_by_asking_again(place: Place, last: str) -> None:
    decide(place.home, "ann", "bob", "ann", environment=place.environment)
    outcome(place.home, "r0", [1.0])

    def do(step: str = "") -> Erasure:
        def kill(done: str) -> None:
            if done == step:
                place.crash()
                raise Killed

        asked = Asked(kind="customer", subject="ann", by="dpo", reason="case 12")
        return erase(place.home, place.open(), asked, now=NOW, retention=Retention(), step=kill)

    with pytest.raises(Killed):
        do(last)
    assert do().verdict == ("erased" if last != "finished" else "already")
    store = place.open()
    events = [decode_decision(body, store) for body in bodies(place.home)]
    assert [isinstance(event, WithheldEvent) for event in events] == [True, False, True]
    assert [entry.action for entry in AuditLog(place.home.audit).entries()] == [BEGUN, DONE]
    assert store.unfinished() == []


def test_an_erasure_whose_server_goes_is_finished_when_it_is_back(cluster: Place) -> None:
    decide(cluster.home, "ann", "bob", environment=cluster.environment)
    server, store = cluster.server, cluster.open()
    assert server is not None
    asked = Asked(kind="customer", subject="ann", by="dpo", reason="case 12")

    def goes(done: str) -> None:
        if done == "histories":
            server.kill()

    with pytest.raises(SerinusError, match="SRN-PRIVACY-002"):
        erase(cluster.home, store, asked, now=NOW, retention=Retention(), step=goes)
    server.start()
    assert erase(cluster.home, store, asked, now=NOW, retention=Retention()).verdict == "erased"
    assert store.counts() == (1, 1)


def test_a_scorer_hears_of_what_another_process_erases(place: Place) -> None:
    persons = subjects(place.home, environment=place.environment)
    (before,) = persons.keys("r1", ("ann",), 1)
    persons.flush()
    store = place.open()
    store.destroy(store.mark("customer", "ann"), AT)
    gone = persons.learn()
    persons.learned(gone)
    (after,) = persons.keys("r2", ("ann",), 1)
    assert (persons.learn(), after.id != before.id) == ([], True)
    persons.close()


def test_a_batch_finds_who_is_known_and_makes_who_is_new(place: Place) -> None:
    first, second = (subjects(place.home, environment=place.environment) for _ in range(2))
    known = first.keys("r1", ("ann", "bob"), 2)
    first.flush()
    ann, eve, again, bob = second.keys("r2", ("ann", "eve", "eve", "bob"), 4)
    assert (ann.id, bob.id) == (known[0].id, known[1].id)
    assert eve.id == again.id
    first.close()
    second.close()
