"""The Open Inference Protocol V2 over JSON.

Missing values are ``null`` (the protocol has no word for them, and JSON no NaN).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import prod
from typing import Any

import msgspec

from serinus.contract import Contract
from serinus.model import Answer, Vectorizer
from serinus.model.answers import Answers
from serving.scorer.identity import Identity
from serving.scorer.refusal import Refusal, bad, decode_json
from serving.scorer.rows import Parsed, Value, by_entity, checked_id, encode_cells, encode_named

PROTOCOL: str = "v2"
_FLOATS = ("FP64", "FP32", "FP16")
_INTEGERS = ("INT64", "INT32", "INT16", "INT8", "UINT64", "UINT32", "UINT16", "UINT8")
_NUMBERS = frozenset(_FLOATS + _INTEGERS)
_KINDS: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(_FLOATS, (int, float)),
    **dict.fromkeys(_INTEGERS, (int,)),
    "BOOL": (bool,),
    "BYTES": (str,),
}
OUTPUTS = ("probability", "score", "decision", "reasons")


class Input(msgspec.Struct, frozen=True):
    """One tensor; ``data`` flat or nested by its shape."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Value | list[Value]]
    parameters: dict[str, Any] | None = None


class Output(msgspec.Struct, frozen=True):
    """One output asked for."""

    name: str
    parameters: dict[str, Any] | None = None


class Request(msgspec.Struct, frozen=True):
    """An inference request."""

    inputs: list[Input]
    id: str | None = None
    parameters: dict[str, Any] | None = None
    outputs: list[Output] | None = None


_request = msgspec.json.Decoder(Request)
_encode = msgspec.json.Encoder().encode


def decode(body: bytes, vectorizer: Vectorizer) -> Parsed:
    """Rows of an inference request: one tensor [n, F], or one tensor [n] or [n, 1] per feature.

    Raises:
        Refusal: 400, naming the field.
    """
    return read(decode_json(_request.decode, body), vectorizer)


def read(request: Request, vectorizer: Vectorizer) -> Parsed:
    """Rows of a request, however it came here. Raises as ``decode``."""
    if not request.inputs:
        raise bad("inputs", "holds no tensor")
    parsed = (
        _matrix(request.inputs, vectorizer)
        if _is_matrix(request, vectorizer)
        else _columns(request, vectorizer)
    )
    request_id = checked_id(request.id, "id") if request.id else None
    outputs = wanted(output.name for output in request.outputs or ())
    return msgspec.structs.replace(parsed, request_id=request_id, outputs=outputs)


def wanted(names: Iterable[str]) -> tuple[str, ...]:
    """The outputs asked for. Raises ``Refusal`` 400 for one that does not exist."""
    found = tuple(names)
    for k, output in enumerate(found):
        if output not in OUTPUTS:
            raise bad(f"outputs[{k}].name", f'"{output}" is not an output; there are {", ".join(OUTPUTS)}')
    return found


def _is_matrix(request: Request, vectorizer: Vectorizer) -> bool:
    first = request.inputs[0]
    if _wants_records(request):
        return False
    return len(request.inputs) == 1 and first.name not in vectorizer.names and len(first.shape) == 2


def _matrix(inputs: Sequence[Input], vectorizer: Vectorizer) -> Parsed:
    tensor, width = inputs[0], len(vectorizer.names)
    if tensor.datatype not in _NUMBERS:
        raise bad("inputs[0].datatype", f"is {tensor.datatype}; one tensor for all features is FP64")
    if tensor.shape[1] != width:
        names = ", ".join(vectorizer.names)
        raise bad("inputs[0].shape", f"has {tensor.shape[1]} columns; this model takes {width}: {names}")
    values = _flat(tensor, 0)
    rows = [values[i : i + width] for i in range(0, len(values), width)]
    return encode_cells(vectorizer, None, rows, "inputs[0].data")


def _columns(request: Request, vectorizer: Vectorizer) -> Parsed:
    columns: dict[str, list[Value]] = {}
    by_record = _wants_records(request)
    for k, tensor in enumerate(request.inputs):
        where = f"inputs[{k}]"
        if tensor.name not in vectorizer.names and not by_record:
            known = ", ".join(vectorizer.names)
            raise bad(
                f"{where}.name", f'"{tensor.name}" is not a feature of this model; its features are {known}'
            )
        if tensor.name in columns:
            raise bad(f"{where}.name", f'"{tensor.name}" is given twice')
        if len(tensor.shape) not in (1, 2) or tensor.shape[1:] not in ([], [1]):
            raise bad(f"{where}.shape", f"is {tensor.shape}; a feature's tensor is [rows] or [rows, 1]")
        columns[tensor.name] = _flat(tensor, k)
        if len(columns[tensor.name]) != request.inputs[0].shape[0]:
            raise bad(
                f"{where}.shape", f"has {tensor.shape[0]} rows; inputs[0] has {request.inputs[0].shape[0]}"
            )
    names = tuple(columns)
    rows = [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def place(i: int, feature: str) -> str:
        # The row's place in the feature's tensor; a feature without one has no place.
        return (
            f"inputs[{names.index(feature)}].data[{i}] ({feature})"
            if feature in columns
            else f"inputs ({feature})"
        )

    return by_entity(rows, "inputs", place) if by_record else encode_named(vectorizer, rows, "inputs", place)


def _wants_records(request: Request) -> bool:
    """Whether the tensors are columns of events, to be enriched by entity, and not features."""
    wanted = (request.parameters or {}).get("records", False)
    if not isinstance(wanted, bool):
        raise bad("parameters.records", f"is {wanted!r}; expected true or false")
    return wanted


def _flat(tensor: Input, k: int) -> list[Value]:
    """The tensor's values row by row, each checked against the datatype."""
    kind = _KINDS.get(tensor.datatype)
    if kind is None:
        raise bad(
            f"inputs[{k}].datatype", f'"{tensor.datatype}" is not supported; use {", ".join(sorted(_KINDS))}'
        )
    values: list[Value] = []
    for item in tensor.data:
        if isinstance(item, list):
            values.extend(item)
        else:
            values.append(item)
    if min(tensor.shape) < 1 or prod(tensor.shape) != len(values):
        raise bad(f"inputs[{k}].shape", f"{tensor.shape} does not fit {len(values)} values")
    for i, value in enumerate(values):
        if value is not None and (
            not isinstance(value, kind) or (isinstance(value, bool) and bool not in kind)
        ):
            raise bad(
                f"inputs[{k}].data[{i}]", f"is a {type(value).__name__}, which is not {tensor.datatype}"
            )
    return values


def encode(answers: Sequence[Answer] | Answers, parsed: Parsed, request_id: str, identity: Identity) -> bytes:
    """The answer; ``reasons`` is one JSON list per row, since tensors cannot nest."""
    made = {
        "probability": ("FP64", lambda: [answer.probability for answer in answers]),
        "score": ("FP64", lambda: [answer.score for answer in answers]),
        "decision": ("BYTES", lambda: [answer.decision for answer in answers]),
        "reasons": ("BYTES", lambda: [_encode(answer.reasons).decode() for answer in answers]),
    }
    return _encode(
        {
            "model_name": identity.model,
            "model_version": str(identity.version),
            "id": parsed.request_id or request_id,
            "parameters": {
                "digest": identity.digest,
                "predictor": identity.predictor,
                "puid": request_id,
                **parsed.notes,
            },
            "outputs": [
                {
                    "name": output,
                    "datatype": made[output][0],
                    "shape": [len(answers)],
                    "data": made[output][1](),
                }
                for output in parsed.outputs or OUTPUTS
            ],
        }
    )


def encode_error(status: int, message: str) -> bytes:
    """The protocol's error object."""
    return _encode({"error": message})


def metadata(identity: Identity, contract: Contract) -> bytes:
    """``GET /v2/models/{name}``: the tensors that a request may hold and those of its answer."""
    inputs = [
        {"name": f.name, "datatype": "BYTES" if contract.is_categorical(f) else "FP64", "shape": [-1]}
        for f in contract.features
    ]
    kinds = {"probability": "FP64", "score": "FP64", "decision": "BYTES", "reasons": "BYTES"}
    return _encode(
        {
            "name": identity.model,
            "versions": [str(identity.version)],
            "platform": "serinus_lightgbm",
            "inputs": inputs,
            "outputs": [{"name": output, "datatype": kinds[output], "shape": [-1]} for output in OUTPUTS],
        }
    )


def known_model(requested: str, version: str | None, identity: Identity) -> None:
    """Raises ``Refusal`` 404 unless the URL names the model (and version) served here."""
    if requested != identity.model:
        raise Refusal(404, "", f'there is no model "{requested}" here; it serves "{identity.model}"')
    if version is not None and version != str(identity.version):
        raise Refusal(
            404, "", f'version "{version}" of {requested} is not served here; version {identity.version} is'
        )


def payload(body: bytes) -> bytes:
    """A message as the drift monitor reads it: as it is."""
    return body


def size(body: bytes) -> int:
    """Bytes of a message."""
    return len(body)
