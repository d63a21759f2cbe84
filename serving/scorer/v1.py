"""The Seldon V1 protocol: ``SeldonMessage`` and ``Feedback`` in JSON.

Field names and error shape follow seldon-core's ``prediction.proto`` (1.17.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec

from serinus.model import Answer, FieldError, Vectorizer
from serinus.model.answers import Answers
from serving.scorer.identity import Identity
from serving.scorer.plain import ColumnOrder, encode_plain
from serving.scorer.refusal import bad, decode_json
from serving.scorer.rows import Parsed, Value, by_entity, checked_id, encode_cells, encode_named

PROTOCOL: str = "seldon"


class Tensor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``shape`` [n, F] and the values row by row."""

    shape: list[int]
    values: list[float | None]


class Data(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``DefaultData``: exactly one of ``ndarray`` and ``tensor``."""

    names: list[str] | None = None
    ndarray: list[list[Value]] | None = None
    tensor: Tensor | None = None


class JsonData(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Our ``jsonData``: either rows by feature name, or records by column, to be enriched by entity."""

    rows: list[dict[str, Value]] | None = None
    records: list[dict[str, Value]] | None = None


class Meta(msgspec.Struct, frozen=True):
    """What we read of a message's ``meta``; the rest passes unread."""

    puid: str | None = None


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"json_data": "jsonData"}):
    """A request: exactly one of ``data`` and ``jsonData``."""

    data: Data | None = None
    json_data: JsonData | None = None
    meta: Meta | None = None
    status: Any = None


_request = msgspec.json.Decoder(Message)
_encode = msgspec.json.Encoder().encode


class _PlainData(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    ndarray: list[list[Value]]
    names: msgspec.Raw = msgspec.Raw()


class _Plain(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """What nearly every request looks like; any other goes the long way."""

    data: _PlainData
    meta: Meta | None = None


_plain = msgspec.json.Decoder(_Plain)
_order = ColumnOrder()


def decode(body: bytes, vectorizer: Vectorizer) -> Parsed:
    """Rows of a prediction request. Raises ``Refusal`` (400) naming the field."""
    try:
        message = _plain.decode(body)
        rows = _order.of(message.data.names, vectorizer)(message.data.ndarray)
        encoded, unknown = encode_plain(vectorizer, rows)
        puid = message.meta.puid if message.meta is not None else None
        return Parsed(encoded, unknown, checked_id(puid, "meta.puid") if puid else None)
    except (msgspec.MsgspecError, FieldError, ValueError, OverflowError, RecursionError):
        # What is wrong with it, if anything is, is found and named here.
        return read(decode_json(_request.decode, body), vectorizer)


def read(message: Message, vectorizer: Vectorizer) -> Parsed:
    """Rows of a message, however it came here. Raises as ``decode``."""
    if message.data is not None and message.json_data is None:
        parsed = _decode_data(message.data, vectorizer)
    elif message.json_data is not None and message.data is None:
        parsed = _decode_named(message.json_data, vectorizer)
    else:
        raise bad("", "give exactly one of data (ndarray or tensor) and jsonData")
    if message.meta is not None and message.meta.puid:
        return msgspec.structs.replace(parsed, request_id=checked_id(message.meta.puid, "meta.puid"))
    return parsed


def _decode_named(data: JsonData, vectorizer: Vectorizer) -> Parsed:
    if data.rows is not None and data.records is None:
        return encode_named(vectorizer, data.rows, "jsonData.rows")
    if data.records is None or data.rows is not None:
        raise bad("jsonData", "give exactly one of rows (features) and records (an event of an entity)")
    return by_entity(data.records, "jsonData.records")


def _decode_data(data: Data, vectorizer: Vectorizer) -> Parsed:
    if data.ndarray is not None and data.tensor is None:
        return encode_cells(vectorizer, data.names, data.ndarray, "data.ndarray")
    if data.tensor is None or data.ndarray is not None:
        raise bad("data", "give exactly one of ndarray and tensor")
    shape, values = data.tensor.shape, data.tensor.values
    if len(shape) != 2 or min(shape) < 1 or shape[0] * shape[1] != len(values):
        raise bad("data.tensor.shape", f"{shape} does not fit {len(values)} values; expected [rows, columns]")
    width = shape[1]
    rows = [values[i : i + width] for i in range(0, len(values), width)]
    return encode_cells(vectorizer, data.names, rows, "data.tensor")


def encode(answers: Sequence[Answer] | Answers, parsed: Parsed, request_id: str, identity: Identity) -> bytes:
    """The answer: probabilities in ``data``, decisions with reasons in ``meta.tags.decisions``.

    ``data`` and ``jsonData`` are a ``oneof`` in the protocol: seldon-core's own client
    refuses an answer that has both.
    """
    if len(answers) == 1:
        answer = answers[0]
        probabilities, decisions = _encode(answer.probability), _encode(answer)
    else:
        found = list(answers)
        probabilities = b"],[".join([_encode(answer.probability) for answer in found])
        decisions = _encode(found)[1:-1]
    tags = _tags(identity)
    if parsed.notes:
        tags = b"%b,%b" % (tags, _encode(parsed.notes)[1:-1])
    return (
        b'{"data":{"names":["probability"],"ndarray":[[%b]]},"meta":{"puid":%b,"tags":{%b,"decisions":[%b]}}}'
        % (probabilities, _encode(request_id), tags, decisions)
    )


@lru_cache(maxsize=8)
def _tags(identity: Identity) -> bytes:
    """The tags that no request changes, without their braces."""
    return _encode(identity.tags)[1:-1]


def encode_error(status: int, message: str) -> bytes:
    """A ``SeldonMessage`` that carries only a failed status."""
    reason = "MICROSERVICE_BAD_DATA" if status < 500 else "MICROSERVICE_INTERNAL_ERROR"
    return _encode({"status": {"code": status, "info": message, "reason": reason, "status": "FAILURE"}})


def error_message(body: bytes) -> str:
    """What an error's body says."""
    return msgspec.json.decode(body)["status"]["info"]


def metadata(identity: Identity, names: Sequence[str]) -> bytes:
    """Seldon's model metadata, with our identity under ``custom``."""
    return _encode(
        {
            "name": identity.model,
            "versions": [str(identity.version)],
            "platform": "serinus_lightgbm",
            "inputs": [{"messagetype": "ndarray", "schema": {"names": names, "shape": [len(names)]}}],
            "outputs": [{"messagetype": "ndarray", "schema": {"names": ["probability"], "shape": [1]}}],
            "custom": {"digest": identity.digest, "predictor": identity.predictor},
        }
    )


def payload(body: bytes) -> bytes:
    """A message as the drift monitor reads it: as it is."""
    return body


size = len
