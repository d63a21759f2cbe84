"""From what the API server tells to records, each once: turns, approvals, refusals, commands, and what is missing.

Pure but for its ``Book``. A turn's stages are moved first and its entry is written last: killed in between, the same is
done again, which moves nothing twice; once the entry is there, it is never done again. What is remembered of a rollout
is what the chain says of it, so a word is judged alike before and after a restart, and nothing waits in memory.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from serinus.registry.following import STAGES

from . import seen as rollouts
from . import words
from .late import CAUGHT_UP, UNKNOWN, Heard, Late
from .numbering import numbering
from .ports import Book
from .records import ACTOR, TURN, Known, Place, Record
from .seen import Seen, Turn
from .words import Word, WordKind

log = logging.getLogger("serinus.records")

Object = dict[str, Any]
OVER = frozenset({"Promoted", "RolledBack", "Aborted", "Failed"})
"""Phases in which nothing moves any more, but for a rollback window."""
SECOND = 1.0
"""The API server stamps whole seconds, and its clock is known no better."""


class Keeper:
    """Keeps the records of all rollouts.

    Args:
        clock: the API server's time as far as it is known (Unix seconds).

    Attributes:
        counts: since the start: ``turn``, ``word``, ``refused``, ``gap``, ``unknown`` (rollouts of a digest that the
            registry does not know), ``unfollowed`` (turns and words that the registry refused).
    """

    def __init__(self, book: Book, clock: Callable[[], float] = time.time) -> None:
        self._book = book
        self._clock = clock
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
        self.arrived()
        found = [rollouts.read(resource) for resource in resources]
        steps = [step for one in found for step in self._fresh(one)]
        for _, _, _, one, turn in sorted(steps, key=lambda step: step[:3]):
            self._turn(one, turn)
        present = {one.uid for one in found}
        for place in self._book.marks.there():
            if place.uid not in present and within(place.namespace):
                self._vanished(place)

    def heard(self, resource: Object, *, deleted: bool = False) -> None:
        """A rollout was made, changed, or deleted; then this is its last state."""
        one = rollouts.read(resource)
        for _, _, _, _, turn in self._fresh(one):
            self._turn(one, turn)
        if deleted:
            self._deleted(one)

    def _fresh(self, one: Seen) -> list[tuple[float, str, int, Seen, Turn]]:
        place = self._book.marks.place(one.uid)
        turns, steps, at = one.turns, list[tuple[float, str, int, Seen, Turn]](), 0.0
        if place is not None:
            now = numbering(place, turns)
            if now == "former":
                turns = ()  # told already, or said to be missing
            elif now == "anew":
                self._anew(one, place)
        last = -1 if place is None else place.last
        for turn in turns:
            if turn.seq > last:
                # In their own order even where a clock went back.
                at = max(at, turn.at)
                steps.append((at, one.uid, turn.seq, one, turn))
        return steps

    def _turn(self, one: Seen, turn: Turn) -> None:
        place = self._book.marks.place(one.uid)
        last = -1 if place is None else place.last
        if turn.seq > last + 1:
            self._gap(one, last + 1, turn.seq - 1)
        candidate, missed = self._known(one.digest)
        unknown = candidate is None and not missed
        champion, damaged = self._known(one.champion)
        missed += [*damaged, *self._book.follow(turn, candidate, champion)]
        details = self._details(one, turn.seq) | {
            "at": turn.at,
            "phase": turn.phase,
            "weight": turn.weight,
            "target": one.target,
        }
        if one.champion and champion is None and not damaged and turn.reason in STAGES:
            details["unknown_champion"] = one.champion
        if turn.seq == 0:
            details |= {"started_by": one.started_by, "built_by": one.built_by}
        said = [UNKNOWN if one.digest else "no bundle, so no digest"] if unknown else []
        if unknown and one.uid not in self._unknown:
            self._unknown.add(one.uid)
            self.counts["unknown"] += 1
            log.warning("rollout %s/%s: the registry does not know its digest %s", one.namespace, one.name,
                        one.digest or "(none)")  # fmt: skip
        if said or missed:
            details["registry"] = "; ".join([*said, *missed])
        if missed:
            self.counts["unfollowed"] += 1
            log.error(
                "rollout %s/%s: the registry did not follow: %s", one.namespace, one.name, "; ".join(missed)
            )
        self._book.write(
            Record(
                actor=turn.actor,
                action=f"{TURN}{turn.reason}",
                subject=_subject(one.namespace, one.name, one.digest, candidate),
                reason=turn.message,
                details=details,
            )
        )
        self.counts["turn"] += 1

    # --- what is missing -------------------------------------------------------------

    def _gap(self, one: Seen, first: int, last: int) -> None:
        what = f"turn {first} of" if first == last else f"turns {first} to {last} of"
        why = f"{what} this rollout are not known: nobody followed it, and its status keeps no more"
        self._missing(one, why, self._details(one, last) | {"missing": [first, last]})

    def _anew(self, one: Seen, place: Place) -> None:
        """Its status was emptied, and the controller began again with the number 1."""
        why = (
            f"this rollout's status was emptied after its turn {place.last}, and its turns are numbered anew: "
            "what it had come to is not known"
        )
        self._missing(one, why, self._details(one, 0) | {"anew": place.last})

    def _missing(self, one: Seen, why: str, details: dict[str, Any]) -> None:
        log.error("rollout %s/%s: %s", one.namespace, one.name, why)
        known, _ = self._known(one.digest)
        subject = _subject(one.namespace, one.name, one.digest, known)
        self._book.write(
            Record(actor=ACTOR, action="rollout-gap", subject=subject, reason=why, details=details)
        )
        self.counts["gap"] += 1

    def _deleted(self, one: Seen) -> None:
        place = self._book.marks.place(one.uid)
        if place is None or place.gone is not None:
            return
        # No word that we hear later and that was given before can be stamped later than that.
        until = round(self._clock() + SECOND, 3)
        details = self._details(one, place.last) | {"at": until, "deleted": True}
        why = f"the ModelRollout was deleted when it was {one.phase}"
        self._book.write(
            Record(actor=ACTOR, action="rollout-deleted", subject=place.subject, reason=why, details=details)
        )

    def _vanished(self, place: Place) -> None:
        over = place.phase in OVER
        why = (
            "the ModelRollout was deleted while nobody followed, after its end"
            if over
            else "the ModelRollout was deleted while nobody followed: "
            f"what came after its turn {place.last} is not known"
        )
        details = {
            "rollout": f"{place.namespace}/{place.name}",
            "uid": place.uid,
            "seq": place.last,
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

    def _details(self, one: Seen, seq: int) -> dict[str, Any]:
        return {
            "rollout": f"{one.namespace}/{one.name}",
            "uid": one.uid,
            "seq": seq,
            "digest": one.digest,
        }

    # --- words -----------------------------------------------------------------------

    def now(self) -> float:
        """The API server's time as far as it is known (Unix seconds)."""
        return self._clock()

    def knows(self, word: str) -> bool:
        """Whether the word of that uid is recorded."""
        return word in self._book.marks.words

    def said(self, resource: Object, kind: WordKind, named: Iterable[Object] = ()) -> None:
        """Somebody approved or commanded.

        Args:
            named: the rollouts that have the name that the word says, asked for after the word was heard: what is
                told of words and of rollouts comes by two ways, and either may be behind. Their turns are left to
                the other way, which tells them in order.
        """
        word = words.read(resource, kind)
        if self.knows(word.uid):
            return
        places = {place.uid: place for place in self._book.marks.named(word.namespace, word.rollout)}
        for one in map(rollouts.read, named):
            if (one.namespace, one.name) == (word.namespace, word.rollout):
                places[one.uid] = _place(one)  # what is there says more of itself than a chain of before
        place, why = words.about(word, places.values())
        known, missed = self._known("" if place is None else place.digest)
        details: dict[str, Any] = {
            "word": word.uid,
            "object": f"{word.kind}/{word.name}",
            "rollout": f"{word.namespace}/{word.rollout}",
            "said": word.said,
            "digest": place.digest if place is not None else "",
        }
        if word.kind == "RolloutApproval":
            details["role"] = word.role
            action, reason = self._approval(word, place, why, known, missed)
            if place is not None and not (
                place.built_by or known is not None or action == "approval-refused"
            ):
                details["unsure"] = "neither the rollout nor the registry says who built it"
        elif place is None:
            details["command"] = word.command
            action, reason = "command-refused", why
        else:
            action, reason = f"rollout-{word.command}", word.reason
        if missed:
            details["registry"] = "; ".join(missed)
            self.counts["unfollowed"] += 1
            log.error("rollout %s/%s: the registry did not follow %s by %s: %s", word.namespace, word.rollout,
                      details["object"], word.by, details["registry"])  # fmt: skip
        self._book.write(
            Record(
                actor=word.by,
                action=action,
                subject=_subject(word.namespace, word.rollout, details["digest"], known),
                reason=reason,
                details=details,
            )
        )
        self.counts["word"] += 1

    def _approval(
        self, word: Word, place: Place | None, why: str, known: Known | None, missed: list[str]
    ) -> tuple[str, str]:
        policy = self._book.policy()
        refused = why if place is None else words.refusal(word, place, policy)
        if refused:
            self.counts["refused"] += 1
            return "approval-refused", refused
        if known is not None and word.by == known.built_by:
            # The rollout did not say who built it, so the controller could not know.
            missed.append(f"{word.by} built {known.subject}, as the registry has it")
        elif known is not None:
            missed += self._book.approve(known, word, policy)
        return ("override" if word.role == policy.override.role else "approve"), word.reason

    def _known(self, digest: str) -> tuple[Known | None, list[str]]:
        """What a digest is registered as, and what is wrong with its record."""
        found = self._book.version(digest) if digest else None
        if found is None or not found.unreadable:
            if found is not None:
                self._catch_up(digest, found)
            return found, []
        return None, [found.unreadable]

    # --- versions that come after their rollouts ---------------------------------------

    def arrived(self, digest: str = "") -> None:
        """A version was registered; follow what was recorded of its rollouts before. Empty: look for all that are
        awaited, since a registry is written by others too."""
        for one in [digest] if digest else self._book.awaited.digests():
            self._known(one)

    def _catch_up(self, digest: str, known: Known) -> None:
        late = self._book.awaited.late(digest)
        if late is None:
            return
        missed = self._followed(digest, known, late)
        details: dict[str, Any] = {
            "digest": digest,
            "rollouts": late.rollouts,
            "turns": len(late.turns),
            "words": len(late.words),
        }
        if missed:
            details["registry"] = "; ".join(missed)
            self.counts["unfollowed"] += 1
            log.error(
                "%s: the registry did not follow what was before it: %s", known.subject, details["registry"]
            )
        why = "it was registered after these rollouts were recorded"
        self._book.write(
            Record(actor=ACTOR, action=CAUGHT_UP, subject=known.subject, reason=why, details=details)
        )

    def _followed(self, digest: str, known: Known, late: Late) -> list[str]:
        """Words are judged as when they had been heard with the version there; the turns are entered as one."""
        missed, story, moved = list[str](), late.story(), False
        for one in story:
            if isinstance(one, Heard):
                if not moved:
                    turns = [turn for turn in story if isinstance(turn, Heard)]
                    missed += self._book.catch_up(known, digest, turns)
                moved = True
            elif one.by == known.built_by:
                missed.append(f"{one.by} built {known.subject}, as the registry has it")
            else:
                missed += self._book.approve(known, one, self._book.policy())
        return missed


def _place(one: Seen) -> Place:
    """A rollout that is there, as words are about it."""
    return Place(
        uid=one.uid,
        namespace=one.namespace,
        name=one.name,
        subject="",
        digest=one.digest,
        created=one.created,
        started_by=one.started_by,
        built_by=one.built_by,
    )


def _subject(namespace: str, name: str, digest: str, known: Known | None) -> str:
    return known.subject if known is not None else digest or f"modelrollout/{namespace}/{name}"
