"""The Open Inference Protocol V2 over gRPC: the codec for ``ModelInferRequest``, and the metadata messages.

Tensors become what the JSON protocol would have carried and are read by the
same rules (``v2``); only a numeric matrix takes a way of its own, since a batch
need not become a list of Python floats first. NaN is a missing value here.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import prod
from typing import Any

import msgspec
import numpy as np

from serinus.contract import Contract
from serinus.model import Answer, FieldError, Vectorizer
from serinus.model.answers import Answers
from serving.scorer import v2
from serving.scorer.grpc import messages as pb
from serving.scorer.grpc import tensors
from serving.scorer.grpc.body import Body
from serving.scorer.grpc.body import size as body_size
from serving.scorer.identity import Identity
from serving.scorer.refusal import Refusal, bad
from serving.scorer.rows import Parsed, checked_id

_MATRIX = ("FP64", "FP32")
_json = msgspec.json.Encoder().encode


class Inference:
    """The codec. An answer is raw where the request was.

    Args:
        raw: whether outputs go into ``raw_output_contents``.
    """

    PROTOCOL: str = v2.PROTOCOL

    def __init__(self, *, raw: bool) -> None:
        self._raw = raw

    def decode(self, body: Body, vectorizer: Vectorizer) -> Parsed:
        """Rows of an inference request. Raises ``Refusal`` (400) naming the field."""
        request = body.message
        _check_raw(request)
        rows = _matrix(request, vectorizer)
        if rows is None:
            return v2.read(_request(request), vectorizer)
        return Parsed(
            rows,
            request_id=checked_id(request.id, "id") if request.id else None,
            outputs=v2.wanted(output.name for output in request.outputs),
        )

    def encode(
        self, answers: Sequence[Answer] | Answers, parsed: Parsed, request_id: str, identity: Identity
    ) -> pb.Message:
        """The answer; ``reasons`` is one JSON list per row, since tensors cannot nest."""
        rows = list(answers)
        outputs = parsed.outputs or v2.OUTPUTS
        made = pb.ModelInferResponse.FromString(_frame(identity, outputs, len(rows)))
        made.id = parsed.request_id or request_id
        made.parameters["puid"].string_param = request_id
        for name, value in parsed.notes.items():
            made.parameters[name].string_param = value
        for k, output in enumerate(outputs):
            if output in ("probability", "score"):
                self._doubles(made, k, [getattr(answer, output) for answer in rows])
            elif output == "decision":
                self._texts(made, k, [answer.decision.encode() for answer in rows])
            else:
                self._texts(made, k, [_json(answer.reasons) for answer in rows])
        return made

    def _doubles(self, made: pb.Message, k: int, values: list[float]) -> None:
        if self._raw:
            made.raw_output_contents.append(tensors.raw_doubles(values))
        else:
            made.outputs[k].contents.fp64_contents.extend(values)

    def _texts(self, made: pb.Message, k: int, values: list[bytes]) -> None:
        if self._raw:
            made.raw_output_contents.append(tensors.raw_texts(values))
        else:
            made.outputs[k].contents.bytes_contents.extend(values)

    def encode_error(self, status: int, message: str) -> str:
        """What becomes the status message of the call."""
        return message

    def payload(self, body: Body | pb.Message) -> bytes:
        """A request or an answer as the JSON that the drift monitor reads."""
        try:
            return _json(
                _document(body.message, "inputs") if isinstance(body, Body) else _document(body, "outputs")
            )
        except Refusal:
            return b"{}"  # it was refused: there is nothing to monitor in it

    def size(self, body: Body) -> int:
        """Bytes of a request."""
        return body_size(body)


@lru_cache(maxsize=64)
def _frame(identity: Identity, outputs: tuple[str, ...], count: int) -> bytes:
    """What all answers of a form share: parsing it costs a third of setting its fields."""
    made = pb.ModelInferResponse(model_name=identity.model, model_version=str(identity.version))
    made.parameters["digest"].string_param = identity.digest
    made.parameters["predictor"].string_param = identity.predictor
    for output in outputs:
        kind = "FP64" if output in ("probability", "score") else "BYTES"
        made.outputs.add(name=output, datatype=kind, shape=(count,))
    return made.SerializeToString()


def _check_raw(request: pb.Message) -> None:
    raw = request.raw_input_contents
    if not raw:
        return
    if len(raw) != len(request.inputs):
        raise bad("raw_input_contents", f"has {len(raw)} entries for {len(request.inputs)} inputs")
    for k, tensor in enumerate(request.inputs):
        if tensor.HasField("contents"):
            raise bad(f"inputs[{k}].contents", "must not be given beside raw_input_contents")


def _matrix(request: pb.Message, vectorizer: Vectorizer) -> Any:
    """Rows of one FP64 or FP32 tensor [n, F] of a model's features in order, or None if it is not that."""
    if len(request.inputs) != 1 or "records" in request.parameters:
        return None
    tensor, shape = request.inputs[0], list(request.inputs[0].shape)
    width = len(vectorizer.names)
    if len(shape) != 2 or tensor.datatype not in _MATRIX or tensor.name in vectorizer.names:
        return None
    if shape[1] != width:
        return None  # v2 says what is wrong with it
    if request.raw_input_contents:
        values = tensors.raw_array(tensor, request.raw_input_contents[0], 0)
    else:
        values = np.array(tensors.typed(tensor, 0), dtype=np.float64)
        if shape[0] < 1 or prod(shape) != len(values):
            raise bad("inputs[0].shape", f"{shape} does not fit {len(values)} values")
    if shape[0] == 1:
        try:
            return (vectorizer.encode_values(values.tolist()),)
        except FieldError as error:
            raise bad(f"inputs[0].data[0].{error.field}", error.message) from error
    try:
        return vectorizer.encode_matrix(values.reshape(shape).astype(np.float64, copy=False))
    except FieldError as error:
        raise bad(f"inputs[0].data{error.field}", error.message) from error


def _request(request: pb.Message) -> v2.Request:
    raw = request.raw_input_contents
    return v2.Request(
        inputs=[
            v2.Input(
                name=tensor.name,
                shape=list(tensor.shape),
                datatype=tensor.datatype,
                data=tensors.raw_list(tensor, raw[k], k) if raw else tensors.typed(tensor, k),
            )
            for k, tensor in enumerate(request.inputs)
        ],
        id=request.id or None,
        parameters=_parameters(request.parameters),
        outputs=[v2.Output(name=output.name) for output in request.outputs],
    )


def _parameters(parameters: pb.Message) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in parameters.items():
        form = value.WhichOneof("parameter_choice")
        found[name] = None if form is None else getattr(value, form)
    return found


def _document(message: pb.Message, side: str) -> dict[str, Any]:
    """A request or an answer as its JSON form. NaN is for the encoder to turn into null."""
    raw = message.raw_input_contents if side == "inputs" else message.raw_output_contents
    return {
        "model_name": message.model_name,
        "id": message.id,
        "parameters": _parameters(message.parameters),
        side: [
            {
                "name": tensor.name,
                "datatype": tensor.datatype,
                "shape": list(tensor.shape),
                "data": tensors.raw_list(tensor, raw[k], k) if raw else tensors.typed(tensor, k),
            }
            for k, tensor in enumerate(getattr(message, side))
        ],
    }


TYPED = Inference(raw=False)
RAW = Inference(raw=True)


def metadata(identity: Identity, contract: Contract) -> pb.Message:
    """The tensors that a request may hold and those of its answer."""
    given = msgspec.json.decode(v2.metadata(identity, contract))
    made = pb.ModelMetadataResponse(
        name=given["name"], versions=given["versions"], platform=given["platform"]
    )
    for side in ("inputs", "outputs"):
        for tensor in given[side]:
            getattr(made, side).add(**tensor)
    return made
