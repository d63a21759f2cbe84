"""Which decisions were of copies: a candidate in the shadow answers nobody, whatever it logs.

A copy carries the request id of what it is a copy of, or one of its own where the client gave none, so
the decision alone does not tell. The audit log does: it has each turn of a rollout, with the share of the
live traffic. On one machine it has them before the routes change. On a cluster the record keeper writes them
afterwards (their details name the ModelRollout's uid): there nothing is known beyond the last turn it wrote.

Whatever is not known to be a copy is none: a live decision must not be lost to those who review.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

import msgspec

from serinus.audit import Action, AuditLog
from serinus.errors import SerinusError

_LIVE = frozenset({"rollout-Promoted", "rollout-PromotedByUser"})
_OVER = frozenset({"rollout-RolledBack", "rollout-Aborted", "rollout-Failed"})
_ON_THEIR_WAY = 60.0
"""Seconds in which copies that were sent before the end of a rollout are still decided."""
_FOREVER = float("inf")


class _Span(msgspec.Struct):
    """A shadow of one rollout. ``known``: up to when it is told; a later moment may be beyond its end."""

    start: float
    end: float = _FOREVER
    known: float = _FOREVER

    def close(self, at: float) -> None:
        """It ends then at the latest, and nothing that is told later changes that."""
        self.end, self.known = min(self.end, at), _FOREVER


class Shadows:
    """When which bundle answered nobody: from the start of a shadow step to the turn that gave it live traffic."""

    def __init__(self, spans: dict[str, list[_Span]] | None = None) -> None:
        self._spans = spans or {}

    @classmethod
    def of(cls, actions: Iterable[Action]) -> Shadows:
        """From an audit log's actions, in order. Turns that name no digest or no time say nothing."""
        spans: dict[str, list[_Span]] = {}
        open_: dict[str, _Span] = {}  # by rollout
        live: dict[str, str] = {}  # digests that answer, and by whose turn
        for action in actions:
            details = action.details
            digest, at = details.get("digest"), details.get("at")
            if action.action == "serve":  # by hand, without a rollout: it answers from now on
                live[str(digest)] = ""
                _end(spans, str(digest), datetime.fromisoformat(action.time).timestamp())
                continue
            followed = bool(details.get("uid"))
            rollout = str(details.get("uid") or details.get("rollout") or "")
            if action.action in ("rollout-gap", "rollout-deleted") and rollout in open_:
                span = open_.pop(rollout)
                span.close(span.known)  # what came after its last turn may have been live
                continue
            if not (
                action.action.startswith("rollout-") and rollout and digest and isinstance(at, int | float)
            ):
                continue
            if followed and rollout in open_:
                open_[rollout].known = at
            if details.get("weight") or action.action in _LIVE:
                live.setdefault(digest, rollout)
                _end(spans, digest, at)
                open_.pop(rollout, None)
            elif action.action in _OVER:
                if live.get(digest) == rollout:
                    del live[digest]
                span = open_.pop(rollout, None)
                if span is not None and followed:
                    span.close(at + _ON_THEIR_WAY)
            elif action.action == "rollout-StepStarted" and rollout not in open_ and digest not in live:
                span = open_[rollout] = _Span(at, known=at if followed else _FOREVER)
                spans.setdefault(digest, []).append(span)
        return cls(spans)

    def holds(self, digest: str, at: float) -> bool | None:
        """Whether a decision of this bundle at this time (Unix seconds) was of a copy; None: not known yet."""
        for span in self._spans.get(digest, ()):
            if span.start <= at < span.end:
                return True if at <= span.known else None
        return False


def shadows_of(audit: AuditLog) -> Shadows:
    """As far as the log is sound: it is not for whoever reviews a case to find out that it is not."""

    def sound() -> Iterator[Action]:
        try:
            yield from audit.entries()
        except SerinusError:
            return

    return Shadows.of(sound())


def _end(spans: dict[str, list[_Span]], digest: str, at: float) -> None:
    for span in spans.get(digest, ()):
        span.close(at)
