"""Requests as bytes, and the score in an answer, for each protocol."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from .data import Floats

Reader = Callable[[bytes], list[float]]


@dataclass(frozen=True)
class Wire:
    """How rows become a request and an answer becomes scores.

    Attributes:
        name: as it stands in the tables.
        path: of the URL; empty for gRPC.
        body: a request's body for rows of shape (n, 30).
        scores: the n scores in an answer's body.
        malformed: a body that has to be refused with a 4xx.
        headers: that the body needs, beyond its type and length.
    """

    name: str
    path: str
    body: Callable[[Floats], bytes]
    scores: Reader
    malformed: bytes
    headers: Callable[[bytes], str] = lambda body: "Content-Type: application/json\r\n"

    def message(self, x: Floats) -> bytes:
        """A whole HTTP request for these rows (the bare message for gRPC)."""
        return self.wrap(self.body(x))

    def wrap(self, body: bytes) -> bytes:
        """A body with its request line and headers."""
        if not self.path:
            return body
        head = f"POST {self.path} HTTP/1.1\r\nHost: scorer\r\n{self.headers(body)}Content-Length: {len(body)}\r\n\r\n"
        return head.encode() + body


def _v1(x: Floats) -> bytes:
    return json.dumps({"data": {"ndarray": x.tolist()}}, separators=(",", ":")).encode()


def decisions(answer: dict[str, Any]) -> list[dict[str, Any]] | None:
    """Our V1 answer's decisions, or None in a peer's."""
    return answer.get("meta", {}).get("tags", {}).get("decisions")


def _v1_scores(body: bytes) -> list[float]:
    answer: Any = json.loads(body)
    ours = decisions(answer)
    if ours is not None:
        return [d["score"] for d in ours]
    rows: list[Any] = answer["data"]["ndarray"]
    return [float(np.ravel(row)[-1]) for row in rows]


def listed(path: str) -> Wire:
    """The V1 body in a list of one, as BentoML's batchable endpoints want it."""

    def body(x: Floats) -> bytes:
        return json.dumps({"data": [{"ndarray": x.tolist()}]}, separators=(",", ":")).encode()

    def scores(answer: bytes) -> list[float]:
        return [float(row[0]) for one in json.loads(answer) for row in one["data"]["ndarray"]]

    return Wire("V1 JSON", path, body, scores, b'{"data":[["a"')


def _v2(x: Floats) -> bytes:
    tensor = {"name": "x", "shape": list(x.shape), "datatype": "FP64", "data": x.ravel().tolist()}
    return json.dumps({"inputs": [tensor]}, separators=(",", ":")).encode()


def _v2_forest(x: Floats) -> bytes:
    asked = [{"name": "predict_proba"}]  # MLServer's sklearn runtime answers with classes otherwise
    return json.dumps({**json.loads(_v2(x)), "outputs": asked}, separators=(",", ":")).encode()


def _v2_scores(body: bytes) -> list[float]:
    outputs = {o["name"]: o for o in json.loads(body)["outputs"]}
    if "score" in outputs:
        return outputs["score"]["data"]
    data = outputs.get("predict_proba", outputs.get("predict"))
    assert data is not None
    return data["data"][1::2] if data["name"] == "predict_proba" else data["data"]


def _v2_binary(x: Floats) -> bytes:
    raw = np.ascontiguousarray(x, dtype="<f8").tobytes()
    sized: dict[str, Any] = {"binary_data_size": len(raw)}
    tensor = {"name": "x", "shape": list(x.shape), "datatype": "FP64", "parameters": sized}
    asked = {"binary_data_output": False}
    return json.dumps({"inputs": [tensor], "parameters": asked}, separators=(",", ":")).encode() + raw


def _binary_headers(body: bytes) -> str:
    end = b'"binary_data_output":false}}'
    length = body.index(end) + len(end)
    return f"Content-Type: application/octet-stream\r\nInference-Header-Content-Length: {length}\r\n"


def v1(path: str = "/api/v1.0/predictions") -> Wire:
    """Seldon's V1; LitServe and BentoML get the same body at a path of their own."""
    return Wire("V1 JSON", path, _v1, _v1_scores, b'{"data":{"ndarray":[["a"')


def v2(model: str, *, forest_of_mlserver: bool = False) -> Wire:
    """Open Inference V2 in JSON."""
    body = _v2_forest if forest_of_mlserver else _v2
    return Wire("V2 JSON", f"/v2/models/{model}/infer", body, _v2_scores, b'{"inputs":[{"name":"x"}]}')


def v2_binary(model: str) -> Wire:
    """Open Inference V2 with the binary tensor extension; the answer is JSON."""
    path = f"/v2/models/{model}/infer"
    malformed = b'{"inputs":[{}],"parameters":{"binary_data_output":false}}'
    return Wire("V2 binary", path, _v2_binary, _v2_scores, malformed, _binary_headers)


def grpc(model: str) -> Wire:
    """Open Inference V2 over gRPC with raw tensors, by tritonclient's messages (not by ours)."""
    return Wire("V2 gRPC", "", partial(_grpc, model), _grpc_scores, _grpc_malformed(model))


def _grpc(model: str, x: Floats) -> bytes:
    pb: Any = import_module("tritonclient.grpc.service_pb2")

    request: Any = pb.ModelInferRequest(model_name=model)
    request.inputs.add(name="x", datatype="FP64", shape=list(x.shape))
    request.raw_input_contents.append(np.ascontiguousarray(x, dtype="<f8").tobytes())
    return request.SerializeToString()


def _grpc_malformed(model: str) -> bytes:
    return b"\x0a" + bytes([len(model)]) + model.encode()  # no inputs


def _grpc_scores(body: bytes) -> list[float]:
    pb: Any = import_module("tritonclient.grpc.service_pb2")

    answer: Any = pb.ModelInferResponse.FromString(body)
    for k, output in enumerate(answer.outputs):
        if output.name == "score":
            if answer.raw_output_contents:
                return np.frombuffer(answer.raw_output_contents[k], dtype="<f8").tolist()
            return list(output.contents.fp64_contents)
    raise ValueError("no score in the answer")


def write_requests(path: Path, messages: Sequence[bytes]) -> None:
    """Messages to a file, each after its length."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for message in messages:
            file.write(struct.pack("<I", len(message)) + message)


def read_requests(path: Path) -> list[bytes]:
    """What ``write_requests`` wrote."""
    data, at, out = path.read_bytes(), 0, list[bytes]()
    while at < len(data):
        (length,) = struct.unpack_from("<I", data, at)
        out.append(data[at + 4 : at + 4 + length])
        at += 4 + length
    return out
