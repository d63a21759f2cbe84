"""A primary that dies and a real streaming standby that takes over, behind one URL with two hosts."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from serinus.audit import AuditLog
from serinus.chain import read_bodies
from serinus.cli import main
from serinus.errors import SerinusError
from serinus.events import WithheldEvent, decode_decision
from serinus.home import Home
from serinus.privacy import KeyStore, MasterKey, Withheld, open_store
from serinus.privacy.erase import DONE, Asked, Erasure, erase
from serinus.privacy.retention import Retention
from serinus.privacy.store import NewKey
from serinus.registry import Registry
from serving.scorer.subjects import learn
from tests.local.scorer.load import until
from tests.local.scorer.process import ScorerProcess, connection
from tests.support.bundles import small_home
from tests.support.entities import cards, cards_bundle, payment
from tests.support.ports import free_port
from tests.support.postgres import PostgresServer, need_postgres
from tests.unit.privacy.support import NOW, decide, subjects

pytestmark = pytest.mark.local
AT = "2026-09-21T00:00:00+00:00"
TRUST = "host all all 127.0.0.1/32 trust"


class Pair:
    """A primary with a standby that streams from it, and an installation that knows both."""

    def __init__(self, home: Home, *, synchronous: bool) -> None:
        self.home = home
        self.primary = PostgresServer(port=free_port(), hba=[TRUST])
        self.primary.start()
        self.standby = PostgresServer(port=free_port(), standby_of=self.primary)
        self.standby.start()
        hosts = f"127.0.0.1:{self.primary.port},127.0.0.1:{self.standby.port}"
        master = home.root / "privacy" / "master.key"
        MasterKey.create(master)
        self.environment = {
            "SERINUS_SUBJECT_KEYS": f"postgresql://serinus@{hosts}/keys",
            "SERINUS_MASTER_KEY": str(master),
        }
        if synchronous:
            self.primary.set("synchronous_standby_names=standby")
        until(lambda: self.streaming() == ("sync" if synchronous else "async"), 60)

    def streaming(self) -> str:
        return next((state for (state,) in self.primary.sql("postgres", _STATE)), "")

    def caught_up(self) -> None:
        """Wait until the standby has replayed all of it."""
        (at,) = self.primary.sql("postgres", "SELECT pg_current_wal_lsn()")[0]
        behind = f"SELECT pg_last_wal_replay_lsn() >= '{at}'"
        until(lambda: self.standby.sql("postgres", behind) == [(True,)], 60)

    def take_over(self) -> None:
        """The primary loses power; the standby is promoted."""
        self.primary.kill()
        self.standby.promote()

    def open(self, *, at_once: bool = False) -> KeyStore:
        return open_store(self.home, self.environment, create=True, at_once=at_once)

    def stop(self) -> None:
        self.standby.stop()
        self.primary.stop()


_STATE = "SELECT sync_state FROM pg_stat_replication WHERE state = 'streaming'"


@pytest.fixture
def pair_of(tmp_path: Path) -> Generator[Callable[[bool], Pair]]:
    need_postgres()
    made: list[Pair] = []

    def pair(synchronous: bool) -> Pair:
        made.append(Pair(Home(tmp_path / "pair"), synchronous=synchronous))
        return made[-1]

    yield pair
    for each in made:
        each.stop()


def erased(
    pair: Pair, store: KeyStore, person: str, step: Callable[[str], None] = lambda done: None
) -> Erasure:
    asked = Asked(kind="customer", subject=person, by="dpo", reason="case 12")
    return erase(pair.home, store, asked, now=NOW, retention=Retention(), step=step)


def test_a_scorer_goes_on_and_nothing_that_it_answered_is_lost(
    tmp_path: Path, pair_of: Callable[[bool], Pair], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    pair = pair_of(True)
    bundle, home = cards_bundle(tmp_path, cards(privacy={"subject": "card"})), small_home(tmp_path)
    Registry(home).register(bundle, by="ann", owner="cards", run="run-1")
    for name, value in pair.environment.items():
        monkeypatch.setenv(name, value)
    number, answers, stop = itertools.count(), dict[str, int](), threading.Event()
    with (
        ScorerProcess(bundle.path, home.root, env=pair.environment) as scorer,
        connection(scorer.port) as client,
    ):

        def pay(card: str) -> int:
            i = next(number)
            body = json.dumps({"jsonData": {"records": [payment(i, i / 1000, card=card)]}}).encode()
            answers[f"r{i}"] = client.post("/api/v1.0/predictions", body, {"Seldon-Puid": f"r{i}"})[0]
            return answers[f"r{i}"]

        def customers() -> None:
            while not stop.is_set():
                pay(f"card{next(number)}")

        until(lambda: pay("eve") == 200, 60)
        first = next(reversed(answers))
        store = pair.open()
        until(lambda: len(store.keys_of(store.mark("card", "eve"))) == 1, 60)
        erasing = ["privacy", "erase", "eve", "--reason", "case 12", "--yes", "--home", str(home.root)]
        assert main(erasing) == 0
        busy = threading.Thread(target=customers)
        busy.start()
        try:
            until(lambda: len(answers) > 200, 60)
            pair.take_over()
            until(lambda: pay_again(answers), 60)
        finally:
            stop.set()
            busy.join(60)
        assert main(["privacy", "status", "--home", str(home.root)]) == 0
    events = [
        decode_decision(body, store)
        for log in home.decisions.glob("cards-*.jsonl") for body in read_bodies(log)
    ]  # fmt: skip
    given = {name for name, status in answers.items() if status == 200}
    assert given == {event.id for event in events}
    assert {event.id: event.data.verdict for event in events if isinstance(event, WithheldEvent)} == {
        first: "erased"
    }
    assert set(answers.values()) == {200, 503}, "while nobody took writes, who is new was refused"
    assert main(["audit", "verify", "--home", str(home.root)]) == 0
    capsys.readouterr()


def pay_again(answers: dict[str, int]) -> bool:
    """Whether, after refusals, the last twenty were answered."""
    statuses = list(answers.copy().values())
    return 503 in statuses and statuses[-20:] == [200] * 20


def test_what_was_confirmed_is_on_a_synchronous_standby(pair_of: Callable[[bool], Pair]) -> None:
    pair = pair_of(True)
    store = pair.open()
    keys = [NewKey(f"{i:032x}", store.mark("customer", f"p{i}"), bytes([i]) * 32, AT) for i in range(20)]
    for key in keys:
        store.add([key])
    store.destroy(keys[0].mark, AT)
    position = store.erased_after("")[-1].position
    pair.take_over()
    for found in (store, pair.open()):
        assert found.counts() == (19, 1)
        assert {found.find(key.mark) for key in keys[1:]} == {(key.id, key.key) for key in keys[1:]}
        with pytest.raises(Withheld, match="erased on"):
            found.key(keys[0].id)
        assert (found.erased_after(position), found.holds(position)) == ([], True)


def test_an_erasure_whose_primary_dies_is_finished_on_the_standby(pair_of: Callable[[bool], Pair]) -> None:
    pair = pair_of(True)
    decide(pair.home, "ann", "bob", environment=pair.environment)
    store = pair.open()

    def dies(done: str) -> None:
        if done == "histories":
            pair.primary.kill()

    with pytest.raises(SerinusError, match="SRN-PRIVACY-002") as caught:
        erased(pair, store, "ann", dies)
    assert "takes writes" in caught.value.hint, "the standby answers, and is none to write to"
    pair.standby.promote()
    assert erased(pair, store, "ann").verdict == "erased"
    assert store.counts() == (1, 1)
    assert [entry.action for entry in AuditLog(pair.home.audit).entries()].count(DONE) == 1


def test_without_its_synchronous_standby_a_primary_confirms_nothing(pair_of: Callable[[bool], Pair]) -> None:
    pair = pair_of(True)
    store, scoring = pair.open(), pair.open(at_once=True)
    pair.standby.kill()
    with pytest.raises(SerinusError, match=r"SRN-PRIVACY-002.*timeout"):
        scoring.add([NewKey("a" * 32, store.mark("customer", "ann"), bytes(32), AT)])
    pair.standby.start()
    until(lambda: pair.streaming() == "sync", 60)
    store.add([NewKey("a" * 32, store.mark("customer", "ann"), bytes(32), AT)])
    assert store.counts() == (1, 0), "once, whatever became of the first"


def test_what_an_asynchronous_standby_lost_is_noticed_and_mended(
    pair_of: Callable[[bool], Pair], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = pair_of(False)
    for name, value in pair.environment.items():
        monkeypatch.setenv(name, value)
    decide(pair.home, "ann", "bob", environment=pair.environment)
    persons, store = subjects(pair.home, environment=pair.environment), pair.open()
    (known,) = persons.keys("r1", ("bob",), 1)
    asyncio.run(learn(persons, None))
    pair.caught_up()
    pair.standby.kill()  # what a stopped one had in its socket it would still read
    (lost,) = persons.keys("r2", ("eve",), 1)
    persons.flush()
    assert erased(pair, store, "ann").verdict == "erased"
    asyncio.run(learn(persons, None))
    secrets = [store.key(key.id) for key in (known, lost)]
    pair.primary.kill()
    pair.standby.start()
    pair.standby.promote()
    asyncio.run(learn(persons, None))
    told = persons.put_back()
    assert told is not None
    assert (told.code, "1 keys" in told.what) == ("SRN-PRIVACY-012", True)
    assert [store.key(key.id) for key in (known, lost)] == secrets
    home = ("--home", str(pair.home.root))
    assert main(["privacy", "status", *home]) == 1
    assert "1 key whose destruction is on record: here again" in capsys.readouterr().out
    assert main(["privacy", "status", "--mend", *home]) == 0
    assert main(["privacy", "status", *home]) == 0
    assert store.keys_of(store.mark("customer", "ann")) == {}
    assert [gone.mark for gone in persons.learn()] == [store.mark("customer", "ann")]
    persons.close()


@pytest.mark.parametrize("url", ["read-only", "standby first"])
def test_the_one_that_takes_writes_is_found(pair_of: Callable[[bool], Pair], url: str) -> None:
    pair = pair_of(False)
    pair.open().close()
    first, second = pair.primary.port, pair.standby.port
    hosts = f"127.0.0.1:{second}" + ("" if url == "read-only" else f",127.0.0.1:{first}")
    pair.environment["SERINUS_SUBJECT_KEYS"] = f"postgresql://serinus@{hosts}/keys"
    if url == "read-only":
        with pytest.raises(SerinusError, match="SRN-PRIVACY-002") as caught:
            pair.open()
        assert "promote the standby" in caught.value.hint
    else:
        assert pair.open().counts() == (0, 0)
