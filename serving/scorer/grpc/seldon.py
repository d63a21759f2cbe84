"""The Seldon V1 protocol over gRPC: the codec for ``SeldonMessage``, and the other messages of a model.

A message becomes the document that the JSON protocol would have carried and is
read by the same rules (``v1``), so that both refuse the same things in the same
words.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from serinus.model import Answer, Vectorizer
from serinus.model.answers import Answers
from serving.scorer import v1
from serving.scorer.grpc import body as bodies
from serving.scorer.grpc import documents
from serving.scorer.grpc import messages as pb
from serving.scorer.grpc.body import Body
from serving.scorer.grpc.documents import document
from serving.scorer.grpc.values import put
from serving.scorer.identity import Identity
from serving.scorer.rows import Parsed

PROTOCOL: str = v1.PROTOCOL


def decode(body: Body, vectorizer: Vectorizer) -> Parsed:
    """Rows of a prediction request. Raises ``Refusal`` (400) naming the field."""
    return v1.read(documents.request(body.message), vectorizer)


def encode(
    answers: Sequence[Answer] | Answers, parsed: Parsed, request_id: str, identity: Identity
) -> pb.Message:
    """The answer: probabilities in ``data``, decisions with reasons in ``meta.tags.decisions``."""
    message = pb.SeldonMessage()
    message.meta.puid = request_id
    tags = message.meta.tags
    for name, value in {**identity.tags, **parsed.notes}.items():
        put(tags[name], value)
    rows = list(answers)
    put(tags["decisions"], msgspec.to_builtins(rows))
    message.data.names.append("probability")
    add = message.data.ndarray.values.add
    for answer in rows:
        add().list_value.values.add().number_value = answer.probability
    return message


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
