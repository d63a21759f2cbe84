"""The Open Inference Protocol V2 over JSON, with binary tensors where a client sends or asks for them.

Missing values are ``null`` in JSON (which has no NaN) and NaN in binary.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from math import prod
from typing import Any, Literal

import msgspec

from serinus.contract import Contract
from serinus.model import Answer, FieldError, Vectorizer
from serinus.model.answers import Answers
from serving.scorer import binary
from serving.scorer.framing import Framed
from serving.scorer.identity import Identity
from serving.scorer.plain import encode_plain
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
    data: list[Value | list[Value]] = []
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


class _Matrix(msgspec.Struct, frozen=True, gc=False):
    name: str
    shape: list[int]
    datatype: Literal["FP64", "FP32"]
    data: list[float | None]
    parameters: msgspec.Raw = msgspec.Raw()


class _Plain(msgspec.Struct, frozen=True, gc=False):
    """One matrix of numbers, which is the cheapest request; any other goes the long way."""

    inputs: list[_Matrix]
    id: str | None = None
    parameters: msgspec.Raw = msgspec.Raw()
    outputs: list[Output] | None = None


_plain = msgspec.json.Decoder(_Plain)


def decode(body: bytes, vectorizer: Vectorizer) -> Parsed:
    """Rows of an inference request: one tensor [n, F], or one tensor [n] or [n, 1] per feature.

    The tensors' values stand in the JSON or, in a ``Framed`` body, behind it.

    Raises:
        Refusal: 400, naming the field.
    """
    if type(body) is Framed:
        request = decode_json(_request.decode, body.json)
        return read(msgspec.structs.replace(request, inputs=binary.unpacked(request, body)), vectorizer)
    try:
        return _read_plain(_plain.decode(body), vectorizer)
    except (msgspec.MsgspecError, FieldError, ValueError, OverflowError, RecursionError):
        # What is wrong with it, if anything is, is found and named here.
        return read(decode_json(_request.decode, body), vectorizer)


def _read_plain(request: _Plain, vectorizer: Vectorizer) -> Parsed:
    (tensor,) = request.inputs
    width = len(vectorizer.names)
    count, columns = tensor.shape
    values = tensor.data
    if (
        columns != width
        or count * columns != len(values)
        or count < 1
        or tensor.parameters
        or request.parameters
        or tensor.name in vectorizer.names
    ):
        raise ValueError("not plain")
    rows = [values] if count == 1 else [values[i : i + width] for i in range(0, len(values), width)]
    encoded, _ = encode_plain(vectorizer, rows)
    request_id = checked_id(request.id, "id") if request.id else None
    if not request.outputs:
        return Parsed(encoded, (), request_id)
    return Parsed(encoded, (), request_id, *_outputs(request.outputs, None))


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
    outputs, packed = _outputs(request.outputs or (), request.parameters)
    return msgspec.structs.replace(parsed, request_id=request_id, outputs=outputs, packed=packed)


def _outputs(
    outputs: Sequence[Output], parameters: Mapping[str, Any] | None
) -> tuple[tuple[str, ...], frozenset[str]]:
    """The outputs asked for, and which of them in binary."""
    names = wanted(output.name for output in outputs)
    default = flag(parameters, "binary_data_output", "parameters")
    packed = {
        output.name
        for k, output in enumerate(outputs)
        if flag(output.parameters, "binary_data", f"outputs[{k}].parameters", default)
    }
    return names, frozenset(packed if outputs else OUTPUTS if default else ())


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
    return flag(request.parameters, "records", "parameters")


def flag(parameters: Mapping[str, Any] | None, name: str, where: str, default: bool = False) -> bool:
    """A parameter that is true or false. Raises ``Refusal`` 400 where it is neither."""
    value = default if parameters is None else parameters.get(name, default)
    if not isinstance(value, bool):
        raise bad(f"{where}.{name}", f"is {_short(value)}; expected true or false")
    return value


def _short(value: object) -> str:
    return repr(value)[:40] if isinstance(value, str | float) else f"a {type(value).__name__}"


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
    head, parameters = _identified(identity)
    puid = _encode(request_id)
    asked_id = puid if parsed.request_id is None else _encode(parsed.request_id)
    if len(answers) == 1 and not (parsed.outputs or parsed.packed or parsed.notes):
        answer = answers[0]
        return _ONE % (
            head,
            asked_id,
            parameters,
            puid,
            _encode(answer.probability),
            _encode(answer.score),
            answer.decision.encode(),
            _encode(_encode(answer.reasons).decode()) if answer.reasons else b'"[]"',
        )
    outputs: list[bytes] = []
    behind: list[bytes] = []
    for name in parsed.outputs or OUTPUTS:
        if name in parsed.packed:
            data = binary.packed(_column(name, answers))
            behind.append(data)
            content = b'"parameters":{"binary_data_size":%d}' % len(data)
        else:
            content = b'"data":%b' % _encode(_column(name, answers))
        outputs.append(
            b'{"name":"%b","datatype":"%b","shape":[%d],%b}'
            % (name.encode(), _DATATYPES[name], len(answers), content)
        )
    notes = b"," + _encode(parsed.notes)[1:-1] if parsed.notes else b""
    document = b'{%b,"id":%b,"parameters":{%b,"puid":%b%b},"outputs":[%b]}' % (
        head,
        asked_id,
        parameters,
        puid,
        notes,
        b",".join(outputs),
    )
    return Framed.of(document + b"".join(behind), len(document)) if behind else document


# An answer to one row, all outputs in JSON: what nearly every request gets.
_ONE = (
    b'{%b,"id":%b,"parameters":{%b,"puid":%b},"outputs":['
    b'{"name":"probability","datatype":"FP64","shape":[1],"data":[%b]},'
    b'{"name":"score","datatype":"FP64","shape":[1],"data":[%b]},'
    b'{"name":"decision","datatype":"BYTES","shape":[1],"data":["%b"]},'
    b'{"name":"reasons","datatype":"BYTES","shape":[1],"data":[%b]}]}'
)
_DATATYPES = {"probability": b"FP64", "score": b"FP64", "decision": b"BYTES", "reasons": b"BYTES"}


def _column(name: str, answers: Sequence[Answer] | Answers) -> list[Any]:
    if name == "reasons":
        return [_encode(answer.reasons).decode() if answer.reasons else "[]" for answer in answers]
    if isinstance(answers, Answers):
        column: Any = getattr(answers, name)
        return column if name == "decision" else column.tolist()
    return [getattr(answer, name) for answer in answers]


@lru_cache(maxsize=8)
def _identified(identity: Identity) -> tuple[bytes, bytes]:
    """What no request changes: the answer's beginning and its parameters."""
    head = _encode({"model_name": identity.model, "model_version": str(identity.version)})
    return head[1:-1], _encode({"digest": identity.digest, "predictor": identity.predictor})[1:-1]


def encode_error(status: int, message: str) -> bytes:
    """The protocol's error object."""
    return _encode({"error": message})


def metadata(identity: Identity, contract: Contract) -> bytes:
    """``GET /v2/models/{name}``: the tensors that a request may hold and those of its answer."""
    inputs = [
        {"name": f.name, "datatype": "BYTES" if contract.is_categorical(f) else "FP64", "shape": [-1]}
        for f in contract.features
    ]
    return _encode(
        {
            "name": identity.model,
            "versions": [str(identity.version)],
            "platform": "serinus_lightgbm",
            "inputs": inputs,
            "outputs": [
                {"name": output, "datatype": _DATATYPES[output].decode(), "shape": [-1]} for output in OUTPUTS
            ],
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
    """A message as the drift monitor reads it: JSON, also where its tensors stood behind it."""
    return binary.as_json(body) if type(body) is Framed else body


size = len
