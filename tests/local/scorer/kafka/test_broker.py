"""The decision log in a real Kafka broker that freezes, dies and comes back."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import msgspec
import pytest

pytest.importorskip("confluent_kafka")

from serinus.bundle import Bundle
from serinus.chain import verify_log
from serinus.events import DecisionEvent
from serinus.home import Home
from tests.local.scorer.kafka.broker import JARS, Broker
from tests.local.scorer.load import BODIES, Load, pending, until
from tests.local.scorer.process import ScorerProcess, connection
from tests.support.bundles import small_bundle, small_home
from tests.support.kafka import dump, lines_of

pytestmark = [
    pytest.mark.local,
    pytest.mark.slow,
    pytest.mark.skipif(not JARS, reason="SERINUS_KAFKA_JARS names no directory with Kafka's jars"),
]


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return small_bundle(tmp_path)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return small_home(tmp_path)


def logged(broker: Broker, topic: str, tmp_path: Path) -> list[str]:
    """Request ids of the topic's one writer, in order, after its chain was verified."""
    ((_, lines),) = lines_of(broker.servers, topic).items()
    assert verify_log(dump(lines, tmp_path / "topic.jsonl")).broken is None
    bodies = [msgspec.json.decode(line)["body"] for line in lines]
    return [msgspec.convert(body, DecisionEvent).id for body in bodies]


def test_under_strict_no_kill_of_the_scorer_loses_an_answer_and_the_chain_goes_on(
    broker: Broker, bundle: Bundle, home: Home, tmp_path: Path
) -> None:
    address = f"kafka://{broker.servers}/kills?deadline=10s"
    answered: list[str] = []
    for life in range(3):
        with ScorerProcess(bundle.path, home.root, "--durability", "strict", "--log", address) as scorer:
            load = Load(scorer.port, prefix=f"{life}-")
            until(lambda load=load: len(load.answered) >= 60)
            os.kill(scorer.pid, signal.SIGKILL)
            load.join()
            scorer.wait()
        assert load.refused == []
        answered += [puid for puid, _ in load.answered]
    found = logged(broker, "kills", tmp_path)
    assert set(answered) <= set(found)
    assert len(found) == len(set(found))


@pytest.mark.parametrize("how", ["frozen", "killed"])
def test_while_the_broker_is_away_nothing_is_answered_and_then_it_goes_on_by_itself(
    how: str, broker: Broker, bundle: Bundle, home: Home, tmp_path: Path
) -> None:
    address = f"kafka://{broker.servers}/{how}?deadline=5s"
    with (
        ScorerProcess(bundle.path, home.root, "--durability", "strict", "--log", address) as scorer,
        connection(scorer.port) as client,
    ):
        load = Load(scorer.port)
        until(lambda: len(load.answered) >= 50)
        broker.freeze() if how == "frozen" else broker.kill()
        until(lambda: len(load.refused) >= 4)
        assert set(load.refused) == {503}
        until(lambda: client.get("/v2/health/ready")[0] == 503)
        before = len(load.answered)
        broker.thaw() if how == "frozen" else broker.start()
        until(lambda: client.get("/v2/health/ready")[0] == 200)
        until(lambda: len(load.answered) >= before + 50)
        load.stop()
        load.join()
        scorer.terminate()
        assert scorer.wait()[0] == 0
    found = logged(broker, how, tmp_path)
    # What was refused while the broker was away may be in the log: it was on its way there.
    assert {puid for puid, _ in load.answered} <= set(found)
    assert len(found) == len(set(found))


def test_under_relaxed_decisions_wait_for_the_broker_and_arrive_in_order(
    broker: Broker, bundle: Bundle, home: Home, tmp_path: Path
) -> None:
    address = f"kafka://{broker.servers}/relaxed?deadline=500ms"
    with (
        ScorerProcess(bundle.path, home.root, "--log", address) as scorer,
        connection(scorer.port) as client,
    ):
        broker.freeze()
        for i in range(200):
            assert client.post("/predict", BODIES[i], {"Seldon-Puid": f"r{i}"})[0] == 200
        until(lambda: "SRN-SCORER-007" in scorer.told)  # it was tried, and given up
        broker.thaw()
        until(lambda: pending(client.get("/metrics")[2]) == 0)
        scorer.terminate()
        assert scorer.wait()[0] == 0
    assert logged(broker, "relaxed", tmp_path) == [f"r{i}" for i in range(200)]
