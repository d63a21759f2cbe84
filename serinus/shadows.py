"""Which decisions were of copies: a candidate in the shadow answers nobody, whatever it logs.

A copy carries the request id of what it is a copy of, or one of its own where the client gave none, so
the decision alone does not tell. The audit log does: it has each turn of a rollout, with the share of the
live traffic, before the routes change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from serinus.audit import Action, AuditLog
from serinus.errors import SerinusError

_LIVE = frozenset({"rollout-Promoted", "rollout-PromotedByUser"})


class Shadows:
    """When which bundle answered nobody: from a rollout's first turn to the one that gave it live traffic."""

    def __init__(self, spans: dict[str, list[tuple[float, float]]]) -> None:
        self._spans = spans

    @classmethod
    def of(cls, actions: Iterable[Action]) -> Shadows:
        """From an audit log's actions, in order. Turns that name no digest or no time say nothing."""
        spans: dict[str, list[tuple[float, float]]] = {}
        rollouts: dict[str, str] = {}  # that have given it no live traffic yet, with their digest
        for action in actions:
            details = action.details
            if action.action == "serve":  # by hand, without a rollout: it answers from now on
                _end(spans, details.get("digest"), datetime.fromisoformat(action.time).timestamp())
                continue
            rollout, digest, at = details.get("rollout"), details.get("digest"), details.get("at")
            if not (
                action.action.startswith("rollout-") and rollout and digest and isinstance(at, int | float)
            ):
                continue
            if rollout not in rollouts:
                rollouts[rollout] = digest
                _end(spans, digest, at)
                spans.setdefault(digest, []).append((at, float("inf")))
            if details.get("weight") or action.action in _LIVE:
                _end(spans, digest, at)
        return cls(spans)

    def holds(self, digest: str, at: float) -> bool:
        """Whether a decision of this bundle at this time (Unix seconds) was of a copy."""
        return any(start <= at < end for start, end in self._spans.get(digest, ()))


def shadows_of(audit: AuditLog) -> Shadows:
    """As far as the log is sound: it is not for whoever reviews a case to find out that it is not."""

    def sound() -> Iterator[Action]:
        try:
            yield from audit.entries()
        except SerinusError:
            return

    return Shadows.of(sound())


def _end(spans: dict[str, list[tuple[float, float]]], digest: Any, at: float) -> None:
    found = spans.get(digest)
    if found and found[-1][1] == float("inf"):
        found[-1] = (found[-1][0], at)
