"""What a ModelRollout says of itself: on which digest, by whom, and its turns so far. Pure.

The controller keeps the last two hundred turns in ``status.engine`` and shows twenty; both are read here as far as they
are known, so that a newer controller's fields do no harm.
"""

from __future__ import annotations

import base64
import zlib
from datetime import datetime
from typing import Any

import msgspec

ENGINE = 1  # the version of status.engine that is understood
REQUESTED = "Requested"

Object = dict[str, Any]


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened to a rollout. ``seq`` counts from 1, 0 is the request itself; ``at`` in Unix seconds."""

    seq: int
    at: float
    phase: str = ""
    reason: str
    message: str = ""
    actor: str = "rollout engine"
    weight: int = 0


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A rollout as the API server has it. Digests are empty where a predictor is served from no bundle."""

    uid: str
    namespace: str
    name: str
    created: float
    target: str
    digest: str = ""
    uri: str = ""
    champion: str = ""
    started_by: str = ""
    built_by: str = ""
    phase: str = ""
    ended: bool = False
    turns: tuple[Turn, ...] = ()


class _Engine(msgspec.Struct, frozen=True, kw_only=True):
    version: int
    history: tuple[Turn, ...] = ()


class _Shown(msgspec.Struct, frozen=True, kw_only=True):
    seq: int
    at: datetime
    phase: str = ""
    reason: str = ""
    message: str = ""
    actor: str = "rollout engine"
    weight: int = 0


def moment(text: str) -> float:
    """Kubernetes's times as Unix seconds."""
    return datetime.fromisoformat(text).timestamp()


def read(resource: Object) -> Seen:
    """A ModelRollout as it was listed or told of."""
    metadata, spec, status = resource["metadata"], resource.get("spec") or {}, resource.get("status") or {}
    candidate = _dict(spec.get("candidate"))
    bundle = _dict(candidate.get("bundle"))
    created = moment(metadata["creationTimestamp"])
    conditions = {c.get("type"): c for c in status.get("conditions") or [] if isinstance(c, dict)}
    ended = _dict(conditions.get("Ended"))
    return Seen(
        uid=metadata["uid"],
        namespace=metadata["namespace"],
        name=metadata["name"],
        created=created,
        target=str(spec.get("target") or ""),
        digest=str(bundle.get("digest") or _digest_in(_dict(candidate.get("predictor")))),
        uri=str(bundle.get("uri") or ""),
        champion=_digest_in(_dict(_dict(status.get("target")).get("predictor"))),
        started_by=str(spec.get("startedBy") or ""),
        built_by=str(candidate.get("builtBy") or ""),
        phase=str(status.get("phase") or "Pending"),
        ended=ended.get("status") == "True",
        turns=(_request(spec, created), *_turns(status, ended)),
    )


def _request(spec: Object, created: float) -> Turn:
    bundle = _dict(_dict(spec.get("candidate")).get("bundle"))
    what = f"bundle {bundle['uri']}" if bundle.get("uri") else "a predictor"
    return Turn(
        seq=0,
        at=created,
        phase="Pending",
        reason=REQUESTED,
        message=f"{what} is to take over {spec.get('target')}",
        actor=str(spec.get("startedBy") or "not stated"),
    )


def _turns(status: Object, ended: Object) -> tuple[Turn, ...]:
    found = {turn.seq: turn for turn in _shown(status)}
    found |= {turn.seq: turn for turn in _kept(status)}  # to the second there, exactly here
    if not found and status.get("phase") == "Failed" and ended.get("status") == "True":
        # It could not begin, so there is no engine that keeps a history.
        at = moment(ended["lastTransitionTime"])
        why = str(status.get("message") or "")
        return (
            Turn(seq=1, at=at, phase="Failed", reason=str(status.get("reason") or "Failed"), message=why),
        )
    return tuple(found[seq] for seq in sorted(found) if seq > 0)


def _kept(status: Object) -> tuple[Turn, ...]:
    try:
        raw = zlib.decompress(base64.b64decode(str(status.get("engine") or ""), validate=True))
        engine = msgspec.json.decode(raw, type=_Engine)
    except (ValueError, zlib.error, msgspec.DecodeError):
        return ()
    return engine.history if engine.version <= ENGINE else ()


def _shown(status: Object) -> tuple[Turn, ...]:
    try:
        entries = msgspec.convert(status.get("history") or (), tuple[_Shown, ...])
    except msgspec.ValidationError:
        return ()
    return tuple(
        Turn(
            seq=e.seq,
            at=e.at.timestamp(),
            phase=e.phase,
            reason=e.reason,
            message=e.message,
            actor=e.actor,
            weight=e.weight,
        )
        for e in entries
    )


def _digest_in(predictor: Object) -> str:
    """The digest of the bundle that a predictor's scorer is told to fetch."""
    # Whoever may start a rollout may write anything here: it must not stop the records of others.
    for component in _list(predictor.get("componentSpecs")):
        spec = _dict(_dict(component).get("spec"))
        for container in (*_list(spec.get("containers")), *_list(spec.get("initContainers"))):
            for variable in map(_dict, _list(_dict(container).get("env"))):
                if variable.get("name") == "SERINUS_BUNDLE_DIGEST" and variable.get("value"):
                    return str(variable["value"])
    return ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _dict(value: Any) -> Object:
    return value if isinstance(value, dict) else {}
