"""A key store copied from a file to a real PostgreSQL and back, interrupted, repeated, and moved to."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from serinus.audit import AuditLog
from serinus.cli import main
from serinus.errors import SerinusError
from serinus.home import Home
from serinus.privacy import KeyStore, MasterKey, Withheld, open_store
from serinus.privacy.copying import Copied, copy_store
from serinus.privacy.opening import open_master, open_target
from serinus.privacy.store import Hold, NewKey
from serving.scorer.subjects import learn
from tests.local.privacy.conftest import Place
from tests.local.scorer.load import until
from tests.local.scorer.process import ROOT
from tests.unit.privacy.support import decide, subjects

pytestmark = pytest.mark.local
_OURS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'serinus'"
_HELD = f"{_OURS} AND wait_event_type = 'Lock'"
_GATE = (
    "CREATE SEQUENCE serinus_privacy.met",
    "CREATE FUNCTION serinus_privacy.gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    "IF nextval('serinus_privacy.met') = 1500 THEN PERFORM pg_advisory_xact_lock_shared(4711); END IF; "
    "RETURN NEW; END $$",
    "CREATE TRIGGER gate BEFORE INSERT ON serinus_privacy.keys "
    "FOR EACH ROW EXECUTE FUNCTION serinus_privacy.gate()",
)
"""Whoever has added 1499 keys waits for who holds 4711: how fast a copy is does not matter."""
AT, LATER, LAST = (f"2026-09-{day}T00:00:00+00:00" for day in (21, 22, 23))


class Move:
    """An installation, and where its keys are copied from and to."""

    def __init__(self, cluster: Place, source: str) -> None:
        assert cluster.server is not None
        self.home, self.server = cluster.home, cluster.server
        addresses = {"file": str(cluster.home.root / "privacy" / "keys.db"), "postgres": cluster.server.url}
        self.source = addresses.pop(source)
        (self.target,) = addresses.values()
        self._stores: list[KeyStore] = []

    def open(self, address: str) -> KeyStore:
        self._stores.append(open_store(self.home, {"SERINUS_SUBJECT_KEYS": address}, create=True))
        return self._stores[-1]

    def copy(
        self,
        *,
        switch: bool = False,
        back: bool = False,
        progress: Callable[[int, int], object] = lambda done, total: None,
    ) -> Copied:
        source, target = (self.target, self.source) if back else (self.source, self.target)
        store, engine = self.open(source), open_target(target, {})
        try:
            return copy_store(store, engine, open_master(self.home, {}), switch=switch, progress=progress)
        finally:
            engine.close()

    def close(self) -> None:
        for store in self._stores:
            store.close()


@pytest.fixture(params=["file", "postgres"])
def move(request: pytest.FixtureRequest, cluster: Place) -> Generator[Move]:
    made = Move(cluster, request.param)
    yield made
    made.close()


def new(store: KeyStore, name: str, at: str = AT) -> NewKey:
    return NewKey(os.urandom(16).hex(), store.mark("customer", name), os.urandom(32), at)


def everything(store: KeyStore) -> list[list[tuple]]:
    """What a copy has to hold, byte for byte."""
    return [
        sorted(store.engine.read(f"SELECT * FROM {t}"))
        for t in ("keys", "erased", "holds", "unfinished", "kinds")
    ]


def test_everything_is_there_afterwards_and_opens(move: Move) -> None:
    source = move.open(move.source)
    keys = [new(source, f"p{i}") for i in range(2500)]
    source.add(keys)
    source.add_kind("customer")
    source.hold(keys[1].mark, Hold(AT, "dpo", "case 7"))
    source.begin(keys[2].mark, "e-1", AT)
    source.destroy(keys[0].mark, AT)
    (position,) = [gone.position for gone in source.erased_after("")]
    seen: list[tuple[int, int]] = []
    done = move.copy(progress=lambda done, total: seen.append((done, total)))
    assert (done.keys, done.copied, done.there, done.erasures, done.switched) == (2499, 2499, 0, 1, False)
    assert seen == [(1000, 2499), (2000, 2499), (2499, 2499)]
    target = move.open(move.target)
    assert everything(target) == everything(source)
    assert [target.key(key.id) for key in keys[1:]] == [key.key for key in keys[1:]]
    with pytest.raises(Withheld, match="erased on 2026-09-21"):
        target.key(keys[0].id)
    assert target.erased_after(position) == [], "who follows goes on where they were"
    with pytest.raises(SerinusError, match="SRN-PRIVACY-006"):
        target.begin(keys[1].mark, "e-2", AT)
    again = move.copy()
    assert (again.copied, again.there, again.erasures) == (0, 2499, 0)


def test_interrupted_it_goes_on_and_is_closed_until_then(move: Move) -> None:
    source = move.open(move.source)
    source.add([new(source, f"p{i}") for i in range(2500)])

    def interrupt(done: int, total: int) -> None:
        if done == 2000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        move.copy(progress=interrupt)
    with pytest.raises(SerinusError, match=r"SRN-PRIVACY-013.*not whole yet"):
        move.open(move.target)
    done = move.copy()
    assert (done.copied, done.there) == (500, 2000)
    assert everything(move.open(move.target)) == everything(source)


def test_a_server_that_dies_meanwhile_is_no_loss(move: Move) -> None:
    source = move.open(move.source)
    source.add([new(source, f"p{i}") for i in range(2500)])
    before = everything(source)

    def die(done: int, total: int) -> None:
        if done == 1000:
            move.server.kill()

    with pytest.raises(SerinusError, match="SRN-PRIVACY-002"):
        move.copy(progress=die, switch=True)
    move.server.start()
    assert move.copy(switch=True).switched
    assert everything(move.open(move.target)) == before


def test_what_came_since_is_brought_and_who_was_erased_on_either_side_stays_so(move: Move) -> None:
    source = move.open(move.source)
    ann, bob, eve = (new(source, name) for name in ("ann", "bob", "eve"))
    source.add([ann, bob, eve])
    move.copy()
    target = move.open(move.target)
    source.destroy(ann.mark, LATER)
    also = new(target, "ann")  # met there before the erasure
    target.add([also])
    target.destroy(bob.mark, LATER)
    unheard, returned, late = new(source, "bob"), new(source, "bob", LAST), new(source, "zoe")
    source.add([unheard, returned, late])
    done = move.copy()
    assert (done.copied, done.erasures, done.taken_back, done.destroyed) == (2, 1, 2, 2)
    for key in (ann, also, bob, unheard):
        with pytest.raises(Withheld, match="erased on 2026-09-22"):
            target.key(key.id)
    for key in (eve, returned, late):
        assert target.key(key.id) == key.key
    assert move.copy().copied == 0


def test_after_a_switch_nobody_uses_the_source_and_back_is_the_same_way(move: Move) -> None:
    source = move.open(move.source)
    source.add([new(source, "ann")])
    move.copy()
    late = new(source, "late")
    source.add([late])
    done = move.copy(switch=True)
    assert (done.switched, done.copied, done.there) == (True, 1, 1)
    mark = late.mark
    for use in (
        lambda: source.add([new(source, "zoe")]), lambda: source.erased_after(""), lambda: source.begin(mark, "e", AT),
        lambda: source.destroy(mark, AT), lambda: source.hold(mark, Hold(AT, "dpo", "x")), lambda: source.add_kind("x"),
        lambda: source.rewrap(MasterKey(bytes(32))), lambda: move.open(move.source), lambda: move.copy(),
    ):  # fmt: skip
        with pytest.raises(SerinusError, match="SRN-PRIVACY-013.*moved to"):
            use()
    target = move.open(move.target)
    target.destroy(mark, LATER)
    target.add([new(target, "zoe")])
    before = everything(target)
    assert move.copy(switch=True, back=True).switched
    assert everything(move.open(move.source)) == before
    with pytest.raises(SerinusError, match="SRN-PRIVACY-013"):
        move.open(move.target)


@pytest.mark.parametrize("back", [False, True])
def test_an_erasure_that_was_finished_and_a_hold_that_was_released_do_not_come_back(
    move: Move, back: bool
) -> None:
    source = move.open(move.source)
    ann, bob, eve = (new(source, name) for name in ("ann", "bob", "eve"))
    source.add([ann, bob, eve])
    source.begin(ann.mark, "e-1", AT)
    source.hold(bob.mark, Hold(AT, "dpo", "case 7"))
    source.hold(eve.mark, Hold(AT, "dpo", "case 8"))
    move.copy(switch=back)
    store = move.open(move.target) if back else source
    store.destroy(ann.mark, LATER)
    store.finish(ann.mark)
    store.release(bob.mark)
    returned = new(store, "ann", LAST)
    store.add([returned])
    move.copy(switch=True, back=back)
    after = move.open(move.source if back else move.target)
    assert everything(after) == everything(store)
    assert (after.unfinished(), after.held(bob.mark)) == ([], None)
    assert after.held(eve.mark) is not None
    assert after.key(returned.id) == returned.key


def test_nothing_that_was_confirmed_before_the_switch_is_lost(move: Move) -> None:
    source, kept, refused = move.open(move.source), list[NewKey](), threading.Event()

    def work() -> None:
        store = open_store(move.home, {"SERINUS_SUBJECT_KEYS": move.source})
        try:
            while True:
                key = new(store, f"p{len(kept)}")
                store.add([key])
                kept.append(key)
                refused.wait(0.002)  # others come in between: SQLite lets nobody wait in turn
        except SerinusError as error:
            if error.code == "SRN-PRIVACY-013":
                refused.set()
        finally:
            store.close()

    writer = threading.Thread(target=work)
    writer.start()
    try:
        move.copy()
        assert move.copy(switch=True).switched
    finally:
        writer.join(120)
    assert refused.is_set()
    assert {row[0] for row in move.open(move.target).engine.read("SELECT id FROM keys")} == {
        key.id for key in kept
    }
    assert source.counts()[0] == len(kept)


def test_a_scorer_that_has_the_moved_store_hears_of_it(move: Move) -> None:
    environment = {"SERINUS_SUBJECT_KEYS": move.source}
    persons = subjects(move.home, environment=environment)
    persons.keys("r1", ("ann",), 1)
    persons.flush()
    move.copy(switch=True)
    with pytest.raises(SerinusError, match="SRN-PRIVACY-013"):
        asyncio.run(learn(persons, None))
    persons.close()


def test_another_store_is_not_written_to(move: Move) -> None:
    move.open(move.source).add([])
    other = move.open(move.target)
    other.add([new(other, "ann")])
    before = everything(other)
    with pytest.raises(SerinusError, match=r"SRN-PRIVACY-014.*another store"):
        move.copy()
    assert everything(other) == before
    assert other.counts() == (1, 0)


def test_a_store_is_not_copied_to_itself(move: Move, tmp_path: Path) -> None:
    source = move.open(move.source)
    source.add([new(source, "ann")])
    other = move.source.replace("postgresql://serinus@/", "postgresql://serinus@:5432/")
    if other == move.source:
        other = str(tmp_path / "link.db")
        Path(other).symlink_to(move.source)
    engine = open_target(other, {})
    with pytest.raises(SerinusError, match=r"SRN-PRIVACY-014.*same store"):
        copy_store(source, engine, open_master(move.home, {}), switch=True)
    engine.close()
    source.add([new(source, "bob")])
    assert source.counts() == (2, 0)


def test_a_master_key_of_another_day_is_refused(move: Move) -> None:
    source = move.open(move.source)
    source.add([new(source, "ann")])
    move.copy()
    aside = move.home.root / "privacy" / "master.key.new"
    source.rewrap(MasterKey.create(aside))
    os.replace(aside, move.home.root / "privacy" / "master.key")
    with pytest.raises(SerinusError, match="SRN-PRIVACY-003"):
        move.copy()


def test_a_rotation_meanwhile_ends_it(move: Move) -> None:
    source = move.open(move.source)
    source.add([new(source, f"p{i}") for i in range(1200)])
    with pytest.raises(SerinusError, match=r"SRN-PRIVACY-014.*rotated"):
        move.copy(progress=lambda done, total: done == 1000 and source.rewrap(MasterKey(bytes(32))))


@pytest.mark.parametrize("switch", [False, True])
def test_a_key_that_does_not_open_is_told_and_nothing_is_closed(move: Move, switch: bool) -> None:
    source = move.open(move.source)
    good, bad = new(source, "ann"), new(source, "bob")
    source.add([good, bad])
    with source.engine.transaction() as run:
        run("UPDATE keys SET wrapped = ? WHERE id = ?", (bytes(60), bad.id))
    done = move.copy(switch=switch)
    assert (done.unreadable, done.copied, done.switched) == ((bad.id,), 2, False)
    assert everything(move.open(move.target)) == everything(source)


def test_a_key_that_differs_in_the_target_is_told(move: Move) -> None:
    source = move.open(move.source)
    key = new(source, "ann")
    source.add([key])
    move.copy()
    target = move.open(move.target)
    with target.engine.transaction() as run:
        run("DELETE FROM keys")
    target.add([key])
    assert move.copy().there == 1, "the same key under another nonce"
    with target.engine.transaction() as run:
        run("DELETE FROM keys")
    target.add([key._replace(key=bytes(32))])
    with pytest.raises(SerinusError, match=f"SRN-PRIVACY-014.*{key.id} is another one"):
        move.copy(switch=True)
    source.add([new(source, "bob")])


def test_the_command_moves_an_installation(
    cluster: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cluster.server is not None
    home, url = cluster.home, cluster.server.url
    for name in ("SERINUS_SUBJECT_KEYS", "SERINUS_MASTER_KEY", "SERINUS_STORE"):
        monkeypatch.delenv(name, raising=False)
    decide(home, "ann", "bob", "ann")

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["privacy", *arguments, "--home", str(home.root)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    assert run("erase", "ann", "--reason", "case 1", "--yes")[0] == 0
    code, out, _ = run("copy", url, "--as", "ops")
    assert (code, "1 copied" in out, "1 erasure brought" in out, "--switch" in out) == (0, True, True, True)
    code, out, _ = run("copy", url, "--switch", "--as", "ops", "-o", "json")
    assert (code, json.loads(out)["there"], json.loads(out)["switched"]) == (0, 1, True)
    code, _, error = run("status")
    assert (code != 0, "SRN-PRIVACY-013" in error, "moved to postgresql://" in error) == (True, True, True)
    monkeypatch.setenv("SERINUS_SUBJECT_KEYS", url)
    code, out, _ = run("status")
    assert (code, "1 key, 1 destroyed" in out) == (0, True)
    shown = json.loads(run("show", "ann")[1])
    assert {entry["event"]["data"]["verdict"] for entry in shown["decisions"]} == {"erased"}
    assert json.loads(run("show", "bob")[1])["decisions"][0]["event"]["data"]["decision"] == "decline"
    ours = [entry.action for entry in AuditLog(home.audit).entries() if entry.actor == "ops"]
    assert ours == ["privacy-copy", "privacy-copy", "privacy-moved"]
    assert main(["audit", "verify", "--home", str(home.root)]) == 0


def test_whatever_signal_ends_the_command_it_goes_on_when_repeated(
    cluster: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cluster.server is not None
    home, server, there = cluster.home, cluster.server, 0
    for name in ("SERINUS_SUBJECT_KEYS", "SERINUS_MASTER_KEY"):
        monkeypatch.delenv(name, raising=False)
    with closing(open_store(home, {}, create=True)) as store:
        store.add([new(store, f"p{i}") for i in range(4000)])
    command = [sys.executable, "-m", "serinus.cli", "privacy", "copy", server.url, "--home", str(home.root)]
    open_target(server.url, {}).close()
    for statement in _GATE:
        server.sql("keys", statement)

    for number, code in ((signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)):
        server.sql("keys", "ALTER SEQUENCE serinus_privacy.met RESTART")
        with psycopg.connect(server.url) as holder:
            holder.execute(b"SELECT pg_advisory_lock(4711)")
            process = subprocess.Popen(
                command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT
            )
            until(lambda: server.sql("keys", _HELD) == [(1,)], 120)
            process.send_signal(number)
            assert process.wait(60) == code, "in the middle of it"
        until(lambda: server.sql("keys", _OURS) == [(0,)], 60)
        there += 1000
        assert server.sql("keys", "SELECT count(*) FROM serinus_privacy.keys") == [(there,)], "whole pages"
        with pytest.raises(SerinusError, match="SRN-PRIVACY-013"):
            open_store(home, cluster.environment)
    server.sql("keys", "DROP TRIGGER gate ON serinus_privacy.keys")
    last = subprocess.run([*command, "-o", "json"], capture_output=True, check=True, timeout=120, cwd=ROOT)
    done = json.loads(last.stdout)
    assert (done["there"], done["copied"]) == (there, 4000 - there)


@pytest.mark.parametrize(
    "target",
    [
        "postgresql://dpo:hunter2@127.0.0.1:1/keys",
        "postgresql://127.0.0.1:1/keys?password=hunter2",
        "mysql://db/keys",
        "host=db.bank user=dpo password=hunter2 dbname=keys",
        "user = dpo password = hunter2",
        "dbname=keys sslkey=/a sslpassword=hunter2",
    ],
)
def test_a_password_is_not_taken_where_others_read_it(
    tmp_path: Path, target: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = Home(tmp_path)
    decide(home, "ann")
    monkeypatch.chdir(tmp_path)
    assert main(["privacy", "copy", target, "--home", str(home.root)]) == 2
    printed = capsys.readouterr()
    assert "hunter2" not in printed.out + printed.err
    assert "TARGET" in printed.err
    assert not Path(target).exists()
    assert not any("hunter2" in str(entry) for entry in AuditLog(home.audit).entries())


def test_who_may_not_copies_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = Home(tmp_path / "home")
    decide(home, "ann")
    (home.root / "policy.yaml").write_text(
        "apiVersion: serinus.io/v1\nkind: AccessPolicy\nroles: {operator: [ops], developer: [dev]}\n"
    )
    copy = str(tmp_path / "copy.db")
    assert main(["privacy", "copy", copy, "--as", "dev", "--home", str(home.root)]) == 1
    assert "SRN-ACCESS-005" in capsys.readouterr().err
    assert not Path(copy).exists()
    assert main(["privacy", "copy", copy, "--as", "ops", "--home", str(home.root)]) == 0
