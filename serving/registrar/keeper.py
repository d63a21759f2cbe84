"""From what the API server tells to records, each once: turns, approvals, refusals, commands, and what is missing.

Pure but for its ``Book``. A turn's stages are moved first and its entry is written last: killed in between, the same is
done again, which moves nothing twice; once the entry is there, it is never done again.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from serinus.access import AccessPolicy

from . import seen as rollouts
from . import words
from .records import ACTOR, Known, Marks, Record
from .seen import Seen, Turn
from .words import Word

log = logging.getLogger("serinus.records")

Object = dict[str, Any]
WordKind = Literal["RolloutApproval", "RolloutCommand"]
OVER = frozenset({"Promoted", "RolledBack", "Aborted", "Failed"})
"""Phases in which nothing moves any more, but for a rollback window."""


class Book(Protocol):
    """Registry and audit chain of a home. Every method may raise SerinusError; done again, none does anything twice."""

    marks: Marks

    def policy(self) -> AccessPolicy:
        """The access policy in force."""
        ...

    def version(self, digest: str) -> Known | None:
        """What a bundle is registered as."""
        ...

    def follow(self, turn: Turn, candidate: Known | None, champion: Known | None) -> list[str]:
        """Move the stages to where a turn has put them; what was not followed, in words."""
        ...

    def approve(self, version: Known, word: Word, policy: AccessPolicy) -> None:
        """Enter an approval, and an override into its book."""
        ...

    def write(self, record: Record) -> None:
        """Write an entry durably, and mark it."""
        ...


class Keeper:
    """Keeps the records of all rollouts.

    Attributes:
        counts: since the start: ``turn``, ``word``, ``refused``, ``gap``, ``unknown`` (rollouts of a digest that the
            registry does not know), ``unfollowed`` (turns that the registry refused).
    """

    def __init__(self, book: Book) -> None:
        self._book = book
        self._rollouts: dict[tuple[str, str], Seen] = {}
        self._waiting: dict[str, Word] = {}
        self._unknown: set[str] = set()
        self.counts: Counter[str] = Counter()

    # --- rollouts --------------------------------------------------------------------

    def listed(
        self, resources: Iterable[Object], within: Callable[[str], bool] = lambda namespace: True
    ) -> None:
        """These are all rollouts of the namespaces that ``within`` says yes to.

        Turns that nobody has recorded are told in the order in which they happened, whichever rollout they are of:
        of two promotions the later one is the champion.
        """
        found = [rollouts.read(resource) for resource in resources]
        steps = [step for one in found for step in self._fresh(one)]
        for _, _, _, one, turn in sorted(steps, key=lambda step: step[:3]):
            self._turn(one, turn)
        for one in found:
            self._place(one)
        present = {one.uid for one in found}
        for uid, place in list(self._book.marks.open.items()):
            if uid not in present and within(place.namespace):
                self._vanished(uid)

    def heard(self, resource: Object, *, deleted: bool = False) -> None:
        """A rollout was made, changed, or deleted; then this is its last state."""
        one = rollouts.read(resource)
        for _, _, _, _, turn in self._fresh(one):
            self._turn(one, turn)
        self._place(one)
        if deleted:
            self._rollouts.pop((one.namespace, one.name), None)
            self._deleted(one)

    def _fresh(self, one: Seen) -> list[tuple[float, str, int, Seen, Turn]]:
        last, steps, at = self._book.marks.last.get(one.uid, -1), [], 0.0
        for turn in one.turns:
            if turn.seq > last:
                # In their own order even where a clock went back.
                at = max(at, turn.at)
                steps.append((at, one.uid, turn.seq, one, turn))
        return steps

    def _turn(self, one: Seen, turn: Turn) -> None:
        last = self._book.marks.last.get(one.uid, -1)
        if turn.seq > last + 1:
            self._gap(one, last + 1, turn.seq - 1)
        candidate = self._book.version(one.digest) if one.digest else None
        champion = self._book.version(one.champion) if one.champion else None
        missed = self._book.follow(turn, candidate, champion)
        details = self._details(one, turn.seq) | {
            "at": turn.at,
            "phase": turn.phase,
            "weight": turn.weight,
            "target": one.target,
        }
        if candidate is None:
            details["registry"] = "does not know this digest" if one.digest else "no bundle, so no digest"
            if one.uid not in self._unknown:
                self._unknown.add(one.uid)
                self.counts["unknown"] += 1
                log.warning("rollout %s/%s: the registry does not know its digest %s", one.namespace, one.name,
                            one.digest or "(none)")  # fmt: skip
        if missed:
            details["registry"] = "; ".join(missed)
            self.counts["unfollowed"] += 1
            log.error(
                "rollout %s/%s: the registry did not follow: %s", one.namespace, one.name, "; ".join(missed)
            )
        self._book.write(
            Record(
                actor=turn.actor,
                action=f"rollout-{turn.reason}",
                subject=_subject(one, candidate),
                reason=turn.message,
                details=details,
            )
        )
        self.counts["turn"] += 1

    def _gap(self, one: Seen, first: int, last: int) -> None:
        what = f"turn {first} of" if first == last else f"turns {first} to {last} of"
        why = f"{what} this rollout are not known: nobody followed it, and its status keeps no more"
        log.error("rollout %s/%s: %s", one.namespace, one.name, why)
        known = self._book.version(one.digest) if one.digest else None
        details = self._details(one, last) | {"missing": [first, last]}
        self._book.write(
            Record(
                actor=ACTOR, action="rollout-gap", subject=_subject(one, known), reason=why, details=details
            )
        )
        self.counts["gap"] += 1

    def _deleted(self, one: Seen) -> None:
        marks = self._book.marks
        if one.uid in marks.closed or one.uid not in marks.open:
            return
        place = marks.open[one.uid]
        details = self._details(one, marks.last[one.uid]) | {"deleted": True}
        why = f"the ModelRollout was deleted when it was {one.phase}"
        self._book.write(
            Record(actor=ACTOR, action="rollout-deleted", subject=place.subject, reason=why, details=details)
        )

    def _vanished(self, uid: str) -> None:
        marks = self._book.marks
        place, last = marks.open[uid], marks.last[uid]
        over = place.phase in OVER
        why = (
            "the ModelRollout was deleted while nobody followed, after its end"
            if over
            else f"the ModelRollout was deleted while nobody followed: what came after its turn {last} is not known"
        )
        details = {
            "rollout": f"{place.namespace}/{place.name}",
            "uid": uid,
            "seq": last,
            "digest": place.digest,
            "deleted": True,
        }
        if not over:
            log.error("rollout %s/%s: %s", place.namespace, place.name, why)
        action = "rollout-deleted" if over else "rollout-gap"
        self._book.write(
            Record(actor=ACTOR, action=action, subject=place.subject, reason=why, details=details)
        )
        self.counts["gap"] += not over
        for key in [key for key, found in self._rollouts.items() if found.uid == uid]:
            del self._rollouts[key]

    def _details(self, one: Seen, seq: int) -> dict[str, Any]:
        return {
            "rollout": f"{one.namespace}/{one.name}",
            "uid": one.uid,
            "seq": seq,
            "digest": one.digest,
        }

    def _place(self, one: Seen) -> None:
        """From now on words on that name are about this one."""
        self._rollouts[one.namespace, one.name] = one
        for word in [
            w for w in self._waiting.values() if (w.namespace, w.rollout) == (one.namespace, one.name)
        ]:
            self._word(word, one)

    # --- words -----------------------------------------------------------------------

    def said(self, resource: Object, kind: WordKind, *, deleted: bool = False) -> None:
        """Somebody approved or commanded. A word on a rollout that is not there yet waits for it."""
        word = words.read(resource, kind)
        if word.uid in self._book.marks.words:
            return
        about = self._rollouts.get((word.namespace, word.rollout))
        if about is None and not deleted:
            self._waiting[word.uid] = word
            return
        self._word(word, about)

    def _word(self, word: Word, about: Seen | None) -> None:
        known = self._book.version(about.digest) if about is not None and about.digest else None
        details: dict[str, Any] = {
            "word": word.uid,
            "object": f"{word.kind}/{word.name}",
            "rollout": f"{word.namespace}/{word.rollout}",
            "said": datetime.fromtimestamp(word.at, UTC).isoformat(timespec="seconds"),
            "digest": about.digest if about is not None else "",
        }
        action, reason = f"rollout-{word.command}", word.reason
        if about is None:
            details["refused"] = "there was no such rollout"
            action = "approval-refused" if word.kind == "RolloutApproval" else action
        elif word.kind == "RolloutApproval":
            action, reason = self._approval(word, about, known, details)
        self._book.write(
            Record(
                actor=word.by,
                action=action,
                subject=_subject(about, known) if about else f"modelrollout/{word.namespace}/{word.rollout}",
                reason=reason,
                details=details,
            )
        )
        self._waiting.pop(word.uid, None)
        self.counts["word"] += 1

    def _approval(
        self, word: Word, about: Seen, known: Known | None, details: dict[str, Any]
    ) -> tuple[str, str]:
        policy = self._book.policy()
        details["role"] = word.role
        if refused := words.refusal(word, about, policy):
            self.counts["refused"] += 1
            return "approval-refused", refused
        if known is not None:
            if word.by == known.built_by:
                # The rollout did not say who built it, so the controller could not know.
                details["registry"] = f"{word.by} built {known.subject}, as the registry has it"
                self.counts["unfollowed"] += 1
                log.error("rollout %s/%s: approved by %s", about.namespace, about.name, details["registry"])
            else:
                self._book.approve(known, word, policy)
        return ("override" if word.role == policy.override.role else "approve"), word.reason


def _subject(one: Seen, known: Known | None) -> str:
    if known is not None:
        return known.subject
    return one.digest or f"modelrollout/{one.namespace}/{one.name}"
