"""Tensors as bytes, behind the JSON of a V2 message (the binary tensor data extension).

Numbers are little-endian and row by row; an element of ``BYTES`` is its length in
four bytes and then itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from math import prod
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from serving.scorer.framing import Framed
from serving.scorer.refusal import Refusal, bad
from serving.scorer.rows import Value

if TYPE_CHECKING:
    from serving.scorer.v2 import Input, Request

_TYPES = {
    "FP64": "<f8", "FP32": "<f4", "FP16": "<f2", "BOOL": "?",
    "INT64": "<i8", "INT32": "<i4", "INT16": "<i2", "INT8": "<i1",
    "UINT64": "<u8", "UINT32": "<u4", "UINT16": "<u2", "UINT8": "<u1",
}  # fmt: skip


def unpacked(request: Request, body: Framed) -> list[Input]:
    """The request's tensors with the values that stood behind the JSON.

    Raises:
        Refusal: 400, naming the tensor, if bytes are missing, left over or malformed.
    """
    behind, at = body.tensors, 0
    found: list[Input] = []
    for k, tensor in enumerate(request.inputs):
        size = (tensor.parameters or {}).get("binary_data_size")
        if size is None:
            found.append(tensor)
            continue
        where = f"inputs[{k}]"
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise bad(f"{where}.parameters.binary_data_size", "is not a number of bytes")
        if tensor.data:
            raise bad(f"{where}.data", "is given twice: here and in binary")
        if at + size > len(behind):
            raise bad(f"{where}.parameters.binary_data_size", f"is {size}; {len(behind) - at} bytes are left")
        values = _values(tensor, behind[at : at + size], where)
        found.append(msgspec.structs.replace(tensor, data=values, parameters=None))
        at += size
    if at != len(behind):
        raise bad("inputs", f"{len(behind) - at} bytes behind the JSON belong to no tensor")
    return found


def _values(tensor: Input, data: memoryview, where: str) -> list[Value]:
    if tensor.datatype == "BYTES":
        return _texts(data, where)
    dtype = _TYPES.get(tensor.datatype)
    if dtype is None:
        raise bad(f"{where}.datatype", f'"{tensor.datatype}" is not supported in binary')
    size = np.dtype(dtype).itemsize
    if len(data) != size * max(prod(tensor.shape), 0):
        raise bad(
            f"{where}.parameters.binary_data_size",
            f"is {len(data)}; {tensor.datatype} of shape {tensor.shape} has {size * prod(tensor.shape)}",
        )
    array = np.frombuffer(data, dtype=dtype)
    if array.dtype.kind == "f":
        if np.isinf(array).any():
            raise bad(f"{where}[{int(np.argmax(np.isinf(array)))}]", "is infinite; expected a finite number")
        missing = np.isnan(array)
        if missing.any():
            return [None if gone else value for value, gone in zip(array.tolist(), missing, strict=True)]
    return array.tolist()


def _texts(data: memoryview, where: str) -> list[Value]:
    found: list[Value] = []
    at = 0
    while at < len(data):
        end = at + 4 + int.from_bytes(data[at : at + 4], "little")
        if at + 4 > len(data) or end > len(data):
            raise bad(f"{where}[{len(found)}]", "is longer than the tensor's bytes")
        try:
            found.append(str(data[at + 4 : end], "utf-8"))
        except UnicodeDecodeError as error:
            raise bad(f"{where}[{len(found)}]", "is not UTF-8") from error
        at = end
    return found


def packed(values: Sequence[Any]) -> bytes:
    """An output's values, all numbers or all text."""
    if values and isinstance(values[0], str):
        texts = [value.encode() for value in values]
        return b"".join(part for text in texts for part in (len(text).to_bytes(4, "little"), text))
    return np.asarray(values, dtype="<f8").tobytes()


def as_json(body: Framed) -> bytes:
    """A message with its tensors in the JSON; as it is where that fails, since then it was refused."""
    try:
        document: dict[str, Any] = msgspec.json.decode(body.json)
        for part in ("inputs", "outputs"):
            tensors: list[dict[str, Any]] = document.get(part) or []
            sizes = [(tensor.get("parameters") or {}).get("binary_data_size", 0) for tensor in tensors]
            for tensor, size, end in zip(tensors, sizes, accumulate(sizes), strict=True):
                if size:
                    tensor["data"] = _plain(tensor, body.tensors[end - size : end])
                    tensor["parameters"].pop("binary_data_size")
        return msgspec.json.encode(document)
    except (msgspec.MsgspecError, AttributeError, KeyError, TypeError, ValueError, Refusal):
        return body.json


def _plain(tensor: dict[str, Any], data: memoryview) -> list[Value]:
    if tensor["datatype"] == "BYTES":
        return _texts(data, "")
    values = np.frombuffer(data, dtype=_TYPES[tensor["datatype"]]).tolist()
    return [None if value != value else value for value in values]
