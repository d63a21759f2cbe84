"""The receiver: judges alerts one at a time, runs what is to be run, and writes down both."""

from __future__ import annotations

import http.client
import logging
import threading
import time
import urllib.request
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from serinus.alerts import Alert, Webhook
from serinus.audit import AuditLog
from serinus.errors import SerinusError
from serinus.tls import client_context
from serving.retrain.policy import Decision, Ledger, Limits, Run, decide, pruned, settles
from serving.retrain.runner import RunFailed, Runner, RunStopped
from serving.retrain.store import Store

log = logging.getLogger("serinus.retrain")

ACTOR = "serinus-retrain"
OUTCOMES = (
    "started", "duplicate", "cooling_down", "capped", "needs_person", "ignored",
    "succeeded", "failed", "interrupted", "notice_failed",
)  # fmt: skip


class Notifier(Protocol):
    """Who is told of a new version."""

    def tell(self, notice: dict[str, Any]) -> None:
        """Deliver a notice. Raises OSError or HTTPException if it was not taken."""
        ...


class HttpNotifier:
    """POSTs the notice as JSON."""

    def __init__(self, url: str, timeout: float = 30.0) -> None:
        self._url = url
        self._timeout = timeout
        self._tls = client_context()

    def tell(self, notice: dict[str, Any]) -> None:
        """Deliver a notice."""
        request = urllib.request.Request(
            self._url,
            data=msgspec.json.encode(notice),
            headers={"Content-Type": "application/json"},
            method="POST",
        )
        with urllib.request.urlopen(request, timeout=self._timeout, context=self._tls):
            pass


class MemoryNotifier:
    """Keeps the notices."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []

    def tell(self, notice: dict[str, Any]) -> None:
        """Keep a notice."""
        self.told.append(notice)


class Answer(msgspec.Struct, frozen=True):
    """What was done about one alert."""

    fingerprint: str
    outcome: str
    reason: str
    run: str | None = None


class Receiver:
    """Turns webhooks into runs. Safe to call from several threads.

    The ledger is saved, and the audit entry written, *before* a run starts: a
    crash in between loses a run, which the audit log shows, and never doubles one.
    ``review`` is told of each alert and asks for a review of the model where that is due;
    a failure of it is logged and holds up nothing.

    Args:
        door: raises if somebody (first) may not release a model's retraining (second).
    """

    def __init__(
        self,
        *,
        store: Store,
        runner: Runner,
        audit: AuditLog,
        limits: Limits,
        notifier: Notifier | None = None,
        clock: Callable[[], float] = time.time,
        review: Callable[[Alert], object] | None = None,
        door: Callable[[str, str], object] = lambda who, model: None,
    ) -> None:
        self._review = review
        self._door = door
        self._store = store
        self._runner = runner
        self._audit = audit
        self._limits = limits
        self._notifier = notifier
        self._clock = clock
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._told: dict[str, str] = {}
        self.counts: Counter[str] = Counter()
        self._ledger = store.load()
        self._close_interrupted()

    def receive(self, webhook: Webhook) -> list[Answer]:
        """Judge each alert in order and start what is to be started; returns at once."""
        return [self._receive(alert) for alert in webhook.alerts]

    def release(self, model: str, by: str) -> None:
        """A person lets retraining of a model go on after the same cause came twice.

        Raises:
            SerinusError: ``SRN-ACCESS-005`` if the access policy does not let them.
        """
        self._door(by, model)
        with self._lock:
            self._audit.append(actor=by, action="retrain.release", subject=model)
            self._ledger.released[model] = self._clock()
            others = {run.key for run in self._ledger.runs if run.model != model}
            self._ledger.handled = {k: at for k, at in self._ledger.handled.items() if k in others}
            self._store.save(self._ledger)

    def ledger(self) -> Ledger:
        """A copy of the ledger."""
        with self._lock:
            return msgspec.json.decode(msgspec.json.encode(self._ledger), type=Ledger)

    def wait(self, timeout: float) -> bool:
        """Wait for runs under way; whether all ended."""
        until = time.monotonic() + timeout
        for thread in list(self._threads):
            thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def stop(self) -> None:
        """End runs under way and wait until that is recorded."""
        self._runner.stop()
        self.wait(15.0)

    def _receive(self, alert: Alert) -> Answer:
        with self._lock:
            now = self._clock()
            decision = decide(alert, self._ledger, self._limits, now)
            run = self._record(alert, decision, now)
            self.counts[decision.outcome] += 1
        log.info("%s: %s (%s)", alert.reason, decision.outcome, decision.reason)
        self._ask(alert)
        if run is not None:
            self._start(run)
        return Answer(alert.fingerprint, decision.outcome, decision.reason, run.id if run else None)

    def _ask(self, alert: Alert) -> None:
        if self._review is None:
            return
        try:
            self._review(alert)
        except SerinusError as error:
            log.error("no review was asked for: %s", error)

    def _record(self, alert: Alert, decision: Decision, now: float) -> Run | None:
        run = None
        if decision.outcome == "started":
            run = Run(
                id=f"retrain-{time.strftime('%Y%m%dT%H%M%S', time.gmtime(now))}-{uuid.uuid4().hex[:6]}",
                model=alert.model,
                cause=alert.cause,
                key=alert.key,
                reason=alert.reason,
                started=now,
            )
        # Alertmanager repeats itself for as long as the alert fires; the audit log tells each turn once.
        if decision.outcome not in ("ignored", "duplicate") and self._told.get(alert.key) != decision.outcome:
            self._audit.append(
                actor=ACTOR,
                action=f"retrain.{decision.outcome}",
                subject=alert.model,
                reason=decision.reason,
                details={"cause": alert.cause, "alert": alert.key, "run": run.id if run else None},
            )
            self._told = {**dict(list(self._told.items())[-500:]), alert.key: decision.outcome}
        if settles(decision):
            ledger = pruned(self._ledger, now)
            ledger.handled[alert.key] = now
            if run is not None:
                ledger.runs.append(run)
            self._store.save(ledger)
            self._ledger = ledger
        return run

    def _run(self, run: Run) -> None:
        result: dict[str, Any] | None = None
        error = ""
        try:
            result = self._runner.run(run=run.id, model=run.model, reason=run.reason)
        except RunStopped as pause:
            log.info("%s", pause)  # it stays "running" in the ledger, for the next receiver to follow
            return
        except RunFailed as failure:
            error = str(failure)
        except Exception as failure:
            log.exception("run %s", run.id)
            error = f"{type(failure).__name__}: {failure}"
        with self._lock:
            self._finish(run, "failed" if error else "succeeded", result, error)
        if not error and self._notifier is not None:
            self._tell(run, result)

    def _finish(self, run: Run, outcome: str, result: dict[str, Any] | None, error: str) -> None:
        finished = msgspec.structs.replace(
            run, finished=self._clock(), outcome=outcome, result=result, error=error
        )
        self._ledger.runs = [finished if r.id == run.id else r for r in self._ledger.runs]
        self.counts[outcome] += 1
        self._store.save(self._ledger)
        self._audit.append(
            actor=ACTOR,
            action=f"retrain.{outcome}",
            subject=run.model,
            reason=error or run.reason,
            details={"run": run.id, "result": result},
        )
        log.info("run %s %s %s", run.id, outcome, error)

    def _tell(self, run: Run, result: dict[str, Any] | None) -> None:
        notice = {
            "type": "io.serinus.retrained",
            "model": run.model,
            "run": run.id,
            "reason": run.reason,
            "result": result,
        }
        pause = threading.Event()
        for patience in (0.5, 2.0, 5.0, None):
            try:
                assert self._notifier is not None
                self._notifier.tell(notice)
                return
            except (OSError, http.client.HTTPException) as error:
                log.warning("the notice of run %s was not taken: %s", run.id, error)
            if patience is not None:
                pause.wait(patience)
        self.counts["notice_failed"] += 1

    def _close_interrupted(self) -> None:
        """Runs under way when the receiver ended: followed on where they outlive it, as on a KFP
        server; elsewhere nobody knows their outcome, and they are not repeated."""
        for run in [r for r in self._ledger.runs if r.outcome == "running"]:
            if self._runner.resumable:
                log.info("following run %s on", run.id)
                self._start(run)
            else:
                self._finish(run, "interrupted", None, "the receiver ended while it ran")

    def _start(self, run: Run) -> None:
        thread = threading.Thread(target=self._run, args=(run,), name=f"retrain-{run.id}", daemon=True)
        self._threads = [t for t in self._threads if t.is_alive()] + [thread]
        thread.start()
