"""Reading what is new, and looking at what it says: one thread, at its own pace."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from serinus.contract import Contract
from serinus.durations import parse_duration
from serinus.errors import SerinusError
from serinus.follow import Followed
from serinus.privacy import FoundKeys
from serinus.watching.concept import ConceptReport
from serving.outcomes.business import Business, business
from serving.outcomes.concept import ConceptWatch
from serving.outcomes.measures import Measured, Policy, measure
from serving.outcomes.records import (
    Decided,
    Groups,
    Kind,
    Outcome,
    Review,
    Sealed,
    Unreadable,
    read_decision,
    read_feedback,
    read_groups,
    read_label,
    read_label_row,
    read_review,
)
from serving.outcomes.store import Store

log = logging.getLogger("serinus.outcomes")

_LINES = 5000
MAX_WAITING = 32
"""Batches of lines that may wait to be taken in; whoever comes then is asked to come again."""
_SENT = Path("sent.jsonl")  # no file; lines that are sent are JSON
_NEEDED = ("request_id", "label", "time")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the program needs to know.

    Args:
        keep: seconds for which decisions wait for a label and count in windows; at
            least twice the contract's label delay.
        grace: seconds beyond the contract's label delay after which a label is due.
        window: the latest labelled decisions of a predictor that figures rest on.
    """

    model: str
    contract: Contract
    keep: float
    grace: float
    window: int = 20_000
    policy: Policy = Policy()

    @property
    def delay(self) -> float:
        """Seconds from a decision until its label is known, by the contract."""
        return parse_duration(self.contract.label.delay)


@dataclass
class Understood:
    """What some lines say."""

    decided: list[Decided] = field(default_factory=list[Decided])
    outcomes: list[Outcome] = field(default_factory=list[Outcome])
    groups: list[Groups] = field(default_factory=list[Groups])
    reviews: list[Review] = field(default_factory=list[Review])
    unreadable: int = 0
    sealed: int = 0


@dataclass(frozen=True)
class State:
    """What metrics and /status are made of."""

    outcomes: dict[tuple[str, str, str], int]
    results: dict[str, int]
    delays: tuple[list[int], float]
    measured: dict[str, Measured]
    concept: dict[str, ConceptReport]
    read_at: float | None
    behind: bool
    problem: str = ""
    decisions: dict[str, int] = field(default_factory=dict[str, int])
    business: dict[str, Business] = field(default_factory=dict[str, Business])


class BusyError(Exception):
    """The lines were not taken now; the same may be sent again."""


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What became of lines that were sent: ``lines`` of them, of which ``unreadable`` said nothing."""

    lines: int
    unreadable: int


class Engine:
    """Follows the files, joins, measures.

    Args:
        sources: what to follow, by kind; ``decisions`` first, so that labels of a
            first reading seldom have to wait.
        clock: Unix seconds.
        keys: open decisions that are sealed by person, and say who was erased.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        sources: dict[Kind, Callable[[], list[Path]]],
        *,
        concept: ConceptWatch | None = None,
        clock: Callable[[], float] = time.time,
        keys: FoundKeys | None = None,
    ) -> None:
        self._keys = keys
        self.settings = settings
        self._store = store
        places = store.places()
        self._followed: dict[Kind, Followed] = {
            kind: Followed(paths, places) for kind, paths in sources.items()
        }
        self._headers: dict[str, list[str]] = {}
        self._concept = concept
        self._clock = clock
        self._state = State({}, {}, store.delay_counts(), {}, {}, None, behind=True)
        self._lock = threading.Lock()
        self._sent: deque[tuple[Kind, list[bytes], Future[Taken]]] = deque()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="outcomes", daemon=True)

    def snapshot(self) -> State:
        """The state as it was last looked at."""
        with self._lock:
            return self._state

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def start(self, read_every: float = 1.0, look_every: float = 15.0) -> None:
        """Read every so many seconds, measure every so many."""
        self._pace = (read_every, look_every)
        self._thread.start()

    def stop(self) -> None:
        """End after the lines in hand."""
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(10)

    def send(self, kind: Kind, lines: Sequence[bytes]) -> Future[Taken]:
        """Lines as a log holds them, which somebody posts; the future tells when they are in the store.

        It fails with BusyError if they are not taken: too many wait, the store cannot be written, the program ends.
        """
        future: Future[Taken] = Future()
        with self._lock:
            if len(self._sent) >= MAX_WAITING or self._stopping.is_set():
                future.set_exception(BusyError("too many wait, or the program ends"))
                return future
            self._sent.append((kind, list(lines), future))
        self._wake.set()
        return future

    def take(self) -> int:
        """Take in what was sent; how many lines."""
        total = 0
        while True:
            with self._lock:
                if not self._sent:
                    return total
                kind, lines, future = self._sent.popleft()
            found = self._understand(kind, _SENT, lines)
            try:
                self._store.apply(**vars(found))
            except SerinusError as error:
                future.set_exception(BusyError(str(error)))
                raise
            future.set_result(Taken(lines=len(lines), unreadable=found.unreadable))
            total += len(lines)

    def read(self) -> int:
        """Take in what is new, up to some thousand lines a kind; how many lines there were.

        Raises:
            SerinusError: ``SRN-OUTCOMES-001`` if the store does not take it; the lines come again.
        """
        total = 0
        for kind, followed in self._followed.items():
            for path, lines, place in followed.read(_LINES):
                self._store.apply(**vars(self._understand(kind, path, lines)), places=(place,))
                followed.keep(place)
                total += len(lines)
        return total

    def look(self) -> State:
        """Forget what is too old and who was erased, measure each predictor, and show the result."""
        now, settings = self._clock(), self.settings
        gone = [] if self._keys is None else self._keys.erased_after(self._store.heard())
        if gone:
            self._store.erase([erased.key for erased in gone], gone[-1].position)
        self._store.mature(now - settings.delay)
        self._store.forget(now - settings.keep)
        due = now - settings.delay - settings.grace
        measured = {
            predictor: measure(
                settings.contract,
                settings.policy,
                *self._store.labelled(predictor, settings.window),
                coverage=self._store.coverage(predictor, now - settings.keep, due),
                groups=self._store.by_group(predictor, settings.window),
            )
            for predictor in self._store.predictors()
        }
        figures = {
            predictor: business(
                settings.contract.decision,
                latest=self._store.latest(predictor, settings.window),
                referred=self._store.referred(predictor),
                settled=self._store.settled(predictor, now - settings.delay, settings.window),
                min_rows=settings.policy.min_rows,
            )
            for predictor in measured
        }
        concept: dict[str, ConceptReport] = {}
        for predictor in measured if self._concept else ():
            assert self._concept is not None
            report = self._concept.look(predictor, due)
            if report is not None:
                concept[predictor] = report
        state = State(
            self._store.outcome_counts(),
            self._store.result_counts(),
            self._store.delay_counts(),
            measured,
            concept,
            now,
            behind=False,
            decisions=self._store.decision_counts(),
            business=figures,
        )
        with self._lock:
            self._state = state
        return state

    def _work(self) -> None:
        read_every, look_every = self._pace
        next_look = 0.0
        while not self._stopping.is_set():
            try:
                self._wake.clear()
                self.take()
                lines = self.read()
                if lines < _LINES and time.monotonic() >= next_look:
                    self.look()
                    next_look = time.monotonic() + look_every
                wait = read_every if lines < _LINES else 0.0
            except SerinusError as error:
                self._trouble(str(error))
                wait = 5.0
            except Exception as error:
                # Nothing that stands in a log may end the watch over it.
                log.exception("reading the logs")
                self._trouble(f"{type(error).__name__}: {error}")
                wait = 5.0
            self._wake.wait(wait)
        self._refuse()

    def _refuse(self) -> None:
        with self._lock:
            left, self._sent = self._sent, deque()
        for _, _, future in left:
            future.set_exception(BusyError("the program ends"))

    def _trouble(self, what: str) -> None:
        log.warning("%s", what)
        with self._lock:
            self._state = dataclasses.replace(self._state, behind=True, problem=what)

    def _understand(self, kind: Kind, path: Path, lines: list[bytes]) -> Understood:
        found = Understood()
        label = self.settings.contract.label
        for line in lines:
            if not line.strip():
                continue
            try:
                match kind:
                    case "decisions":
                        decided = read_decision(line, self.settings.model, self._keys)
                        if isinstance(decided, Sealed):
                            found.sealed += 1
                        elif decided is not None:
                            found.decided.append(decided)
                    case "feedback":
                        found.outcomes += read_feedback(line, label)
                    case "labels":
                        found.outcomes += self._label(path, line)
                    case "reviews":
                        review = read_review(line)
                        found.reviews.append(review)
                        # The person's word is the label until an outcome that comes later corrects it.
                        found.outcomes.append(Outcome(review.id, review.bad, review.at, word=True))
                    case "protected":
                        self._protected(line, found)
            except Unreadable as error:
                found.unreadable += 1
                log.warning("a line of %s cannot be read: %s", path.name, str(error)[:200])
        return found

    def _protected(self, line: bytes, found: Understood) -> None:
        person = read_groups(line, self._keys)
        if isinstance(person, Sealed):
            found.sealed += 1
            return
        protected = {p.column for p in self.settings.contract.protected}
        known = {k: v for k, v in person.attributes.items() if k in protected}
        found.groups.append(Groups(person.id, known))

    def _label(self, path: Path, line: bytes) -> list[Outcome]:
        label = self.settings.contract.label
        if path.suffix != ".csv":
            return read_label(line, label)
        header = self._headers.get(str(path))
        if header is None:
            with path.open("rb") as file:
                header = file.readline().decode("utf-8", "replace").strip().split(",")
            self._headers[str(path)] = header
        missing = [name for name in _NEEDED if name not in header]
        if missing:
            raise Unreadable(f"its header lacks {', '.join(missing)}")
        return (
            []
            if line.decode("utf-8", "replace").strip().split(",") == header
            else read_label_row(header, line, label)
        )
