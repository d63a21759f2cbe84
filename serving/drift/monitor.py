"""From payloads to verdicts: windows by predictor, filled and judged by one worker thread."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from serving.drift.evaluate import Yardstick, evaluate
from serving.drift.mailbox import Letter, Mailbox
from serving.drift.payload import (
    REQUEST_TYPE,
    RESPONSE_TYPE,
    Envelope,
    PayloadError,
    read_answers,
    read_rows,
)
from serving.drift.policy import Policy
from serving.drift.verdict import Verdict
from serving.drift.window import RowReader, Window

log = logging.getLogger("serinus.drift")

MAX_PREDICTORS = 8
"""Predictors are configured, so few; a stranger's header must not open windows without end."""
UNLISTED = "unlisted"
OUTCOMES = ("accepted", "dropped", "malformed", "ignored", "other_model", "failed")
KINDS = ("feature", "score", "data_quality")


@dataclass(frozen=True)
class Settings:
    """What the monitor needs to know. ``max_age`` seconds after its first row a window is judged as it is."""

    model: str
    digest: str
    window: int
    max_age: float


@dataclass(frozen=True)
class Evaluation:
    """A verdict, when it was reached (Unix seconds), and what it cost (seconds)."""

    verdict: Verdict
    time: float
    seconds: float


@dataclass
class State:
    """What metrics and /status are made of; read and written under one lock."""

    evaluations: dict[str, Evaluation] = field(default_factory=dict[str, Evaluation])
    payloads: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    events: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    rows: Counter[str] = field(default_factory=Counter[str])
    filling: dict[str, int] = field(default_factory=dict[str, int])


class Monitor:
    """Takes payloads in without waiting, and judges each full window.

    ``on_verdict`` is called in the worker thread after each evaluation; it must
    not block and must not raise.
    """

    def __init__(
        self,
        settings: Settings,
        yardstick: Yardstick,
        reader: RowReader,
        policy: Policy,
        *,
        mailbox: Mailbox | None = None,
        clock: Callable[[], float] = time.time,
        on_verdict: Callable[[Evaluation], None] = lambda evaluation: None,
    ) -> None:
        self.settings = settings
        self.policy = policy
        self.yardstick = yardstick
        self._reader = reader
        self._mailbox = Mailbox() if mailbox is None else mailbox
        self._clock = clock
        self._on_verdict = on_verdict
        self._windows: dict[str, Window] = {}
        self._seen: set[str] = set()
        self._state = State()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="drift-worker", daemon=True)

    # --- called by the HTTP server -----------------------------------------
    def submit(self, envelope: Envelope, body: bytes) -> bool:
        """Queue one payload; False if it was dropped. Never waits."""
        taken = self._mailbox.put(Letter(envelope, body))
        if not taken:
            self.count(envelope.predictor, "dropped")
        return taken

    def count(self, predictor: str, outcome: str) -> None:
        """Count a payload by what became of it."""
        with self._lock:
            self._state.payloads[self._label(predictor), outcome] += 1

    def snapshot(self) -> State:
        """A copy of the state that the worker no longer touches."""
        with self._lock:
            s = self._state
            return State(
                dict(s.evaluations), s.payloads.copy(), s.events.copy(), s.rows.copy(), dict(s.filling)
            )

    def start(self) -> None:
        """Start the worker."""
        self._thread.start()

    def stop(self, timeout: float = 5.0) -> None:
        """Take nothing more in, work off what is queued, end the worker."""
        self._mailbox.close()
        if self._thread.is_alive():
            self._thread.join(timeout)

    @property
    def alive(self) -> bool:
        """Whether the worker runs."""
        return self._thread.is_alive()

    # --- the worker --------------------------------------------------------
    def _work(self) -> None:
        while True:
            letter = self._mailbox.take(timeout=1.0)
            if letter is not None:
                self.process(letter)
            elif self._mailbox.closed:
                return
            self.close_old_windows()

    def process(self, letter: Letter) -> None:
        """Read one payload into its predictor's window, and judge the window when it is full."""
        predictor = self._label(letter.envelope.predictor)
        try:
            outcome = self._take_in(predictor, letter)
        except PayloadError as error:
            log.warning("payload %s of %s cannot be read: %s", letter.envelope.request_id, predictor, error)
            outcome = "malformed"
        except Exception:
            # One payload or one window must never end the monitor; the staleness alert tells if all fail.
            log.exception("payload %s of %s failed", letter.envelope.request_id, predictor)
            outcome = "failed"
        self.count(predictor, outcome)

    def close_old_windows(self) -> None:
        """Judge windows that have been open for ``max_age``, full or not."""
        now = self._clock()
        for predictor, window in list(self._windows.items()):
            if window.rows and now - window.opened >= self.settings.max_age:
                self._judge(predictor)

    def _take_in(self, predictor: str, letter: Letter) -> str:
        if letter.envelope.kind == REQUEST_TYPE:
            for row in self._reader.read(read_rows(letter.body)):
                window = self._window(predictor)
                window.add(row)
                if window.full:
                    self._judge(predictor)
            with self._lock:
                self._state.filling[predictor] = self._window(predictor).rows
            return "accepted"
        if letter.envelope.kind == RESPONSE_TYPE:
            answers = read_answers(letter.body)
            if answers.digest is not None and answers.digest != self.settings.digest:
                # A canary is another model: its scores are no drift of this one's.
                return "other_model"
            self._window(predictor).add_scores([p for p in answers.probabilities if math.isfinite(p)])
            return "accepted"
        return "ignored"

    def _window(self, predictor: str) -> Window:
        window = self._windows.get(predictor)
        if window is None or not (window.rows or window.scores):
            window = Window(self.settings.window, len(self.yardstick.features), self._clock())
            self._windows[predictor] = window
        return window

    def _judge(self, predictor: str) -> None:
        sample = self._windows.pop(predictor).close()
        started = time.perf_counter()
        verdict = evaluate(predictor, self.yardstick, sample, self.policy)
        evaluation = Evaluation(verdict, self._clock(), time.perf_counter() - started)
        with self._lock:
            self._state.evaluations[predictor] = evaluation
            self._state.rows[predictor] += sample.rows
            self._state.events[predictor, "feature"] += verdict.feature_status == "drift"
            self._state.events[predictor, "score"] += verdict.score.status == "drift"
            self._state.events[predictor, "data_quality"] += verdict.quality == "bad"
        log.info(
            "window of %s: %d rows, features %s %s, score %s, quality %s %s",
            predictor, verdict.rows, verdict.feature_status, ",".join(verdict.drifted),
            verdict.score.status, verdict.quality, verdict.quality_reason,
        )  # fmt: skip
        self._on_verdict(evaluation)

    def _label(self, predictor: str) -> str:
        if predictor in self._seen:
            return predictor
        if len(self._seen) >= MAX_PREDICTORS:
            return UNLISTED
        self._seen.add(predictor)
        return predictor
