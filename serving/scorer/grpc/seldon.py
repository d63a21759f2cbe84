"""The Seldon V1 protocol over gRPC: the codec for ``SeldonMessage``, and the other messages of a model.

A message becomes the document that the JSON protocol would have carried and is
read by the same rules (``v1``), so that both refuse the same things in the same
words.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import msgspec

from serinus.model import Answer, FieldError, Vectorizer
from serinus.model.answers import Answers
from serving.scorer import v1
from serving.scorer.grpc import body as bodies
from serving.scorer.grpc import documents
from serving.scorer.grpc import messages as pb
from serving.scorer.grpc.body import Body
from serving.scorer.grpc.documents import document
from serving.scorer.grpc.values import plain_list, put
from serving.scorer.identity import Identity
from serving.scorer.plain import encode_plain
from serving.scorer.rows import Parsed, checked_id

PROTOCOL: str = v1.PROTOCOL


def decode(body: Body, vectorizer: Vectorizer) -> Parsed:
    """Rows of a prediction request. Raises ``Refusal`` (400) naming the field."""
    message = body.message
    data = message.data
    if data.WhichOneof("data_oneof") == "ndarray" and not data.names:
        try:
            rows, unknown = encode_plain(
                vectorizer, [plain_list(row.list_value) for row in data.ndarray.values]
            )
            puid = message.meta.puid
            return Parsed(rows, unknown, checked_id(puid, "meta.puid") if puid else None)
        except (FieldError, ValueError, OverflowError):
            pass  # what is wrong with it is found and named by the long way
    return v1.read(documents.request(message), vectorizer)


def encode(
    answers: Sequence[Answer] | Answers, parsed: Parsed, request_id: str, identity: Identity
) -> pb.Message:
    """The answer: probabilities in ``data``, decisions with reasons in ``meta.tags.decisions``."""
    message = pb.SeldonMessage.FromString(_frame(identity))
    message.meta.puid = request_id
    tags = message.meta.tags
    for name, value in parsed.notes.items():
        put(tags[name], value)
    decisions = tags["decisions"].list_value.values
    rows = message.data.ndarray.values
    for answer in answers:
        fields = decisions.add().struct_value.fields
        fields["score"].number_value = answer.score
        fields["probability"].number_value = answer.probability
        fields["decision"].string_value = answer.decision
        reasons = fields["reasons"].list_value
        reasons.SetInParent()
        for reason in answer.reasons:
            part = reasons.values.add().struct_value.fields
            part["code"].string_value = reason.code
            part["feature"].string_value = reason.feature
            part["text"].string_value = reason.text
            part["contribution"].number_value = reason.contribution
        rows.add().list_value.values.add().number_value = answer.probability
    return message


@lru_cache(maxsize=8)
def _frame(identity: Identity) -> bytes:
    """What all answers share: parsing it costs a third of setting its fields."""
    message = pb.SeldonMessage()
    for name, value in identity.tags.items():
        put(message.meta.tags[name], value)
    message.data.names.append("probability")
    return message.SerializeToString()


def encode_error(status: int, message: str) -> str:
    """What becomes the status message of the call."""
    return message


def size(body: Body) -> int:
    """Bytes of a request."""
    return bodies.size(body)


def payload(body: Body | pb.Message) -> bytes:
    """A request or an answer as the JSON that the drift monitor reads."""
    return msgspec.json.encode(document(body.message if isinstance(body, Body) else body))


# --- feedback and metadata -------------------------------------------------


def metadata(document: bytes) -> pb.Message:
    """Seldon's model metadata from its JSON form, as ``GET /metadata`` gives it."""
    given = msgspec.json.decode(document)
    made = pb.SeldonModelMetadata(
        name=given["name"], versions=given["versions"], platform=given["platform"], custom=given["custom"]
    )
    for side in ("inputs", "outputs"):
        for tensor in given[side]:
            added = getattr(made, side).add(messagetype=tensor["messagetype"])
            put(added.schema, tensor["schema"])
    return made
