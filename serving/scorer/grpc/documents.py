"""``SeldonMessage`` as the document that JSON would have carried, so that ``v1`` reads it by its rules."""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from serving.scorer import v1
from serving.scorer.grpc.values import Message, plain, plain_list
from serving.scorer.refusal import bad


def request(message: Message) -> v1.Message:
    """What ``v1`` reads of a request.

    Raises:
        Refusal: 400 for a form that no scorer reads, or a value of the wrong type; naming the field.
    """
    form = message.WhichOneof("data_oneof")
    if form in ("binData", "strData", "customData"):
        raise bad(form, "is not supported; give data (ndarray or tensor) or jsonData")
    if form == "data" and message.data.WhichOneof("data_oneof") == "tftensor":
        raise bad("data.tftensor", "is not supported; give ndarray or tensor")
    given: dict[str, Any] = {"meta": {"puid": message.meta.puid}}
    if form is not None:
        given[form] = _content(message, form)
    return as_request(given)


def as_request(given: dict[str, Any]) -> v1.Message:
    """A plain document as a request. Raises ``Refusal`` 400, naming the field."""
    try:
        return msgspec.convert(given, v1.Message)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `")
        raise bad(path.rstrip("`").removeprefix("$").removeprefix("."), what) from error


def _content(message: Message, form: str) -> Any:
    if form == "data":
        return _data(message.data)
    if form == "jsonData":
        return plain(message.jsonData)
    if form == "strData":
        return message.strData
    return base64.b64encode(getattr(message, form)).decode()


def _data(data: Message) -> dict[str, Any]:
    document: dict[str, Any] = {"names": list(data.names)} if data.names else {}
    form = data.WhichOneof("data_oneof")
    if form == "ndarray":
        document["ndarray"] = plain_list(data.ndarray)
    elif form == "tensor":
        document["tensor"] = {"shape": list(data.tensor.shape), "values": list(data.tensor.values)}
    elif form == "tftensor":
        document["tftensor"] = base64.b64encode(data.tftensor).decode()
    return document


def document(message: Message) -> dict[str, Any]:
    """A ``SeldonMessage`` as its JSON form; NaN is for the encoder to turn into null."""
    made: dict[str, Any] = {}
    if message.HasField("meta"):
        meta = message.meta
        made["meta"] = {"puid": meta.puid, "tags": {name: plain(value) for name, value in meta.tags.items()}}
    form = message.WhichOneof("data_oneof")
    if form is not None:
        made[form] = _content(message, form)
    return made


def feedback(message: Message) -> bytes:
    """A ``Feedback`` message in its JSON form.

    Protobuf does not tell a reward of 0 from none: beside a truth it means
    none, alone it is the outcome.
    """
    parts = {name: getattr(message, name) for name in ("request", "response", "truth")}
    made: dict[str, Any] = {name: document(part) for name, part in parts.items() if message.HasField(name)}
    if message.reward or "truth" not in made:
        made["reward"] = message.reward
    return msgspec.json.encode(made)
