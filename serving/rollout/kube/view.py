"""A rollout's status as the resource shows it: for people, for ``kubectl wait``, for a restarted controller. Pure."""

from __future__ import annotations

import base64
import logging
import zlib
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace

from serinus.errors import SerinusError

from ..spec import RolloutSpec
from ..status import ENDED, Phase, RolloutStatus, Tally, decode, encode

log = logging.getLogger(__name__)

SHOWN = 20  # entries of the history in the resource's own form
LARGEST = 900_000  # bytes of the engine's part; etcd takes 1.5 MB in all
KEPT_WHEN_LARGE = 10

Object = dict[str, Any]


def stamp(at: float) -> str:
    """Unix seconds as Kubernetes writes times."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds(text: str) -> float:
    """Kubernetes's times as unix seconds."""
    return datetime.fromisoformat(text).timestamp()


def pack(status: RolloutStatus) -> str:
    """All that the engine needs, as a string.

    If it would grow too large for a resource, the oldest history goes, then the
    evidence, which grows with pods and guards and begins anew after a restart. What
    is being done is always kept: no rollback waits for want of room.
    """
    packed = _deflate(status)
    if len(packed) > LARGEST:
        status = replace(status, history=status.history[-KEPT_WHEN_LARGE:])
        packed = _deflate(status)
    if len(packed) > LARGEST:
        log.warning("rollout %s: its evidence of %d bytes is too large to keep", status.id, len(packed))
        packed = _deflate(replace(status, evidence=None, verdict=None))
    return packed


def _deflate(status: RolloutStatus) -> str:
    return base64.b64encode(zlib.compress(encode(status))).decode()


def unpack(text: str) -> RolloutStatus:
    """The engine's status.

    Raises:
        SerinusError: SRN-ROLLOUT-002 if it is none, or of a newer version.
    """
    try:
        return decode(zlib.decompress(base64.b64decode(text, validate=True)))
    except (ValueError, zlib.error) as problem:
        raise SerinusError(
            "SRN-ROLLOUT-002",
            f"status.engine cannot be read: {problem}",
            hint="It was edited or written by another version; delete the ModelRollout and start again.",
        ) from None


def view(spec: RolloutSpec, status: RolloutStatus, *, generation: int, told: int) -> Object:
    """The status document. Every key is always there, so that a merge leaves nothing old behind."""
    verdict = status.verdict
    return {
        "phase": status.phase.value,
        "reason": status.reason,
        "message": status.message,
        "champion": status.champion,
        "candidate": status.candidate,
        "step": max(status.step + 1, 0),
        "steps": len(spec.steps),
        "weight": status.weight,
        "share": status.share,
        "evidence": _evidence(status),
        "requests": round(status.canary_tally.requests),
        "bad": round(status.canary_tally.bad),
        "startedAt": stamp(status.started_at),
        "verifiedAt": stamp(status.verified_at) if status.verified_at else None,
        "observedGeneration": generation,
        "conditions": _conditions(status),
        "guards": [
            {
                "name": g.guard,
                "outcome": g.outcome,
                "evidence": round(g.log10_e, 3),
                "reason": f"only observed: {g.reason}" if g.mode == "observe" else g.reason,
            }
            for g in (verdict.guards if verdict else ())
        ],
        "history": [
            {
                "seq": e.seq,
                "at": stamp(e.at),
                "phase": e.phase,
                "reason": e.reason,
                "message": e.message,
                "actor": e.actor,
                "weight": e.weight,
            }
            for e in status.history[-SHOWN:]
        ],
        "told": told,
        "engine": pack(status),
    }


def _evidence(status: RolloutStatus) -> str | None:
    if status.verdict is None:
        return None
    now = round(status.verdict.log10_e, 1) + 0.0  # no minus before a zero
    return f"{now:.1f} of {status.verdict.threshold_log10:.1f}"


def _conditions(status: RolloutStatus) -> list[Object]:
    found = [
        condition(c.type, c.status, c.reason, c.message, c.since)
        for c in sorted(status.conditions, key=lambda c: c.type)
    ]
    return [*found, *summary(status.phase, status.ended, status.reason, status.message, status.phase_since)]


def condition(kind: str, value: str, reason: str, message: str, since: float) -> Object:
    """One condition as Kubernetes has them."""
    return {
        "type": kind,
        "status": value,
        "reason": reason or "Unknown",
        "message": message,
        "lastTransitionTime": stamp(since),
    }


def summary(phase: Phase, ended: bool, reason: str, message: str, since: float) -> list[Object]:
    """Conditions that tools read without knowing us: has it ended, is it at work, did it fail."""
    failed = phase in ENDED
    facts = (("Ended", ended), ("Reconciling", not ended), ("Stalled", failed))
    return [condition(kind, "True" if is_so else "False", reason, message, since) for kind, is_so in facts]


def outlook(phase: Phase, reason: str, message: str, *, now: float, generation: int) -> Object:
    """The status of a rollout whose engine has not begun: it waits for something, or cannot begin."""
    failed = phase is Phase.FAILED
    return {
        "phase": phase.value,
        "reason": reason,
        "message": message,
        "share": "0 %",
        "weight": 0,
        "observedGeneration": generation,
        "conditions": summary(phase, failed, reason, message, now),
    }


def material(status: RolloutStatus) -> RolloutStatus:
    """What must be on disk before anything is done: all but counts and the wording of the moment.

    Evidence may be a few seconds behind: the counters are cumulative, so after a
    restart the next difference covers what was not written.
    """
    return replace(
        status,
        message="",
        active_seconds=0.0,
        last_seen=0.0,
        last_data=0.0,
        cadence=0.0,
        canary_tally=Tally(),
        stable_tally=Tally(),
        evidence=None,
        verdict=None,
        conditions=tuple(replace(c, message="", since=0.0) for c in status.conditions),
    )
