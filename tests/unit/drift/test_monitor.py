import json
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from starlette.testclient import TestClient

from serinus.bundle import Bundle
from serving.drift.evaluate import Yardstick
from serving.drift.exposition import DriftCollector
from serving.drift.http import build_app
from serving.drift.mailbox import Letter, Mailbox
from serving.drift.monitor import MAX_PREDICTORS, UNLISTED, Evaluation, Monitor, Settings
from serving.drift.payload import REQUEST_TYPE, RESPONSE_TYPE, Envelope
from serving.drift.window import RowReader
from tests.support.bundles import small_records
from tests.unit.drift.conftest import POLICY

HEADERS = {
    "Ce-Id": "1",
    "Ce-Specversion": "1.0",
    "Ce-Source": "http://scorer/",
    "Ce-Type": REQUEST_TYPE,
    "Ce-Endpoint": "champion",
    "Content-Type": "application/json",
}


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def request(rows: list[dict[str, Any]], predictor: str = "champion") -> Letter:
    return Letter(Envelope(REQUEST_TYPE, predictor, "r"), json.dumps({"jsonData": {"rows": rows}}).encode())


def response(probabilities: list[float], digest: str | None, predictor: str = "champion") -> Letter:
    document: dict[str, Any] = {"data": {"names": ["probability"], "ndarray": [[p] for p in probabilities]}}
    if digest:
        document["meta"] = {"tags": {"digest": digest}}
    return Letter(Envelope(RESPONSE_TYPE, predictor, "r"), json.dumps(document).encode())


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def seen() -> list[Evaluation]:
    return []


@pytest.fixture
def monitor(
    bundle: Bundle, yardstick: Yardstick, reader: RowReader, clock: Clock, seen: list[Evaluation]
) -> Monitor:
    settings = Settings("small", bundle.digest, 500, 3600.0)
    return Monitor(
        settings, yardstick, reader, POLICY, clock=clock, mailbox=Mailbox(letters=3), on_verdict=seen.append
    )


def test_a_window_is_judged_when_it_is_full_and_not_before(monitor: Monitor, seen: list[Evaluation]) -> None:
    rows = small_records(1200, seed=5)
    monitor.process(request(rows[:499]))
    assert seen == []
    assert monitor.snapshot().filling == {"champion": 499}
    monitor.process(request(rows[499:]))
    assert [e.verdict.rows for e in seen] == [500, 500]
    assert monitor.snapshot().filling == {"champion": 200}


def test_predictors_have_windows_of_their_own(monitor: Monitor, seen: list[Evaluation]) -> None:
    rows = small_records(500, seed=5)
    monitor.process(request(rows[:250], "champion"))
    monitor.process(request(rows[250:], "canary"))
    assert seen == []
    monitor.process(request(rows[:250], "canary"))
    assert [e.verdict.predictor for e in seen] == ["canary"]


def test_an_old_window_is_judged_as_it_is(monitor: Monitor, clock: Clock, seen: list[Evaluation]) -> None:
    monitor.process(request(small_records(20, seed=5)))
    clock.now += 3599
    monitor.close_old_windows()
    assert seen == []
    clock.now += 1
    monitor.close_old_windows()
    assert [e.verdict.feature_status for e in seen] == ["no_data"]


def test_scores_of_another_model_are_not_this_models_drift(
    monitor: Monitor, bundle: Bundle, seen: list[Evaluation]
) -> None:
    monitor.process(response([0.99] * 500, "sha256:another"))
    monitor.process(request(small_records(500, seed=5)))
    assert seen[-1].verdict.score.status == "no_data"
    monitor.process(response([0.99] * 500, bundle.digest))
    monitor.process(request(small_records(500, seed=6)))
    assert seen[-1].verdict.score.status == "drift"
    assert monitor.snapshot().payloads["champion", "other_model"] == 1


@pytest.mark.parametrize(
    ("letter", "outcome"),
    [
        (Letter(Envelope(REQUEST_TYPE, "champion", "r"), b"{"), "malformed"),
        (Letter(Envelope("io.seldon.serving.feedback", "champion", "r"), b"{}"), "ignored"),
        (request([]), "accepted"),
        (request([{"nonsense": 1}]), "accepted"),
    ],
)
def test_what_became_of_a_payload_is_counted_and_nothing_ends_the_monitor(
    monitor: Monitor, letter: Letter, outcome: str
) -> None:
    monitor.process(letter)
    assert monitor.snapshot().payloads == {("champion", outcome): 1}


def test_a_full_queue_drops_and_counts_without_waiting(monitor: Monitor) -> None:
    taken = [monitor.submit(Envelope(REQUEST_TYPE, "champion", "r"), b"{}") for _ in range(5)]
    assert taken == [True, True, True, False, False]
    assert monitor.snapshot().payloads["champion", "dropped"] == 2


def test_the_queue_is_bounded_in_bytes_and_gets_its_room_back() -> None:
    mailbox, envelope = Mailbox(letters=10, size=10), Envelope(REQUEST_TYPE, "champion", "r")
    assert mailbox.put(Letter(envelope, b"x" * 10))
    assert not mailbox.put(Letter(envelope, b"x"))
    assert mailbox.take(0) is not None
    assert mailbox.put(Letter(envelope, b"x"))


def test_strangers_cannot_open_windows_without_end(monitor: Monitor) -> None:
    for i in range(50):
        monitor.process(request(small_records(1), f"p{i}"))
    snapshot = monitor.snapshot()
    assert len(snapshot.filling) == MAX_PREDICTORS + 1
    assert snapshot.payloads[UNLISTED, "accepted"] == 50 - MAX_PREDICTORS


def test_metrics_tell_verdicts_and_leave_out_what_is_not_known(monitor: Monitor) -> None:
    registry = CollectorRegistry()
    registry.register(DriftCollector(monitor))  # pyright: ignore[reportArgumentType]
    assert generate_latest(registry).decode().count("} ") == 0
    rows = [{**row, "amount": row["amount"] * 2} for row in small_records(500, seed=5)]
    monitor.process(request(rows))
    text = generate_latest(registry).decode()
    champion = 'model="small",predictor="champion"'
    assert f'serinus_drift_active{{kind="feature",{champion}}} 1.0' in text
    assert 'serinus_drift_active{kind="score"' not in text, "no score was seen: no verdict, not a zero"
    assert f'drift_events_total{{kind="feature",{champion}}} 1.0' in text
    assert f'drift_events_total{{kind="data_quality",{champion}}} 0.0' in text
    assert f"serinus_data_quality_bad{{{champion}}} 0.0" in text
    assert f"serinus_drift_last_evaluation_timestamp_seconds{{{champion}}} 1000.0" in text
    assert 'serinus_drift_psi{feature="amount",' in text
    assert 'feature="model score"' not in text


def test_over_http_events_are_taken_in_at_once_and_state_is_shown(monitor: Monitor) -> None:
    with TestClient(build_app(monitor)) as client:
        assert client.get("/health/ready").status_code == 503, "the worker does not run yet"
        monitor.start()
        assert client.get("/health/ready").status_code == 200
        assert client.post("/", content=request([]).body, headers=HEADERS).status_code == 202
        refused = client.post("/", content=b"{}", headers={"Ce-Id": "1"})
        assert refused.status_code == 400
        assert "ce-type" in refused.json()["what"]
        assert client.post("/", content=b" " * (9 << 20), headers=HEADERS).status_code == 413
        monitor.stop()
        status = client.get("/status").json()
        assert status["payloads"]["champion/accepted"] == 1
        assert status["policy"]["min_psi"] == 0.1
        for path in ("/metrics", "/prometheus"):
            assert "serinus_drift_payloads_total" in client.get(path).text
