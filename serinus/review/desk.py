"""Where people take cases and answer them: under the access policy, one person at a case, each answer recorded."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec.structs import replace

from serinus.access import Access
from serinus.contract import Contract
from serinus.errors import SerinusError
from serinus.home import Home, unwritable
from serinus.privacy import find_keys
from serinus.registry import Registry
from serinus.review.queue import Case, Queue
from serinus.review.rules import BAD, GOOD, Answered, answer_of, leaning
from serinus.shadows import shadows_of

CLAIM = 30 * 60.0
"""Seconds for which a case is one person's, unless they say otherwise."""


class ReviewDesk:
    """The review queue of one installation.

    Args:
        clock: Unix seconds.
    """

    def __init__(self, home: Home, clock: Callable[[], float] = time.time) -> None:
        self._home = home
        self._clock = clock
        self._access = Access(home, clock=clock)
        self._registry = Registry(home, clock)
        self._contracts: dict[str, Contract] = {}
        self.queue = Queue(
            home.root / "review" / "queue.db",
            home.decisions,
            find_keys(home),
            lambda: shadows_of(self._access.audit),
        )

    def now(self) -> float:
        """Unix seconds."""
        return self._clock()

    def waiting(self, model: str | None = None) -> list[Case]:
        """Cases without an answer, oldest first, those of this moment included."""
        self.queue.sync()
        return self.queue.waiting(model)

    def next(self, by: str, model: str | None = None, lasts: float = CLAIM) -> Case | None:
        """Take the oldest case that nobody is at; the same again while one's own is open. None if there is none.

        Raises:
            SerinusError: ``SRN-ACCESS-005`` if the policy does not let them.
        """
        self._access.require(by, "review.answer", model or "the review queue")
        self.queue.sync()
        now = self._clock()
        with self.queue.transaction() as db:
            row = db.execute(
                "SELECT id FROM cases WHERE answered_at IS NULL AND (?1 IS NULL OR model = ?1)"
                " AND (claimed_until IS NULL OR claimed_until <= ?2 OR claimed_by = ?3)"
                # What one is at already goes first: coming back is not taking another. Never taken is null,
                # which would sort behind a claim that has ended.
                " ORDER BY coalesce(claimed_by = ?3 AND claimed_until > ?2, 0) DESC, at, id LIMIT 1",
                (model, now, by),
            ).fetchone()
            if row is None:
                return None
            db.execute(
                "UPDATE cases SET claimed_by = ?, claimed_until = ? WHERE id = ?",
                (by, now + lasts, row["id"]),
            )
        return self.queue.find(row["id"])

    def release(self, name: str, by: str) -> Case:
        """Give a case back.

        Raises:
            SerinusError: ``SRN-ACCESS-005`` if the policy does not let them; ``SRN-QUEUE-002`` no such
                case; ``-003`` another is at it, or it is answered.
        """
        self._access.require(by, "review.answer", name)
        now = self._clock()
        with self.queue.transaction() as db:
            self._open(self.queue.find(name, db), by, now)
            db.execute("UPDATE cases SET claimed_by = NULL, claimed_until = NULL WHERE id = ?", (name,))
        return self.queue.find(name)

    def answer(self, name: str, text: str, *, by: str, reason: str, correct: bool = False) -> Case:
        """Answer a case: recorded in the audit log, and fed back as its label.

        In this order: record, label, queue. Killed in between, the case is still open, and answering it again
        adds a record and a label that says the same.

        Args:
            correct: replace an answer that was given.

        Raises:
            SerinusError: ``SRN-ACCESS-005`` not theirs to answer; ``SRN-QUEUE-002`` no such case; ``-003``
                another is at it, or it is answered; ``-004`` no answer by the contract; ``-005`` no reason.
        """
        self._access.require(by, "review.answer", name)
        if not reason.strip():
            raise SerinusError(
                "SRN-QUEUE-005",
                f"the answer to {name} gives no reason",
                hint="Say what you saw and why it is so: --reason TEXT.",
            )
        self.queue.sync()
        now = self._clock()
        case = self.queue.find(name)
        contract = self.contract(case)
        bad, leant = answer_of(contract, text), leaning(contract, case.probability)
        with self.queue.transaction() as db:
            # Looked at again under the lock: two who answer at once are one after the other.
            case = self.queue.find(name, db)
            self._open(case, by, now, correct=correct)
            self._access.audit.append(
                actor=by,
                action="review-correct" if case.answered_at is not None else "review-answer",
                subject=f"{case.model}/{case.version}",
                reason=reason,
                details={
                    "request_id": name,
                    "answer": BAD if bad else GOOD,
                    "leaning": BAD if leant else GOOD,
                    "override": bad != leant,
                    "digest": case.digest,
                    "decided": datetime.fromtimestamp(case.at, UTC).isoformat(timespec="milliseconds"),
                },
            )
            time_ = datetime.fromtimestamp(now, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
            line = Answered(request_id=name, time=time_, leaning=int(leant), truth=[[int(bad)]])
            _append(answers_path(self._home, case.model), msgspec.json.encode(line) + b"\n")
            db.execute(
                "UPDATE cases SET answered_by = ?, answered_at = ?, bad = ?, claimed_by = NULL,"
                " claimed_until = NULL WHERE id = ?",
                (by, now, int(bad), name),
            )
        return replace(case, answered_by=by, answered_at=now, bad=bad, claimed_by=None, claimed_until=None)

    def contract(self, case: Case) -> Contract:
        """The contract of the bundle that decided, verified. Raises as ``Registry.bundle``."""
        if case.digest not in self._contracts:
            version = self._registry.by_digest(case.digest)
            if version is None:
                raise SerinusError(
                    "SRN-QUEUE-006",
                    f"the version that decided ({case.model} v{case.version}, {case.digest[:19]}…) is not registered",
                    where=str(self._home.root),
                    hint="Register its bundle here: the contract says what an answer means.",
                )
            self._contracts[case.digest] = self._registry.bundle(version).contract
        return self._contracts[case.digest]

    @staticmethod
    def _open(case: Case, by: str, now: float, *, correct: bool = False) -> None:
        """Whether somebody may answer a case now, or give it back. Raises ``SRN-QUEUE-003``."""
        name = case.id
        holder = case.held_by(now)
        what = None
        if case.answered_at is not None and not correct:
            said = BAD if case.bad else GOOD
            what = f"{case.answered_by} has answered {name} already: {said}"
            hint = "If that was wrong, answer it again with --correct; both are recorded."
        elif holder is not None and holder != by:
            assert case.claimed_until is not None
            until = datetime.fromtimestamp(case.claimed_until, UTC).strftime("%H:%M UTC")
            what = f"{holder} is at {name} until {until}"
            hint = "Take another (serinus review next), or ask them to give it back (serinus review release)."
        else:
            return
        raise SerinusError("SRN-QUEUE-003", what, where="review queue", hint=hint)


def answers_path(home: Home, model: str) -> Path:
    """The file of a model's answers, beside its other outcomes."""
    return home.decisions / f"{model}.review.feedback.jsonl"


def _append(path: Path, line: bytes) -> None:
    """Add a line durably; one write, so that several may append."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o640)
        try:
            # A full disk may have taken half a line; the next one then starts afresh.
            size = os.fstat(descriptor).st_size
            torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            line = b"\n" + line if torn else line
            if os.write(descriptor, line) < len(line):
                raise OSError(28, os.strerror(28))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise unwritable(path, error) from error
