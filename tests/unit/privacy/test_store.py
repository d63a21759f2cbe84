"""The key store: keys outlive what they seal, destroyed ones leave no trace, and the file names nobody."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from serinus.errors import SerinusError
from serinus.home import Home
from serinus.privacy import KeyStore, MasterKey, Withheld, find_keys, open_store, store_path
from serinus.privacy.store import NewKey

AT = "2026-09-21T00:00:00+00:00"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def new(store: KeyStore, name: str, kind: str = "customer") -> NewKey:
    return NewKey(os.urandom(16).hex(), store.mark(kind, name), os.urandom(32), AT)


def files(store: KeyStore) -> bytes:
    return b"".join(
        path.read_bytes() for path in Path(store.where).parent.iterdir() if path.name != "master.key"
    )


def test_a_key_is_found_by_its_person_and_by_its_id(home: Home) -> None:
    store = open_store(home, {}, create=True)
    key = new(store, "ann")
    store.add([key, new(store, "bob")])
    assert store.find(store.mark("customer", "ann")) == (key.id, key.key)
    assert store.key(key.id) == key.key
    assert store.find(store.mark("customer", "eve")) is None
    assert store.find(store.mark("account", "ann")) is None, "the same number in another column is another"


def test_another_process_finds_it_too(home: Home) -> None:
    store, other = open_store(home, {}, create=True), open_store(home, {})
    key = new(store, "ann")
    store.add([key])
    assert other.find(other.mark("customer", "ann")) == (key.id, key.key)


def test_a_process_that_has_it_open_twice_sees_what_another_did_and_keeps_what_it_adds(home: Home) -> None:
    reader = open_store(home, {}, create=True)
    writer = open_store(home, {})
    # Another process opens it, writes, and is the one that closes: it must not take the log away.
    child = (
        "import os, sys; from pathlib import Path; from serinus.home import Home; "
        "from serinus.privacy import open_store; from serinus.privacy.store import NewKey; "
        "store = open_store(Home(Path(sys.argv[1])), {}); "
        "store.add([NewKey(os.urandom(16).hex(), store.mark('customer', sys.argv[2]), os.urandom(32), '')]); "
        "store.close()"
    )
    for name in ("eve", "eva"):
        subprocess.run([sys.executable, "-c", child, str(home.root), name], check=True, timeout=240)
        assert writer.find(writer.mark("customer", name)) is not None
    key = new(writer, "ann")
    writer.add([key])
    assert open_store(home, {}).key(key.id) == key.key
    reader.close()
    writer.close()


def test_neither_persons_nor_keys_stand_in_the_file(home: Home) -> None:
    store = open_store(home, {}, create=True)
    key = new(store, "customer-0815")
    store.add([key])
    kept = files(store)
    assert key.id.encode() in kept
    assert key.key not in kept
    assert b"0815" not in kept


def test_a_destroyed_key_leaves_no_byte_of_itself(home: Home) -> None:
    store = open_store(home, {}, create=True)
    for i in range(200):
        store.add([new(store, f"p{i}")])
    mark = store.mark("customer", "p77")
    wrapped = store.engine.read("SELECT wrapped FROM keys WHERE mark = ?", (mark,))[0][0]
    assert wrapped in files(store)
    (gone,) = store.destroy(mark, AT)
    assert wrapped not in files(store)
    with pytest.raises(Withheld, match="erased on 2026-09-21") as caught:
        store.key(gone)
    assert (caught.value.verdict, caught.value.erased_at) == ("erased", AT)
    assert store.counts() == (199, 1)


def test_all_keys_of_a_person_go_and_nobody_elses(home: Home) -> None:
    store = open_store(home, {}, create=True)
    mine, also, other = new(store, "ann"), new(store, "ann"), new(store, "bob")
    store.add([mine, also, other])
    assert sorted(store.destroy(mine.mark, AT)) == sorted([mine.id, also.id])
    assert store.key(other.id) == other.key
    assert store.destroy(mine.mark, AT) == []


def test_only_its_owner_may_read_it(home: Home) -> None:
    store = open_store(home, {}, create=True)
    for path in (Path(store.where), Path(store.where).with_name("master.key")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(Path(store.where).parent.stat().st_mode) == 0o700


def test_another_master_key_opens_nothing_and_is_told(home: Home, tmp_path: Path) -> None:
    open_store(home, {}, create=True)
    other = tmp_path / "other.key"
    MasterKey.create(other)
    with pytest.raises(SerinusError, match="SRN-PRIVACY-003"):
        open_store(home, {"SERINUS_MASTER_KEY": str(other)})


@pytest.mark.parametrize("text", [b"", b"short", b"!" * 44, b"A" * 40])
def test_what_is_no_master_key_is_refused(home: Home, tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "m.key"
    path.write_bytes(text)
    with pytest.raises(SerinusError, match="SRN-PRIVACY-001"):
        open_store(home, {"SERINUS_MASTER_KEY": str(path)}, create=True)
    assert not store_path(home, {}).exists()


def test_of_two_first_starts_under_one_process_id_both_have_the_key_that_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, link, others = tmp_path / "master.key", os.link, list[MasterKey]()
    monkeypatch.setattr(os, "getpid", lambda: 1)  # as in two containers

    def late(source: str, target: Path) -> None:
        monkeypatch.setattr(os, "link", link)
        others.append(MasterKey.create(path))
        link(source, target)

    monkeypatch.setattr(os, "link", late)
    mine = MasterKey.create(path)
    assert mine.id == others[0].id == MasterKey.load(path).id
    assert [found.name for found in tmp_path.iterdir()] == ["master.key"]


def test_a_master_key_that_is_named_is_not_made(home: Home, tmp_path: Path) -> None:
    with pytest.raises(SerinusError, match="SRN-PRIVACY-001"):
        open_store(home, {"SERINUS_MASTER_KEY": str(tmp_path / "absent")}, create=True)
    assert not (tmp_path / "absent").exists()


def test_a_row_that_was_moved_to_another_person_opens_nothing(home: Home) -> None:
    store = open_store(home, {}, create=True)
    ann, bob = new(store, "ann"), new(store, "bob")
    store.add([ann, bob])
    with store.engine.transaction() as run:
        run(
            "UPDATE keys SET wrapped = (SELECT wrapped FROM keys WHERE id = ?) WHERE id = ?", (ann.id, bob.id)
        )
    with pytest.raises(Withheld) as caught:
        store.key(bob.id)
    assert caught.value.verdict == "unreadable"


def test_after_a_rotation_the_old_master_key_is_worth_nothing(home: Home, tmp_path: Path) -> None:
    store = open_store(home, {}, create=True)
    key = new(store, "ann")
    store.add([key])
    old = (home.root / "privacy" / "master.key").read_bytes()
    fresh = tmp_path / "fresh.key"
    assert store.rewrap(MasterKey.create(fresh)) == 1
    assert store.key(key.id) == key.key
    assert open_store(home, {"SERINUS_MASTER_KEY": str(fresh)}).key(key.id) == key.key
    (tmp_path / "old.key").write_bytes(old)
    with pytest.raises(SerinusError, match="SRN-PRIVACY-003"):
        open_store(home, {"SERINUS_MASTER_KEY": str(tmp_path / "old.key")})


def test_a_running_scorer_reads_the_rotated_master_key_by_itself(home: Home) -> None:
    running, store = open_store(home, {}, create=True), open_store(home, {})
    key = new(store, "ann")
    store.add([key])
    place = home.root / "privacy" / "master.key"
    aside = place.with_name("master.key.new")
    store.rewrap(MasterKey.create(aside))
    os.replace(aside, place)
    assert running.key(key.id) == key.key


def test_what_a_running_scorer_adds_after_a_rotation_is_wrapped_by_the_new_master_key(home: Home) -> None:
    running, store = open_store(home, {}, create=True), open_store(home, {})
    place = home.root / "privacy" / "master.key"
    aside = place.with_name("master.key.new")
    store.rewrap(MasterKey.create(aside))
    key = new(running, "ann")
    with pytest.raises(SerinusError, match="SRN-PRIVACY-003"):
        running.add([key])  # its file is the old one's still
    assert running.counts() == (0, 0)
    os.replace(aside, place)
    running.add([key])
    assert open_store(home, {}).key(key.id) == key.key


def test_a_rotation_killed_before_the_files_name_is_finished_by_the_next_who_opens(home: Home) -> None:
    store = open_store(home, {}, create=True)
    key = new(store, "ann")
    store.add([key])
    place = home.root / "privacy" / "master.key"
    store.rewrap(MasterKey.create(place.with_name("master.key.new")))
    store.close()
    assert open_store(home, {}).key(key.id) == key.key
    assert not place.with_name("master.key.new").exists()


def test_what_a_backup_brings_back_is_destroyed_again(home: Home) -> None:
    store = open_store(home, {}, create=True)
    ann, bob = new(store, "ann"), new(store, "bob")
    store.add([ann, bob])
    assert store.destroy_again({ann.id: AT, "ff" * 16: AT}) == [ann.id]
    with pytest.raises(Withheld, match="erased on"):
        store.key(ann.id)
    assert store.key(bob.id) == bob.key


def test_a_home_without_keys_gives_verdicts_and_no_errors(home: Home) -> None:
    with pytest.raises(Withheld) as caught:
        find_keys(home).key("ab")
    assert caught.value.verdict == "no_key"
    assert find_keys(home).erased_after("") == []
    assert not home.root.exists()


def test_a_file_that_is_no_database_is_told(home: Home) -> None:
    MasterKey.create(home.root / "privacy" / "master.key")
    store_path(home, {}).write_bytes(b"not a database, and long enough to be looked at" * 100)
    with pytest.raises(SerinusError, match="SRN-PRIVACY-002"):
        open_store(home, {})


def test_a_store_of_the_format_before_is_brought_up_to_date_where_it_lies(home: Home) -> None:
    store = open_store(home, {}, create=True)
    ann, bob = new(store, "ann"), new(store, "bob")
    store.add([ann, bob])
    store.destroy(ann.mark, AT)
    with store.engine.transaction() as run:
        run("ALTER TABLE erased DROP COLUMN token")
        run("UPDATE meta SET value = ? WHERE name = 'format'", (b"1",))
    store.close()
    store = open_store(home, {})
    (erased,) = store.erased_after("")
    assert (erased.key, len(erased.token)) == (ann.id, 24)
    assert open_store(home, {}).erased_after("") == [erased], "once"
    assert store.erased_after("1") == [], "who kept a number goes on from it"
    assert store.key(bob.id) == bob.key


def test_a_store_of_a_later_format_is_refused_and_stays(home: Home) -> None:
    store = open_store(home, {}, create=True)
    with store.engine.transaction() as run:
        run("UPDATE meta SET value = ? WHERE name = 'format'", (b"3",))
    with pytest.raises(SerinusError, match="another version of serinus"):
        open_store(home, {})
    assert store.engine.read("SELECT value FROM meta WHERE name = 'format'") == [(b"3",)]


def test_another_process_that_comes_and_goes_takes_nothing_away(home: Home) -> None:
    reader, writer = open_store(home, {}, create=True), open_store(home, {})
    first, second = new(writer, "ann"), new(writer, "bob")
    writer.add([first])
    program = (
        "import sys; from pathlib import Path; from serinus.home import Home; from serinus.privacy import open_store\n"
        "store = open_store(Home(Path(sys.argv[1])), {})\n"
        "store.destroy(store.mark('customer', 'ann'), '2026-09-21T00:00:00+00:00'); store.close()"
    )
    subprocess.run([sys.executable, "-c", program, str(home.root)], check=True, timeout=240)
    assert [erased.key for erased in writer.erased_after("")] == [first.id]
    writer.add([second])
    assert reader.key(second.id) == second.key
    assert open_store(home, {}).key(second.id) == second.key
    assert files(writer).count(second.id.encode()) >= 1
