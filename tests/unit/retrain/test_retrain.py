import json
import threading
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from serinus.alerts import Alert, read_webhook
from serinus.audit import AuditLog
from serinus.errors import SerinusError
from serving.retrain.http import build_app
from serving.retrain.policy import Limits
from serving.retrain.runner import MemoryRunner, Runner, read_command
from serving.retrain.service import MemoryNotifier, Receiver
from serving.retrain.store import FileStore, MemoryStore, Store

LIMITS = Limits(cooldown=3600, in_flight=1, per_day=3, repeat_within=7 * 86_400)


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Desk:
    """A receiver over in-memory parts, at which alerts arrive."""

    def __init__(
        self, path: Path, runner: Runner | None = None, limits: Limits = LIMITS, store: Store | None = None
    ) -> None:
        self.clock = Clock()
        self.audit = AuditLog(path, clock=self.clock)
        self.memory = MemoryRunner({"version": 2})
        self.notifier = MemoryNotifier()
        self.store = store or MemoryStore()
        self.limits = limits
        self.runner = runner or self.memory
        self.receiver = self.open()

    def open(self) -> Receiver:
        return Receiver(
            store=self.store,
            runner=self.runner,
            audit=self.audit,
            limits=self.limits,
            notifier=self.notifier,
            clock=self.clock,
        )

    def arrives(self, **changes: Any) -> str:
        answers = self.receiver.receive(read_webhook(webhook(alert(**changes))))
        assert self.receiver.wait(60)
        return answers[0].outcome


class Slow(MemoryRunner):
    """Runs until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()

    def run(self, *, run: str, model: str, reason: str) -> dict[str, Any] | None:
        super().run(run=run, model=model, reason=reason)
        self.go.wait(60)
        return None


def alert(
    name: str = "SerinusScoreDrift",
    model: str = "fraud",
    started: str = "2026-11-20T10:00:00Z",
    status: str = "firing",
    retrain: str | None = "true",
    fingerprint: str = "ab12",
) -> dict[str, Any]:
    labels = {"alertname": name, "model": model, "predictor": "champion"} | (
        {"retrain": retrain} if retrain else {}
    )
    return {
        "status": status,
        "labels": labels,
        "annotations": {"summary": "the scores\ndrift"},
        "startsAt": started,
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus/",
        "fingerprint": fingerprint,
    }


def webhook(*alerts: dict[str, Any]) -> bytes:
    return json.dumps({"version": "4", "groupKey": "{}", "status": "firing", "alerts": alerts}).encode()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def actions(desk: Desk) -> list[str]:
    return [entry.action for entry in desk.audit.entries()]


def test_a_drift_alert_starts_one_run_and_its_result_is_told(desk: Desk) -> None:
    assert desk.arrives() == "started"
    asked = desk.memory.asked[0]
    assert (asked["model"], asked["reason"]) == (
        "fraud",
        "alert SerinusScoreDrift on fraud: the scores drift",
    )
    assert [(n["model"], n["result"]) for n in desk.notifier.told] == [("fraud", {"version": 2})]
    assert actions(desk) == ["retrain.started", "retrain.succeeded"]
    run = desk.receiver.ledger().runs[0]
    assert (run.outcome, run.result, run.id) == ("succeeded", {"version": 2}, asked["run"])


def test_an_alert_repeated_by_alertmanager_runs_once(desk: Desk) -> None:
    assert [desk.arrives() for _ in range(4)] == ["started", "duplicate", "duplicate", "duplicate"]
    assert len(desk.memory.asked) == 1


def test_a_restart_does_not_run_twice(tmp_path: Path) -> None:
    desk = Desk(tmp_path, store=FileStore(tmp_path / "retrain.json"))
    desk.arrives()
    desk.receiver = desk.open()
    assert desk.arrives() == "duplicate"
    assert len(desk.memory.asked) == 1


def test_a_run_that_the_receiver_did_not_outlive_is_interrupted_and_not_repeated(tmp_path: Path) -> None:
    slow = Slow()
    desk = Desk(tmp_path, runner=slow, store=FileStore(tmp_path / "retrain.json"))
    desk.receiver.receive(read_webhook(webhook(alert())))
    desk.receiver = desk.open()
    assert desk.receiver.ledger().runs[0].outcome == "interrupted"
    assert desk.receiver.counts["interrupted"] == 1
    assert desk.arrives() == "duplicate"
    assert len(slow.asked) == 1
    slow.go.set()


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "resolved"},
        {"retrain": None},
        {"retrain": "false"},
        {"name": "SerinusDataQuality", "retrain": "true"},
        {"name": "SerinusDataQuality", "retrain": "false"},
    ],
)
def test_what_is_over_or_does_not_ask_is_ignored(desk: Desk, changes: dict[str, Any]) -> None:
    assert desk.arrives(**changes) == "ignored"
    assert desk.memory.asked == []
    assert actions(desk) == []


def test_another_alert_within_the_cooldown_waits_and_runs_after_it(desk: Desk) -> None:
    desk.arrives()
    other = {"name": "SerinusFeatureDrift", "fingerprint": "cd34"}
    desk.clock.now += 3599
    assert desk.arrives(**other) == "cooling_down"
    assert desk.arrives(**other) == "cooling_down"
    assert actions(desk).count("retrain.cooling_down") == 1, "repetitions are told once"
    desk.clock.now += 2
    assert desk.arrives(**other) == "started"


def test_the_cooldown_of_one_model_does_not_hold_another(desk: Desk) -> None:
    desk.arrives()
    assert desk.arrives(model="credit", fingerprint="cd34") == "started"


def test_the_same_cause_twice_in_a_row_calls_a_person(desk: Desk) -> None:
    desk.arrives()
    desk.clock.now += 7200
    again = {"started": "2026-11-20T14:00:00Z"}
    assert desk.arrives(**again) == "needs_person"
    assert desk.arrives(**again) == "duplicate"
    assert len(desk.memory.asked) == 1
    assert actions(desk)[-1] == "retrain.needs_person"


def test_an_alert_that_never_resolved_calls_a_person_once_its_cooldown_is_over(desk: Desk) -> None:
    desk.arrives()
    desk.clock.now += 7200
    assert [desk.arrives(), desk.arrives()] == ["needs_person", "duplicate"]


def test_a_person_may_let_it_go_on(desk: Desk) -> None:
    desk.arrives()
    desk.clock.now += 7200
    assert desk.arrives() == "needs_person"
    desk.receiver.release("fraud", "ada")
    assert desk.arrives() == "started"
    assert [(e.actor, e.action) for e in desk.audit.entries()][3] == ("ada", "retrain.release")


def test_only_who_may_releases(desk: Desk) -> None:
    def door(who: str, model: str) -> None:
        if who != "pat":
            raise SerinusError("SRN-ACCESS-005", f"{who} may not release {model}", hint="Ask pat.")

    receiver = Receiver(
        store=MemoryStore(), runner=desk.runner, audit=desk.audit, limits=LIMITS, door=door, clock=desk.clock
    )
    client = TestClient(build_app(receiver))
    refused = client.post("/api/v1/release", json={"model": "fraud", "by": "ada"})
    assert (refused.status_code, refused.json()["code"]) == (403, "SRN-ACCESS-005")
    assert receiver.ledger().released == {}
    assert client.post("/api/v1/release", json={"model": "fraud", "by": "pat"}).status_code == 200


def test_after_a_release_the_same_alert_calls_a_person_again(desk: Desk) -> None:
    """It never resolved, so its key is the same as before the release."""
    desk.arrives()
    desk.clock.now += 7200
    assert desk.arrives() == "needs_person"
    desk.receiver.release("fraud", "ada")
    desk.clock.now += 60
    assert [desk.arrives(), desk.arrives()] == ["started", "duplicate"]
    desk.clock.now += 7200
    assert [desk.arrives(), desk.arrives()] == ["needs_person", "duplicate"]


def test_a_cause_that_returns_after_another_or_after_long_is_a_new_one(desk: Desk) -> None:
    desk.arrives()
    desk.clock.now += 7200
    assert desk.arrives(name="SerinusFeatureDrift", fingerprint="cd34") == "started"
    desk.clock.now += 8 * 86_400
    assert (
        desk.arrives(name="SerinusFeatureDrift", fingerprint="cd34", started="2026-11-29T00:00:00Z")
        == "started"
    )


def test_runs_in_flight_and_per_day_are_capped(tmp_path: Path) -> None:
    slow = Slow()
    desk = Desk(tmp_path, runner=slow, limits=Limits(cooldown=0, per_day=2, repeat_within=0))
    first, second = alert(), alert(model="credit", fingerprint="cd34")
    outcomes = [a.outcome for a in desk.receiver.receive(read_webhook(webhook(first, second, first)))]
    assert outcomes == ["started", "capped", "duplicate"]
    slow.go.set()
    assert desk.receiver.wait(60)
    desk.clock.now += 1
    assert desk.arrives(model="credit", fingerprint="cd34") == "started"
    desk.clock.now += 1
    assert desk.arrives(started="2026-11-20T11:00:00Z") == "started"
    desk.clock.now += 1
    assert desk.arrives(started="2026-11-20T12:00:00Z") == "capped"
    desk.clock.now += 86_400
    assert desk.arrives(started="2026-11-20T12:00:00Z") == "started"


@pytest.mark.parametrize("model", ["fraud", "Fraud_EU", "fraud.v2", "f" * 60])
def test_a_model_may_have_any_name_that_the_chart_takes(desk: Desk, model: str) -> None:
    assert desk.arrives(model=model) == "started"


def test_a_model_not_named_is_not_retrained(tmp_path: Path) -> None:
    desk = Desk(tmp_path, limits=Limits(models=("credit",)))
    assert desk.arrives() == "ignored"
    assert desk.arrives(model="credit") == "started"


def test_a_failed_run_is_recorded_and_tells_nobody_of_a_version(tmp_path: Path) -> None:
    desk = Desk(tmp_path, runner=MemoryRunner(failure="the gate said no"))
    assert desk.arrives() == "started"
    run = desk.receiver.ledger().runs[0]
    assert (run.outcome, run.error) == ("failed", "the gate said no")
    assert desk.notifier.told == []
    assert actions(desk) == ["retrain.started", "retrain.failed"]


def test_what_cannot_be_recorded_is_not_run(tmp_path: Path) -> None:
    class Full(MemoryStore):
        def save(self, ledger: Any) -> None:
            raise SerinusError("SRN-HOME-001", "the disk is full", hint="Free some space.")

    desk = Desk(tmp_path, store=Full())
    with TestClient(build_app(desk.receiver)) as client:
        assert client.post("/api/v1/alerts", content=webhook(alert())).status_code == 503
    assert desk.memory.asked == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "truncated"),
        (b"{}", "version"),
        (b'{"version": "3", "alerts": []}', "version"),
        (b'{"version": "4"}', "alerts"),
        (b'{"version": "4", "alerts": {}}', r"\$.alerts"),
        (webhook({"status": "firing"}), r"labels.*alerts\[0\]"),
        (webhook(alert() | {"labels": {"a": 1}}), "labels"),
        (webhook(alert(status="burning")), r"alerts\[0\].status"),
        (webhook(alert(), alert(fingerprint="")), r"alerts\[1\].fingerprint"),
        (webhook(alert(started="yesterday")), r"alerts\[0\].startsAt"),
        (webhook(alert(model="../etc")), r"alerts\[0\].labels.model"),
        (webhook(alert(model="-x")), r"alerts\[0\].labels.model"),
        (webhook(alert(model="fraud\n")), r"alerts\[0\].labels.model"),
        (webhook(alert(name="")), r"alerts\[0\].labels.alertname"),
        (b"\xff", "webhook"),
    ],
)  # fmt: skip
def test_a_bad_payload_is_a_400_that_names_the_field_and_changes_nothing(
    desk: Desk, body: bytes, field: str
) -> None:
    with pytest.raises(SerinusError, match=field):
        read_webhook(body)
    with TestClient(build_app(desk.receiver)) as client:
        answer = client.post("/api/v1/alerts", content=body)
        assert answer.status_code == 400
        assert answer.json()["code"] == "SRN-RETRAIN-001"
    assert desk.receiver.ledger().runs == []
    assert sum(desk.receiver.counts.values()) == 0


def test_over_http_alerts_are_answered_and_counted_from_zero(desk: Desk) -> None:
    with TestClient(build_app(desk.receiver)) as client:
        assert 'serinus_retrain_requests_total{outcome="failed"} 0.0' in client.get("/metrics").text
        answer = client.post("/api/v1/alerts", content=webhook(alert()))
        assert answer.json()["alerts"][0]["outcome"] == "started"
        assert desk.receiver.wait(60)
        assert client.get("/status").json()["runs"][0]["outcome"] == "succeeded"
        assert client.post("/api/v1/release", json={"model": "fraud", "by": "ada"}).status_code == 200
        assert client.post("/api/v1/release", json={"model": "fraud"}).status_code == 400
        assert 'serinus_retrain_requests_total{outcome="started"} 1.0' in client.get("/prometheus").text


def test_a_damaged_ledger_is_an_error_and_not_a_fresh_start(tmp_path: Path) -> None:
    (tmp_path / "retrain.json").write_text('{"runs": [')
    with pytest.raises(SerinusError, match="SRN-RETRAIN-002"):
        FileStore(tmp_path / "retrain.json").load()


@pytest.mark.parametrize("text", ["", "  ", "run '{model}", "run {secret}", "run {", "run {0}", "run {}"])
def test_a_command_that_cannot_be_used_is_refused_at_start(text: str) -> None:
    with pytest.raises(SerinusError, match="SRN-RETRAIN-003"):
        read_command(text)


def test_a_command_is_arguments_and_no_shell() -> None:
    assert read_command("python -m pipelines --why '{reason}; x' --model={model} '{{}}'") == [
        "python", "-m", "pipelines", "--why", "{reason}; x", "--model={model}", "{{}}",
    ]  # fmt: skip


def test_a_reason_never_looks_like_an_option() -> None:
    hostile = alert(name="--output=/etc/passwd")
    read = read_webhook(webhook(hostile)).alerts[0]
    assert isinstance(read, Alert)
    assert read.reason.startswith("alert ")


def test_each_alert_is_shown_to_who_asks_for_reviews_and_a_failure_there_holds_up_no_run(
    tmp_path: Path,
) -> None:
    seen: list[str] = []

    def ask(alert: Alert) -> None:
        seen.append(alert.name)
        raise SerinusError("SRN-REVIEW-001", "no policy", hint="x")

    desk = Desk(tmp_path)
    desk.receiver = Receiver(
        store=desk.store, runner=desk.runner, audit=desk.audit, limits=LIMITS, clock=desk.clock, review=ask
    )
    assert desk.arrives() == "started"
    assert seen == ["SerinusScoreDrift"]
