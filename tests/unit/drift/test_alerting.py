import http.client
import json
from typing import Any

import pytest

from serving.drift.alerting import Alerter, MemoryOutbox, fingerprint, wanted
from serving.drift.report import Evaluation
from serving.drift.verdict import ColumnVerdict, Quality, Status, Verdict


def verdict(feature: Status = "stable", score: Status = "stable", quality: Quality = "good") -> Verdict:
    def column(name: str, status: Status) -> ColumnVerdict:
        return ColumnVerdict(name=name, status=status, reason="because", rows=500)

    return Verdict(
        predictor="champion",
        rows=500,
        refused=0,
        looks=1,
        evidence_log10=0.0,
        column_threshold_log10=6.0,
        quality_threshold_log10=6.0,
        p_threshold=1e-6,
        features=(column("amount", feature),),
        score=column("model score", score),
        quality=quality,
        quality_score=1.0,
        quality_reason="why",
    )


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Flaky(MemoryOutbox):
    down = True

    def post(self, payload: bytes) -> None:
        if self.down:
            raise ConnectionRefusedError("nobody there")
        super().post(payload)


def posted(outbox: MemoryOutbox) -> list[tuple[str, str]]:
    alerts: list[Any] = [json.loads(body)["alerts"][0] for body in outbox.posted]
    return [(alert["labels"]["alertname"], alert["status"]) for alert in alerts]


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (verdict(), set[str]()),
        (verdict("no_data", "no_data", "no_data"), set[str]()),
        (verdict(feature="drift"), {"SerinusFeatureDrift"}),
        (verdict(score="drift"), {"SerinusScoreDrift"}),
        (verdict("drift", "drift"), {"SerinusFeatureDrift", "SerinusScoreDrift"}),
        (verdict("drift", "drift", "bad"), {"SerinusDataQuality"}),
    ],
)
def test_a_verdict_calls_for_the_alerts_that_the_rules_would_fire(given: Verdict, names: set[str]) -> None:
    alerts = wanted("small", given)
    assert set(alerts) == names
    assert all((labels["retrain"] == "true") == ("Drift" in name) for name, labels in alerts.items())


def test_an_alert_is_posted_once_repeated_and_resolved_once() -> None:
    outbox, clock = MemoryOutbox(), Clock()
    alerter = Alerter("small", outbox, repeat=60, clock=clock)

    def look(given: Verdict) -> None:
        alerter.update(Evaluation(given, clock.now, 0.0))
        alerter.deliver()

    look(verdict())
    assert posted(outbox) == []
    look(verdict(feature="drift"))
    look(verdict(feature="drift"))
    assert posted(outbox) == [("SerinusFeatureDrift", "firing")]
    clock.now += 60
    look(verdict(feature="drift"))
    first, again = (json.loads(body)["alerts"][0] for body in outbox.posted)
    assert (first["fingerprint"], first["startsAt"]) == (again["fingerprint"], again["startsAt"])
    look(verdict(feature="no_data"))
    assert len(outbox.posted) == 2, "a window without data resolves nothing"
    look(verdict())
    look(verdict())
    assert posted(outbox)[2:] == [("SerinusFeatureDrift", "resolved")]


def test_the_alerts_of_a_predictor_that_is_gone_are_resolved() -> None:
    outbox = MemoryOutbox()
    alerter = Alerter("small", outbox)
    alerter.update(Evaluation(verdict(feature="drift"), 1.0, 0.0))
    alerter.end("canary")
    alerter.deliver()
    alerter.end("champion")
    alerter.deliver()
    alerter.deliver()
    assert posted(outbox) == [("SerinusFeatureDrift", "firing"), ("SerinusFeatureDrift", "resolved")]


def test_an_answer_that_is_no_http_is_tried_again() -> None:
    class Garbled(Flaky):
        def post(self, payload: bytes) -> None:
            if self.down:
                raise http.client.BadStatusLine("SSH-2.0")
            super().post(payload)

    outbox = Garbled()
    alerter = Alerter("small", outbox)
    alerter.update(Evaluation(verdict(score="drift"), 1.0, 0.0))
    alerter.deliver()
    outbox.down = False
    alerter.deliver()
    assert posted(outbox) == [("SerinusScoreDrift", "firing")]


def test_what_cannot_be_delivered_is_tried_again() -> None:
    outbox = Flaky()
    alerter = Alerter("small", outbox)
    alerter.update(Evaluation(verdict(score="drift"), 1.0, 0.0))
    alerter.deliver()
    outbox.down = False
    alerter.deliver()
    alerter.deliver()
    assert posted(outbox) == [("SerinusScoreDrift", "firing")]


def test_a_fingerprint_is_of_the_labels_in_any_order() -> None:
    assert fingerprint({"a": "1", "b": "2"}) == fingerprint({"b": "2", "a": "1"})
    assert fingerprint({"a": "1", "b": "2"}) != fingerprint({"a": "12", "b": ""})
    assert len(fingerprint({})) == 16
