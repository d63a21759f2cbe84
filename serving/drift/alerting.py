"""The monitor's own alerts, for a machine without Prometheus and Alertmanager.

Shaped as Alertmanager's webhook (version 4), so that the receiver cannot tell
the difference. With Alertmanager installed this stays off: rules decide there.
"""

from __future__ import annotations

import http.client
import logging
import threading
import time
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from serinus.tls import client_context
from serving.drift.report import Evaluation
from serving.drift.verdict import Verdict

log = logging.getLogger("serinus.drift")

_NEVER = "0001-01-01T00:00:00Z"


class Outbox(Protocol):
    """Where alerts go."""

    def post(self, payload: bytes) -> None:
        """Deliver one webhook body. Raises OSError or HTTPException if it was not taken."""
        ...


class HttpOutbox:
    """Posts to a URL."""

    def __init__(self, url: str, timeout: float = 5.0) -> None:
        self._url = url
        self._timeout = timeout
        self._tls = client_context()

    def post(self, payload: bytes) -> None:
        """Deliver one webhook body; see ``Outbox``."""
        request = urllib.request.Request(
            self._url, data=payload, headers={"Content-Type": "application/json"}, method="POST"
        )
        with urllib.request.urlopen(request, timeout=self._timeout, context=self._tls):
            pass


class MemoryOutbox:
    """Keeps what was posted."""

    def __init__(self) -> None:
        self.posted: list[bytes] = []

    def post(self, payload: bytes) -> None:
        """Keep one webhook body."""
        self.posted.append(payload)


def wanted(model: str, verdict: Verdict) -> dict[str, dict[str, str]]:
    """The alerts that a verdict calls for, by name: labels as the Prometheus rules give them.

    The same decision as the rules': drift alerts are silent while the data are bad.
    """
    base = {"model": model, "predictor": verdict.predictor}
    alerts: dict[str, dict[str, str]] = {}
    if verdict.quality == "bad":
        alerts["SerinusDataQuality"] = {**base, "severity": "warning", "retrain": "false"}
    if not verdict.calls_for_retraining:
        return alerts
    if verdict.feature_status == "drift":
        alerts["SerinusFeatureDrift"] = {**base, "severity": "warning", "retrain": "true", "kind": "feature"}
    if verdict.score.status == "drift":
        alerts["SerinusScoreDrift"] = {**base, "severity": "warning", "retrain": "true", "kind": "score"}
    return alerts


def fingerprint(labels: dict[str, str]) -> str:
    """64-bit FNV-1a over the sorted labels, in 16 hex digits, as Alertmanager identifies an alert."""
    value = 0xCBF29CE484222325
    for name, text in sorted(labels.items()):
        for byte in name.encode() + b"\xff" + text.encode() + b"\xff":
            value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


class Alert(msgspec.Struct, rename="camel"):
    """One alert in the webhook."""

    status: str
    labels: dict[str, str]
    annotations: dict[str, str]
    starts_at: str
    ends_at: str
    fingerprint: str
    generator_url: str = msgspec.field(default="", name="generatorURL")


def webhook(alert: Alert) -> bytes:
    """One alert as Alertmanager would post it."""
    return msgspec.json.encode(
        {
            "version": "4",
            "groupKey": f"{{}}:{alert.fingerprint}",
            "truncatedAlerts": 0,
            "status": alert.status,
            "receiver": "serinus-retrain",
            "groupLabels": {"alertname": alert.labels["alertname"], "model": alert.labels["model"]},
            "commonLabels": alert.labels,
            "commonAnnotations": alert.annotations,
            "externalURL": "",
            "alerts": [alert],
        }
    )


class Alerter:
    """Posts an alert when it becomes active, again while it stays so, and once when it resolves.

    ``update`` only notes what is wanted; a thread of its own posts, so that a
    receiver that is slow or down never delays an evaluation. What could not be
    delivered is tried again at each ``pace``.
    """

    def __init__(
        self,
        model: str,
        outbox: Outbox,
        *,
        repeat: float = 300.0,
        pace: float = 2.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._model = model
        self._outbox = outbox
        self._repeat = repeat
        self._pace = pace
        self._clock = clock
        self._active: dict[tuple[str, str], Alert] = {}
        self._due: dict[tuple[str, str], float] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name="drift-alerts", daemon=True)

    def update(self, evaluation: Evaluation) -> None:
        """Note a new verdict."""
        verdict, now = evaluation.verdict, _stamp(evaluation.time)
        alerts = wanted(self._model, verdict)
        with self._lock:
            for name, labels in alerts.items():
                key = (verdict.predictor, name)
                current = self._active.get(key)
                if current is None or current.status == "resolved":
                    labels = {"alertname": name, **labels}
                    text = {
                        "summary": _summary(self._model, name, verdict),
                        "description": _describe(name, verdict),
                    }
                    self._active[key] = Alert("firing", labels, text, now, _NEVER, fingerprint(labels))
                    self._due[key] = 0.0
            judged = _judged(verdict)
            for key, alert in self._active.items():
                gone = key[0] == verdict.predictor and key[1] in judged and key[1] not in alerts
                if gone and alert.status == "firing":
                    alert.status, alert.ends_at = "resolved", now
                    self._due[key] = 0.0
        self._wake.set()

    def end(self, predictor: str) -> None:
        """Resolve the alerts of a predictor that is no longer watched."""
        now = _stamp(self._clock())
        with self._lock:
            for key, alert in self._active.items():
                if key[0] == predictor and alert.status == "firing":
                    alert.status, alert.ends_at = "resolved", now
                    self._due[key] = 0.0
        self._wake.set()

    def deliver(self) -> None:
        """Post what is due now."""
        now = self._clock()
        with self._lock:
            due = [
                (key, webhook(self._active[key]), self._active[key].status)
                for key, at in self._due.items()
                if at <= now
            ]
        for key, payload, status in due:
            try:
                self._outbox.post(payload)
            except (OSError, http.client.HTTPException) as error:
                log.warning("alert %s could not be delivered: %s", key[1], error)
                continue
            with self._lock:
                if self._active[key].status != status:
                    continue  # it changed while being posted: what it is now is still due
                if status == "resolved":
                    del self._active[key], self._due[key]
                else:
                    self._due[key] = now + self._repeat

    def start(self) -> None:
        """Start posting."""
        self._thread.start()

    def stop(self) -> None:
        """End after one last attempt to deliver."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(10)

    def _work(self) -> None:
        while True:
            self._wake.wait(self._pace)
            self._wake.clear()
            self.deliver()
            if self._stopping:
                return


def _judged(verdict: Verdict) -> set[str]:
    """The alerts that this verdict may end: a window without data ends none."""
    statuses = {
        "SerinusFeatureDrift": verdict.feature_status,
        "SerinusScoreDrift": verdict.score.status,
        "SerinusDataQuality": verdict.quality,
    }
    return {name for name, status in statuses.items() if status != "no_data"}


def _stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _summary(model: str, name: str, verdict: Verdict) -> str:
    if name == "SerinusDataQuality":
        return f"The data sent to {model} are bad: {verdict.quality_reason}"
    if name == "SerinusScoreDrift":
        return f"The scores of {model} drift"
    return f"The features of {model} drift: {', '.join(verdict.drifted)}"


def _describe(name: str, verdict: Verdict) -> str:
    if name == "SerinusDataQuality":
        return verdict.quality_reason
    columns = (
        [verdict.score]
        if name == "SerinusScoreDrift"
        else [c for c in verdict.features if c.status == "drift"]
    )
    return "; ".join(f"{c.name}: {c.reason}" for c in columns)
