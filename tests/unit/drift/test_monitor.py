import json
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from starlette.testclient import TestClient

from serinus.bundle import Bundle
from serinus.watching import PairDetector, PairEvidence, Sketch
from serving.drift.evaluate import Yardstick
from serving.drift.exposition import DriftCollector
from serving.drift.http import build_app
from serving.drift.mailbox import Letter, Mailbox, Recent
from serving.drift.monitor import Monitor
from serving.drift.payload import REQUEST_TYPE, RESPONSE_TYPE, Envelope
from serving.drift.policy import MAX_PREDICTORS, Policy
from serving.drift.report import UNLISTED, Evaluation, Settings
from serving.drift.rows import RowReader
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
HOUR = 3600.0


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


def doubled(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**row, "amount": row["amount"] * 2} for row in rows]


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
    settings = Settings("small", bundle.digest, 500, HOUR, threshold=0.6)
    return Monitor(
        settings, yardstick, reader, POLICY, clock=clock, mailbox=Mailbox(letters=3), on_verdict=seen.append
    )


def pass_a_look(monitor: Monitor, clock: Clock, seconds: float = POLICY.look) -> None:
    clock.now += seconds
    monitor.close_due()


def page(monitor: Monitor) -> str:
    registry = CollectorRegistry()
    registry.register(DriftCollector(monitor))  # pyright: ignore[reportArgumentType]
    return generate_latest(registry).decode()


def test_a_look_is_closed_by_the_clock_whatever_the_traffic(
    monitor: Monitor, clock: Clock, seen: list[Evaluation]
) -> None:
    monitor.process(request(small_records(1200, seed=5)))
    pass_a_look(monitor, clock, POLICY.look - 1)
    assert seen == []
    assert monitor.snapshot().filling == {"champion": 1200}
    pass_a_look(monitor, clock, 1)
    assert [e.verdict.rows for e in seen] == [1200]
    assert monitor.snapshot().filling == {"champion": 0}
    assert monitor.snapshot().rows == {"champion": 1200}


def test_a_late_look_is_one_look_and_the_next_is_no_closer_than_planned(
    monitor: Monitor, clock: Clock, seen: list[Evaluation]
) -> None:
    monitor.process(request(small_records(100, seed=5)))
    pass_a_look(monitor, clock, 10 * POLICY.look)
    monitor.process(request(small_records(100, seed=6)))
    pass_a_look(monitor, clock, POLICY.look - 1)
    assert len(seen) == 1
    pass_a_look(monitor, clock, 1)
    assert len(seen) == 2


def test_a_clock_that_is_put_back_does_not_hold_looks_up(
    monitor: Monitor, clock: Clock, seen: list[Evaluation]
) -> None:
    clock.now += 1e6
    monitor.close_due()
    clock.now -= 1e6
    monitor.process(request(small_records(100, seed=5)))
    monitor.close_due()
    assert seen == [], "no look is closer to the one before than the plan says"
    pass_a_look(monitor, clock)
    assert len(seen) == 1


def test_a_look_without_traffic_says_nothing(monitor: Monitor, clock: Clock, seen: list[Evaluation]) -> None:
    monitor.process(request(small_records(300, seed=5)))
    for _ in range(3):
        pass_a_look(monitor, clock)
    assert len(seen) == 1
    assert monitor.snapshot().evaluations["champion"].time == 1000 + POLICY.look


def test_predictors_are_looked_at_apart_and_at_the_same_time(
    monitor: Monitor, clock: Clock, seen: list[Evaluation]
) -> None:
    rows = small_records(500, seed=5)
    monitor.process(request(rows[:300], "champion"))
    monitor.process(request(doubled(rows[:200]), "canary"))
    pass_a_look(monitor, clock)
    assert {e.verdict.predictor: (e.verdict.rows, e.time) for e in seen} == {
        "champion": (300, clock.now),
        "canary": (200, clock.now),
    }


def test_windows_are_tested_when_they_are_full_or_old(
    monitor: Monitor, clock: Clock, seen: list[Evaluation]
) -> None:
    def tested() -> int | None:
        test = seen[-1].verdict.features[0].test
        return test.rows if test else None

    monitor.process(request(small_records(300, seed=5)))
    pass_a_look(monitor, clock)
    assert tested() is None
    monitor.process(request(small_records(900, seed=6)))
    pass_a_look(monitor, clock)
    assert tested() == 500, "a sample of all that came, of the window's size"
    monitor.process(request(small_records(150, seed=7)))
    pass_a_look(monitor, clock, HOUR)
    assert tested() == 150


def test_scores_of_another_model_are_not_this_models_drift(
    monitor: Monitor, clock: Clock, bundle: Bundle, seen: list[Evaluation]
) -> None:
    for digest, status in (("sha256:another", "no_data"), (bundle.digest, "drift")):
        for _ in range(2):
            monitor.process(response([0.99] * 500, digest))
            monitor.process(request(small_records(500, seed=5)))
            pass_a_look(monitor, clock)
        assert seen[-1].verdict.score.status == status
    assert monitor.snapshot().payloads["champion", "other_model"] == 2


def test_a_canary_is_compared_with_the_champion_at_the_same_hour(
    monitor: Monitor, clock: Clock, bundle: Bundle
) -> None:
    """Both drift from the reference alike: no difference. Then only the canary's inputs change."""
    for i, change in enumerate([doubled] * 4 + [list] * 4):
        rows = doubled(small_records(1000, seed=50 + i))
        monitor.process(request(rows[:500], "champion"))
        monitor.process(request(change(small_records(500, seed=90 + i)), "canary"))
        monitor.process(response([0.1, 0.2] * 250, bundle.digest, "champion"))
        monitor.process(response([0.1, 0.2] * 250, "sha256:another", "canary"))
        pass_a_look(monitor, clock)
        if i == 3:
            assert monitor.snapshot().pairs["canary"].status == "stable"
            assert monitor.snapshot().evaluations["canary"].verdict.drifted == ("amount",)
    found = monitor.snapshot().pairs
    assert list(found) == ["canary"], "the champion is not compared with itself"
    assert found["canary"].drifted == ("amount",)
    text = page(monitor)
    labels = 'model="small",predictor="canary"'
    assert f'serinus_drift_pair_active{{kind="feature",{labels}}} 1.0' in text
    assert f'serinus_drift_pair_active{{kind="score",{labels}}} 0.0' in text
    assert f'drift_events_total{{kind="pair",{labels}}} 1.0' in text
    assert f'serinus_drift_pair_evidence_log10{{feature="amount",{labels}}}' in text


def test_an_event_is_the_beginning_of_drift_and_not_each_look_at_it(monitor: Monitor, clock: Clock) -> None:
    for i, change in enumerate([doubled, doubled, doubled, *[list] * 12, doubled, doubled]):
        monitor.process(request(change(small_records(600, seed=30 + i))))
        pass_a_look(monitor, clock)
    assert monitor.snapshot().events["champion", "feature"] == 2


@pytest.mark.parametrize(
    ("letter", "outcome"),
    [
        (Letter(Envelope(REQUEST_TYPE, "champion", "r"), b"{"), "malformed"),
        (Letter(Envelope("io.seldon.serving.feedback", "champion", "r"), b"{}"), "ignored"),
        (request([]), "accepted"),
        (request([{"nonsense": 1}]), "accepted"),
        (response([float("nan"), 0.5], None), "accepted"),
        (response([], None), "accepted"),
        (response([1e200] * 40, None), "malformed"),
    ],
)
def test_what_became_of_a_payload_is_counted_and_nothing_ends_the_monitor(
    monitor: Monitor, clock: Clock, letter: Letter, outcome: str
) -> None:
    monitor.process(letter)
    assert monitor.snapshot().payloads == {("champion", outcome): 1}
    pass_a_look(monitor, clock)


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


def test_strangers_cannot_open_comparisons_without_end(monitor: Monitor) -> None:
    for i in range(50):
        monitor.process(request(small_records(1), f"p{i}"))
    snapshot = monitor.snapshot()
    assert len(snapshot.filling) == MAX_PREDICTORS + 1
    assert snapshot.payloads[UNLISTED, "accepted"] == 50 - MAX_PREDICTORS


def test_strangers_whose_payloads_are_dropped_cannot_make_series_without_end(monitor: Monitor) -> None:
    for i in range(50):
        monitor.submit(Envelope(REQUEST_TYPE, f"p{i}", "r"), b"{}")
    labels = {predictor for predictor, _ in monitor.snapshot().payloads}
    assert len(labels) == MAX_PREDICTORS + 1
    assert UNLISTED in labels


def test_a_predictor_that_is_long_silent_makes_room_and_the_champion_never_does(
    monitor: Monitor, clock: Clock
) -> None:
    for i in range(MAX_PREDICTORS):
        monitor.process(request(small_records(1), f"p{i}"))
        clock.now += 1
    clock.now += HOUR - 5
    monitor.process(request(small_records(1), "next"))
    known = set(monitor.snapshot().filling)
    assert "p0" in known, "the first seen is the champion"
    assert "p1" not in known
    assert "next" in known
    assert 'predictor="p1"' not in page(monitor)


def test_what_was_found_of_a_predictor_that_is_gone_ends(
    bundle: Bundle, yardstick: Yardstick, reader: RowReader, clock: Clock
) -> None:
    """A canary that was taken back while it drifted would otherwise drift for ever, and ask for retraining."""
    gone: list[str] = []
    settings = Settings("small", bundle.digest, 500, HOUR, threshold=0.6)
    monitor = Monitor(settings, yardstick, reader, POLICY, clock=clock, on_silence=gone.append)
    for i in range(3):
        monitor.process(request(doubled(small_records(1000, seed=i)), "champion"))
        monitor.process(request(doubled(small_records(1000, seed=10 + i)), "canary"))
        pass_a_look(monitor, clock)
    assert 'serinus_drift_active{kind="feature",model="small",predictor="canary"} 1.0' in page(monitor)
    silent_since = clock.now - POLICY.look
    while clock.now + POLICY.look < silent_since + HOUR:
        pass_a_look(monitor, clock)
    assert gone == []
    assert 'predictor="canary"' in page(monitor)
    pass_a_look(monitor, clock)
    assert gone == ["canary"]
    assert 'predictor="canary"' not in page(monitor)
    assert 'serinus_drift_active{kind="feature",model="small",predictor="champion"} 1.0' in page(monitor)


def test_what_was_found_of_strangers_ends_too(monitor: Monitor, clock: Clock) -> None:
    for i in range(MAX_PREDICTORS):
        monitor.process(request(small_records(1), f"p{i}"))
    for i in range(3):
        monitor.process(request(doubled(small_records(1000, seed=i)), "stranger"))
        pass_a_look(monitor, clock)
    assert f'serinus_drift_active{{kind="feature",model="small",predictor="{UNLISTED}"}} 1.0' in page(monitor)
    pass_a_look(monitor, clock, HOUR - 2 * POLICY.look)
    assert f'predictor="{UNLISTED}"' in page(monitor)
    pass_a_look(monitor, clock)
    assert f'predictor="{UNLISTED}"' not in page(monitor)


def test_nothing_is_compared_with_a_champion_that_is_gone(monitor: Monitor, clock: Clock) -> None:
    for i in range(5):
        monitor.process(request(small_records(500, seed=i), "champion"))
        monitor.process(request(doubled(small_records(500, seed=50 + i)), "canary"))
        pass_a_look(monitor, clock)
    active = 'serinus_drift_pair_active{kind="feature",model="small",predictor="canary"} 1.0'
    assert active in page(monitor)
    for i in range(int(HOUR / POLICY.look) - 1):
        assert active in page(monitor), "for a while it may come back"
        monitor.process(request(doubled(small_records(500, seed=90 + i)), "canary"))
        pass_a_look(monitor, clock)
    assert "serinus_drift_pair_active{" not in page(monitor)
    assert 'serinus_drift_active{kind="feature",model="small",predictor="canary"} 1.0' in page(monitor)


def test_an_event_that_is_sent_again_is_counted_once(monitor: Monitor) -> None:
    """A scorer that saw no answer sends its batch again, under the same ids."""
    monitor.start()
    with TestClient(build_app(monitor)) as client:
        for change in (
            {"Ce-Id": "1"},
            {"Ce-Id": "1"},
            {"Ce-Id": "2"},
            {"Ce-Id": "1", "Ce-Source": "http://another/"},
            {"Ce-Id": "1", "Ce-Type": RESPONSE_TYPE},
            {"Ce-Id": "1", "Ce-Endpoint": "canary"},
        ):
            body = response([], None).body if change.get("Ce-Type") else request([]).body
            assert client.post("/", content=body, headers={**HEADERS, **change}).status_code == 202
    monitor.stop()
    assert monitor.snapshot().payloads == {
        ("champion", "accepted"): 4,
        ("champion", "repeated"): 1,
        ("canary", "accepted"): 1,
    }


def test_an_event_that_found_no_room_may_come_again(monitor: Monitor) -> None:
    def name(i: int) -> Envelope:
        return Envelope(REQUEST_TYPE, "champion", "r", f"event {i}")

    assert [monitor.submit(name(i), request([]).body) for i in range(4)] == [True, True, True, False]
    letter = monitor._mailbox.take(0)
    assert letter is not None
    assert monitor.submit(name(3), letter.body)
    assert monitor.snapshot().payloads == {("champion", "dropped"): 1}


def test_the_names_of_events_take_bounded_memory() -> None:
    recent = Recent(size=100)
    for i in range(1000):
        recent.add(f"event {i}")
    assert [i for i in range(1000) if f"event {i}" in recent] == list(range(900, 1000))


def test_metrics_tell_verdicts_and_leave_out_what_is_not_known(monitor: Monitor, clock: Clock) -> None:
    assert page(monitor).count("} ") == 2, (
        "what it counts by, and that nothing was left unsaved, is known at once"
    )
    for _ in range(2):
        monitor.process(request(doubled(small_records(500, seed=5))))
        pass_a_look(monitor, clock)
    text = page(monitor)
    champion = 'model="small",predictor="champion"'
    assert f'serinus_drift_active{{kind="feature",{champion}}} 1.0' in text
    assert 'serinus_drift_active{kind="score"' not in text, "no score was seen: no verdict, not a zero"
    assert f'drift_events_total{{kind="feature",{champion}}} 1.0' in text
    assert f'drift_events_total{{kind="data_quality",{champion}}} 0.0' in text
    assert f"serinus_data_quality_bad{{{champion}}} 0.0" in text
    assert f"serinus_drift_last_evaluation_timestamp_seconds{{{champion}}} {clock.now}" in text
    assert f"serinus_drift_rows_total{{{champion}}} 1000.0" in text
    for name in (
        "serinus_drift_evidence_log10", "serinus_drift_psi", "serinus_drift_psi_limit",
        "serinus_drift_kl_divergence", "serinus_drift_wasserstein_distance", "serinus_drift_effect_rows",
        "serinus_drift_p_value", "serinus_drift_distance", "serinus_feature_missing_ratio",
    ):  # fmt: skip
        assert f'{name}{{feature="amount",' in text, name
    for name in ("serinus_drift_evidence_threshold_log10", "serinus_data_quality_evidence_threshold_log10"):
        assert f"{name}{{{champion}}}" in text, name
    assert 'serinus_drift_psi{feature="model score"' not in text
    assert 'serinus_drift_wasserstein_distance{feature="channel"' not in text
    assert f'serinus_data_quality_share_ratio{{feature="channel",kind="unknown",{champion}}} 0.0' in text
    assert f'serinus_data_quality_share_ratio{{feature="",kind="refused",{champion}}} 0.0' in text
    assert "serinus_estimated_performance_ratio{" not in text


def test_performance_is_estimated_from_scores_before_any_label(
    monitor: Monitor, clock: Clock, bundle: Bundle
) -> None:
    scores = [0.8] * 100 + [0.05] * 900
    monitor.process(response(scores, bundle.digest))
    pass_a_look(monitor, clock)
    text = page(monitor)
    of = 'model="small",predictor="champion"'
    values = {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if line[0] != "#"
    }
    assert values[f'serinus_estimated_performance_ratio{{measure="precision",{of}}}'] == pytest.approx(0.8)
    low = values[f'serinus_estimated_performance_low_ratio{{measure="precision",{of}}}']
    high = values[f'serinus_estimated_performance_high_ratio{{measure="precision",{of}}}']
    assert 0.7 < low < 0.8 < high < 0.9
    assert values[f'serinus_estimated_performance_ratio{{measure="flagged",{of}}}'] == pytest.approx(0.1)
    assert values[f"serinus_estimated_rows{{{of}}}"] == 1000


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


class Failing(PairDetector):
    def update(self, evidence: PairEvidence, champion: Sketch, canary: Sketch) -> PairEvidence:
        raise RuntimeError("a defect")


def test_a_comparison_that_fails_does_not_end_the_monitor(
    monitor: Monitor, yardstick: Yardstick, clock: Clock, seen: list[Evaluation]
) -> None:
    monitor.comparisons.pair = Failing(POLICY.plan(0.5), yardstick.baseline)
    for _ in range(2):
        for predictor in ("champion", "canary"):
            monitor.process(request(small_records(300, seed=5), predictor))
        pass_a_look(monitor, clock)
    assert len(seen) == 4


def test_a_monitor_whose_worker_ended_is_not_alive(monitor: Monitor) -> None:
    """Kubernetes starts it again: nothing else would, since no probe of it keeps traffic away."""
    with TestClient(build_app(monitor)) as client:
        monitor.start()
        assert client.get("/health/live").status_code == 200
        monitor.stop()
        assert client.get("/health/live").status_code == 503


def test_the_window_tests_decide_where_they_are_asked_to(
    bundle: Bundle, yardstick: Yardstick, reader: RowReader, clock: Clock
) -> None:
    policy = Policy(decides="tests")
    monitor = Monitor(Settings("small", bundle.digest, 500, HOUR), yardstick, reader, policy, clock=clock)
    monitor.process(request(doubled(small_records(400, seed=5))))
    pass_a_look(monitor, clock)
    assert monitor.snapshot().evaluations["champion"].verdict.feature_status == "no_data"
    monitor.process(request(doubled(small_records(400, seed=6))))
    pass_a_look(monitor, clock)
    assert monitor.snapshot().evaluations["champion"].verdict.drifted == ("amount",)
