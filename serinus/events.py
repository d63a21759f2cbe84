"""The decision event: what was decided on which request, recomputable years later.

CloudEvents 1.0 in JSON form, hash-chained where stored. It holds the vector
that was scored and the digest of the model that scored it, never a protected
attribute: those are not features, and only features reach the scorer. A
category stands in the vector as the number of its level, so no text that a
caller sent is in the event but the request id. Where the contract says so, what
was scored and what came of it is sealed with a key of the person it is about
(``serinus.privacy``). The outcome that comes back later is here too, since it is
joined to the decision by that id.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from serinus.chain import (
    Break,
    ChainBroken,
    ChainWriter,
    Gap,
    Gaps,
    Place,
    find_logs,
    read_chain,
    read_on,
    verify_chain,
)
from serinus.chain.finding import last_entry_with
from serinus.chain.segments import segment_number
from serinus.chain.standing import cut_short, held, never_here
from serinus.chain.verify import unreadable
from serinus.errors import SerinusError
from serinus.model.decision import ReasonCode
from serinus.privacy.seal import SEALED_TYPE, Keys, NoKeys, Seal, Withheld, unsealed

DECISION_TYPE = "io.serinus.decision.v1"


class Decision(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The event's data. ``features`` is in the order of the contract's features; null is missing."""

    model: str
    version: int
    digest: str
    predictor: str
    score: float
    probability: float
    decision: str
    reasons: tuple[ReasonCode, ...] = ()
    features: tuple[float | None, ...]


class DecisionEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The envelope. ``id`` is the request id, ``[request id].[row]`` in a batch."""

    id: str
    source: str
    time: str
    data: Decision
    type: Literal["io.serinus.decision.v1"] = DECISION_TYPE
    specversion: Literal["1.0"] = "1.0"
    datacontenttype: Literal["application/json"] = "application/json"


class WithheldDecision(msgspec.Struct, frozen=True, kw_only=True):
    """What can be read of a sealed decision without its key.

    ``verdict``: ``erased``, its person's key was destroyed, at ``erased_at``; ``no_key``, the key is
    not here; ``unreadable``, the key that is here does not open it. ``why`` says it in words.
    """

    model: str
    version: int
    digest: str
    predictor: str
    key: str
    verdict: Withheld.Verdict
    why: str
    erased_at: str | None = None


class WithheldEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A decision that is in the log, verified, and cannot be read."""

    id: str
    source: str
    time: str
    data: WithheldDecision
    type: str = SEALED_TYPE


class Feedback(msgspec.Struct, frozen=True, kw_only=True):
    """One outcome as a scorer keeps it: a JSON object a line.

    Attributes:
        request_id: of the decision it belongs to.
        time: when it arrived, RFC 3339 in UTC.
        predictor: the scorer that took it, which need not be the one that decided.
        reward: Seldon's number for the whole request.
        truth: the values sent, row by row.
    """

    request_id: str
    time: str
    predictor: str
    reward: float | None = None
    truth: list[list[float | int | str | bool | None]] | None = None


class _Scored(msgspec.Struct, gc=False):
    """The part of ``Decision`` that differs from one to the next, in its order."""

    score: float
    probability: float
    decision: str
    reasons: Sequence[ReasonCode]
    features: Sequence[float]


_encode = msgspec.json.Encoder().encode


class DecisionEncoder:
    """Writes decisions of one scorer as JSON, byte for byte as msgspec writes a ``DecisionEvent``.

    What all of them share is encoded once. The scorer writes its log by the compiled
    kernel (``serinus.lines``); this is what it is held to, and what stands in for it.
    """

    def __init__(
        self, *, model: str, version: int, digest: str, predictor: str, sealed: bool = False
    ) -> None:
        source = _encode(f"/models/{model}/predictors/{predictor}")
        constant = _encode({"model": model, "version": version, "digest": digest, "predictor": predictor})
        self._before_time = b',"source":' + source + b',"time":"'
        self._after_time = b'Z","data":' + constant[:-1] + b","
        self._end = b',"type":"%b","specversion":"1.0","datacontenttype":"application/json"}' % (
            (SEALED_TYPE if sealed else DECISION_TYPE).encode()
        )
        self._second = -1
        self._stamp = b""

    @property
    def constant(self) -> tuple[bytes, bytes, bytes]:
        """What all events share: between the id and the time, between time and score, at the end."""
        return self._before_time, self._after_time, self._end

    def __call__(
        self,
        event_id: str,
        at: float,
        score: float,
        probability: float,
        decision: str,
        reasons: Sequence[ReasonCode],
        features: list[float],
        seal: Seal | None = None,
    ) -> bytes:
        """One event's JSON.

        Args:
            at: seconds since the epoch.
            features: the encoded vector; NaN, which is missing, becomes null.
            seal: of the person it is about.
        """
        second = int(at)
        if second != self._second:
            self._stamp = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S").encode()
            self._second = second
        scored = _encode(_Scored(score, probability, decision, reasons, features))
        clear = b'{"id":%b%b%b.%06d%b' % (
            _encode(event_id),
            self._before_time,
            self._stamp,
            int((at - second) * 1e6),
            self._after_time,
        )
        if seal is None:
            return b"%b%b%b" % (clear, scored[1:], self._end)
        return b"%b%b}%b" % (clear, seal(clear, scored[1:-1]), self._end)


class DecisionLog(ChainWriter):
    """One writer's decisions, hash-chained, in a file and its closed segments. Raises as ``ChainWriter``."""

    def extend(self, events: Sequence[DecisionEvent], *, durable: bool = True) -> None:
        """Write whole events; with ``durable`` they are on the disk on return. Raises ``SRN-AUDIT-002``."""
        self.append([_encode(event) for event in events], durable=durable)


def read_decisions(path: Path, keys: Keys | None = None) -> Iterator[DecisionEvent]:
    """Verified decisions of a log, in order.

    Raises:
        SerinusError: ``SRN-AUDIT-003`` where the chain breaks; ``SRN-PRIVACY-004`` one is sealed
            and cannot be opened.
    """
    for entry in read_chain(path):
        event = decode_decision(bytes(entry.body), keys)
        if isinstance(event, WithheldEvent):
            raise withheld(event)
        yield event


def verify_decisions(path: Path) -> tuple[int, str]:
    """Number of decisions and the last hash of a sound log."""
    return verify_chain(path)


_decode = msgspec.json.Decoder(DecisionEvent).decode


class _SealedData(msgspec.Struct, frozen=True):
    model: str
    version: int
    digest: str
    predictor: str


class _SealedEvent(msgspec.Struct, frozen=True):
    id: str
    source: str
    time: str
    data: _SealedData


_decode_sealed = msgspec.json.Decoder(_SealedEvent).decode


def decode_decision(body: bytes, keys: Keys | None = None) -> DecisionEvent | WithheldEvent:
    """An entry's body as the decision it holds, or as what can be read of it. Raises msgspec's errors."""
    try:
        return _decode(unsealed(body, keys or NoKeys(), DECISION_TYPE))
    except Withheld as cause:
        read = _decode_sealed(body)
        data = WithheldDecision(
            **msgspec.structs.asdict(read.data),
            key=cause.key,
            verdict=cause.verdict,
            why=cause.why,
            erased_at=cause.erased_at,
        )
        return WithheldEvent(id=read.id, source=read.source, time=read.time, data=data)


def read_decision(log: Path, body: bytes, keys: Keys | None = None) -> DecisionEvent | WithheldEvent:
    """As ``decode_decision``, of an entry of that log.

    Raises:
        SerinusError: ``SRN-AUDIT-004`` it is no decision.
    """
    try:
        return decode_decision(body, keys)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise unreadable(log, OSError(0, f"an entry is no decision: {error}")) from error


def withheld(event: WithheldEvent) -> SerinusError:
    """``SRN-PRIVACY-004``: why a decision cannot be read."""
    return SerinusError(
        "SRN-PRIVACY-004",
        f"the decision is in the log and cannot be read: {event.data.why}",
        where=f"request {event.id}, {event.time}",
        hint="What an erasure took nobody can bring back; a key store that is elsewhere is named with "
        "SERINUS_SUBJECT_KEYS, its master key with SERINUS_MASTER_KEY.",
    )


class Found(NamedTuple):
    """A decision, its log, its entry's number, and the told gaps of the chain before it (none: it is sound).

    Attributes:
        vouched: the first entry at or behind it, on the same unbroken stretch, for whose hash a checkpoint vouches;
            None if there is none, or none was asked for.
        behind: the first break behind it, if it was read that far. Without ``vouched`` the entry itself may be what
            was written anew.
    """

    log: Path
    event: DecisionEvent | WithheldEvent
    seq: int
    gaps: tuple[Gap, ...] = ()
    vouched: int | None = None
    behind: Break | None = None


Vouching = Callable[[Path], Mapping[int, str]]
"""The hashes by entry number for which sound checkpoints of a log vouch."""


def _nobody(log: Path) -> Mapping[int, str]:
    return {}


def find_decisions(
    places: Sequence[Path],
    request_id: str,
    *,
    model: str | None = None,
    keys: Keys | None = None,
    gaps: Gaps | None = None,
    vouching: Vouching = _nobody,
    unproven: bool = False,
) -> list[Found]:
    """The decisions on one request, oldest first, each with its log, verified up to there.

    A log that holds the request is verified from its beginning up to the first checkpoint at or behind the last
    decision on it, or up to its end. One that does not hold it is verified only where none does, and held against its
    checkpoints: that nothing was decided on a request is said of sound logs alone.

    Args:
        places: logs, or directories of logs.
        request_id: of the request; of a batch it finds all rows, ``id.row`` one of them.
        model: only this model's.
        keys: open what is sealed.
        gaps: told by the archive; a log that breaks just there is read on.
        vouching: what checkpoints say of a log.
        unproven: give also decisions in front of a break (``Found.behind``) for which no checkpoint vouches.

    Raises:
        SerinusError: ``SRN-AUDIT-003`` a log is broken before the decision, and not at a gap that was told, or behind
            it, and no checkpoint vouches for it; or another on the request stands, or may stand, at or behind the
            break; or it contradicts a checkpoint; ``-004``, ``-010`` it cannot be read; ``-005`` no log holds the
            request.
    """
    logs, told = list(find_logs(places)), gaps or Gaps()
    start = b'{"id":' + _encode(request_id)[:-1]
    found = [
        one
        for path in logs
        if (last := last_entry_with(path, start + b'"', start + b"."))
        for one in _by_id(path, start, request_id, last, keys, told, vouching(path))
        if model is None or one.event.data.model == model
    ]
    for one in found:
        if one.behind is not None and one.vouched is None and not unproven:
            raise ChainBroken.of(one.behind)
    if not found:
        for path in logs:
            place, signed, passed = Place(told.of(path)), vouching(path), 0
            for _ in read_on(path, place):
                if not signed:
                    continue
                if len(place.gaps) > passed:
                    passed = len(place.gaps)
                    never_here(place, place.gaps[-1], signed)
                held(place, signed)
            short = None if segment_number(path) is not None else cut_short(place, signed)
            if short is not None:
                raise ChainBroken.of(short)
        raise SerinusError(
            "SRN-AUDIT-005",
            f"no decision with the request id {request_id} is in {len(logs)} log{'' if len(logs) == 1 else 's'}"
            if logs
            else f"no decision log is there, so none on request {request_id}",
            where=", ".join(map(str, places)),
            hint="Check the id (it is in the answer's meta.puid and Seldon-Puid), or name the log with --log."
            if logs
            else "Name the installation with --home or SERINUS_HOME, or the log with --log.",
        )
    return sorted(found, key=lambda one: one.event.time)


def _by_id(
    path: Path,
    start: bytes,
    request_id: str,
    last: int,
    keys: Keys | None,
    gaps: Gaps,
    vouched: Mapping[int, str],
) -> list[Found]:
    """Those of one log, in which entry ``last`` is the last that can be one."""
    place, found, passed = Place(gaps.of(path)), list[Found](), 0
    waiting = 0  # the first on the stretch that is being read, with no checkpoint yet

    try:
        for body in read_on(path, place):
            if len(place.gaps) > passed:
                passed, waiting = len(place.gaps), len(found)
                if place.seq > last:
                    break
            digest = held(place, vouched) if vouched else None
            if body.startswith(start):
                event = read_decision(path, body, keys)
                rest = event.id[len(request_id) :]
                if not rest or (rest[0] == "." and rest[1:].isdecimal()):
                    found.append(Found(path, event, place.seq, tuple(place.gaps)))
            if digest is not None:
                found[waiting:] = [one._replace(vouched=place.seq) for one in found[waiting:]]
                waiting = len(found)
                if place.seq >= last:
                    break
        else:
            # A lone segment is held against what it holds.
            short = None if segment_number(path) is not None else cut_short(place, vouched)
            if short is not None:
                raise ChainBroken.of(short)
    except ChainBroken as broken:
        # Another on the request stands, or stood, at or behind the break: what is found may be half of the answer.
        if not found or broken.found is None or found[-1].seq < last:
            raise
        return [one._replace(behind=broken.found) for one in found]
    return found
