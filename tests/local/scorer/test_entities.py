"""Whole programs: scorers that answer by entity from memory or a shared Redis, and the feeder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from serinus.bundle import Bundle
from serinus.contract import dump_contract
from serinus.features import FeatureStream
from serinus.scoring import Scorer
from tests.local.scorer.load import until
from tests.local.scorer.process import ROOT, Connection, ScorerProcess, connection
from tests.support.entities import FEATURES, START, cards, cards_bundle, payment, payments
from tests.support.redis import RedisServer, need_redis

# A store that is gone is known at once; one that is there may be given its time.
PATIENT = ("--store-timeout", "60")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("entities")


@pytest.fixture(scope="module")
def bundle(home: Path) -> Bundle:
    return cards_bundle(home)


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    need_redis()
    with tempfile.TemporaryDirectory(prefix="redis-") as directory, RedisServer(Path(directory)) as server:
        yield server


def scorer(bundle: Bundle, home: Path, name: str, *flags: str) -> ScorerProcess:
    log = home / f"{name}.jsonl"
    return ScorerProcess(bundle.path, home / "home", "--log", str(log), "--predictor", name, *flags)


def ask(client: Connection, *records: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    body = json.dumps({"jsonData": {"records": list(records)}}).encode()
    status, _, answer = client.post("/api/v1.0/predictions", body)
    return status, json.loads(answer)


def score(client: Connection, record: dict[str, Any]) -> float:
    status, answer = ask(client, record)
    assert status == 200, answer
    return answer["data"]["ndarray"][0][0]


def expected(bundle: Bundle, history: list[dict[str, Any]], asked: list[dict[str, Any]]) -> list[float]:
    """Scores of the asked records, each of which then enters the past, after that history."""
    stream, made = FeatureStream(cards()), Scorer(bundle)
    stream.warm(history)
    found: list[float] = []
    for record in asked:
        found.append(made.one(made.vectorizer.encode(stream.features(record))).probability)
        stream.update(record)
    return found


def write_lines(path: Path, items: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(item) + "\n" for item in items))
    return path


def feed(*arguments: str, timeout: float = 120, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "serving.scorer.feed", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout, **options)


def labelled(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**record, "bad": int(record["amount"] > 90)} for record in records]


def test_two_replicas_on_one_redis_answer_as_one_fed_with_the_past(
    bundle: Bundle, home: Path, redis: RedisServer
) -> None:
    records = payments(400)
    past, live = labelled(records[:200]), records[200:]
    file = write_lines(home / "past.jsonl", past)
    fed = feed("--store", redis.url, "--bundle", str(bundle.path), "--records", str(file), "--batch", "70")
    assert (fed.returncode, json.loads(fed.stdout)["added"]) == (0, 200), fed.stderr
    flags = ("--store", redis.url, "--update-on-score", "on", *PATIENT)
    with (
        scorer(bundle, home, "one", *flags) as one,
        scorer(bundle, home, "two", *flags) as two,
        connection(one.port) as first,
        connection(two.port) as second,
    ):
        found = [score(first if n % 3 else second, record) for n, record in enumerate(live)]
        assert found == expected(bundle, past, live)
        counted = first.get("/metrics")[2].decode()
        assert 'serinus_events_total{model="cards",outcome="added",predictor="one"} 133.0' in counted
        # Each scored event is there for the other, and a second telling of it changes nothing.
        told = "\n".join(json.dumps(record) for record in live[:50]).encode()
        kind = {"content-type": "application/x-ndjson"}
        assert json.loads(second.post("/api/v1.0/events", told, kind)[2])["duplicate"] == 50


def test_a_scorer_killed_and_started_again_remembers_and_warms_no_more(bundle: Bundle, home: Path) -> None:
    records = payments(300)
    past, live = labelled(records[:200]), records[200:]
    warm = write_lines(home / "warm.jsonl", past)
    flags = ("--features-snapshot", str(home / "kept"), "--features-warm", str(warm))
    found: list[float] = []
    for n, half in enumerate((live[:50], live[50:])):
        with scorer(bundle, home, f"memory-{n}", *flags) as program, connection(program.port) as client:
            found += [score(client, record) for record in half]
            os.kill(program.pid, signal.SIGKILL)
        warm.write_text("not read again\n")
    assert found == expected(bundle, past, live)


def test_a_warm_up_that_cannot_be_read_stops_the_start(bundle: Bundle, home: Path) -> None:
    file = write_lines(home / "wrong.jsonl", [payment(1, 0), payment(2, 0, amount="x")])
    with (
        pytest.raises(AssertionError, match=r"SRN-FEATURES-011 .*line 2: amount: is 'x'; expected a number"),
        scorer(bundle, home, "wrong", "--features-warm", str(file)),
    ):
        pass


def test_without_redis_no_decision_is_given_and_with_it_again_at_once(
    bundle: Bundle, home: Path, redis: RedisServer
) -> None:
    flags = ("--store", redis.url, *PATIENT)
    with scorer(bundle, home, "down", *flags) as program, connection(program.port) as client:
        assert ask(client, payment(1, 0))[0] == 200
        redis.stop()
        for _ in range(20):
            status, answer = ask(client, payment(1, 0))
            assert (status, "SRN-FEATURES-008" in answer["status"]["info"]) == (503, True)
        vector = json.dumps({"data": {"ndarray": [[10.0, "chip", 0, 1, 10.0, 10.0, None]]}}).encode()
        assert client.post("/predict", vector)[0] == 200
        assert client.get("/ready")[0] == 200
        counted = client.get("/metrics")[2].decode()
        assert (
            'serinus_feature_store_failures_total{model="cards",operation="look",predictor="down"} 20.0'
            in counted
        )
        redis.start()
        until(lambda: ask(client, payment(1, 0))[0] == 200)
        program.terminate()
        code, errors = program.wait()
        assert code == 0
        assert errors.count("SRN-FEATURES-008") == 1, "told once, not once a request"


def test_a_contract_may_let_a_decision_rest_on_missing_features_and_the_answer_says_so(
    home: Path, redis: RedisServer
) -> None:
    features = [{**f, "missing": "allow"} if "aggregate" in f else f for f in FEATURES]
    bundle = cards_bundle(home, cards(name="lenient", features=features))
    flags = ("--store", redis.url, *PATIENT, "--on-store-failure", "missing")
    with scorer(bundle, home, "lenient", *flags) as program, connection(program.port) as client:
        assert "features" not in ask(client, payment(1, 0))[1]["meta"]["tags"]
        redis.stop()
        status, answer = ask(client, payment(1, 0), payment(2, 0))
        assert (status, answer["meta"]["tags"]["features"]) == (200, "missing")
        counted = client.get("/metrics")[2].decode()
        assert 'serinus_scored_without_store_total{model="lenient",predictor="lenient"} 2.0' in counted


def test_missing_features_where_the_contract_refuses_them_stop_the_start(bundle: Bundle, home: Path) -> None:
    with (
        pytest.raises(
            AssertionError, match=r"SRN-FEATURES-010 .*the contract refuses n_2h, sum_6h when missing"
        ),
        scorer(bundle, home, "strict", "--on-store-failure", "missing"),
    ):
        pass


def test_a_feeder_resumes_counts_and_takes_labels_and_csv(
    home: Path, bundle: Bundle, redis: RedisServer
) -> None:
    contract = home / "contract.json"
    contract.write_text(json.dumps(dump_contract(cards())))
    common = ("--store", redis.url, "--contract", str(contract))
    at = (START + timedelta(hours=5)).isoformat()
    items = [
        payment(1, 0),
        {"label": {"event_id": 1, "value": 1, "at": at}},
        payment(1, 0.5),
        payment(2, 1, amount=-5),
        payment(3, 1, sex="f", colour="not a column of ours"),
    ]
    file = write_lines(home / "stream.jsonl", items)
    first = feed(*common, "--records", str(file))
    counts = json.loads(first.stdout)
    assert {k: v for k, v in counts.items() if v and k != "seconds"} == {
        "read": 5, "added": 2, "duplicate": 1, "labels": 1, "bad": 1,
    }  # fmt: skip
    assert "record 4 was left out: amount: is -5" in first.stderr
    with file.open("a") as more:
        more.write(json.dumps(payment(4, 2)) + "\n")
    again = json.loads(feed(*common, "--records", str(file)).stdout)
    assert (again["resumed"], again["read"], again["added"]) == (5, 1, 1)
    anew = json.loads(feed(*common, "--records", str(file), "--from-start").stdout)
    assert (anew["read"], anew["added"], anew["duplicate"]) == (6, 0, 4)

    table = home / "more.csv"
    columns = list(payment(0, 0))
    rows = [",".join(str(payment(n, 2.5)[c]) for c in columns) for n in (5, 6)]
    table.write_text("\n".join([",".join(columns), *rows]) + "\n")
    assert json.loads(feed(*common, "--records", str(table)).stdout)["added"] == 2
    piped = feed(*common, "--records", "-", input=json.dumps(payment(7, 2.6)) + "\n")
    assert json.loads(piped.stdout)["added"] == 1

    with (
        scorer(bundle, home, "fed", "--store", redis.url, *PATIENT) as program,
        connection(program.port) as client,
    ):
        past = [
            payment(1, 0),
            payment(3, 1),
            payment(4, 2),
            payment(5, 2.5),
            payment(6, 2.5),
            payment(7, 2.6),
        ]
        assert score(client, payment(8, 2.7)) == expected(bundle, past, [payment(8, 2.7)])[0]


def test_a_feeder_follows_a_file_until_it_is_told_to_stop(
    home: Path, bundle: Bundle, redis: RedisServer
) -> None:
    file = write_lines(home / "growing.jsonl", [payment(1, 0)])
    command = [sys.executable, "-m", "serving.scorer.feed", "--follow", "--store", redis.url]
    command += ["--bundle", str(bundle.path), "--records", str(file)]
    feeder = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        for number, hours in ((2, 0.5), (3, 0.6)):
            with file.open("a") as more:
                line = json.dumps(payment(number, hours))
                more.write(line[:20])
                more.flush()
                more.write(line[20:] + "\n")
        wanted = expected(bundle, [payment(n, h) for n, h in ((1, 0), (2, 0.5), (3, 0.6))], [payment(9, 1)])
        flags = ("--store", redis.url, *PATIENT)
        with scorer(bundle, home, "follow", *flags) as program, connection(program.port) as client:
            until(lambda: score(client, payment(9, 1)) == wanted[0])
        feeder.send_signal(signal.SIGTERM)
        told, _ = feeder.communicate(timeout=60)
    finally:
        feeder.kill()
    assert (feeder.returncode, json.loads(told)["added"]) == (0, 3)
