"""The values of a V2 tensor: typed contents or raw bytes, to lists or arrays and back."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.scorer.grpc.messages import Message
from serving.scorer.refusal import bad

# The specification's datatypes, each with the field of InferTensorContents that holds it.
# FP16 has none there and comes raw only.
CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
# Raw values are little-endian and row-major.
_RAW = {
    name: np.dtype(kind)
    for name, kind in {
        "BOOL": "?",
        "INT8": "<i1",
        "INT16": "<i2",
        "INT32": "<i4",
        "INT64": "<i8",
        "UINT8": "<u1",
        "UINT16": "<u2",
        "UINT32": "<u4",
        "UINT64": "<u8",
        "FP16": "<f2",
        "FP32": "<f4",
        "FP64": "<f8",
    }.items()
}
_LENGTH = struct.Struct("<I")


def typed(tensor: Message, k: int) -> Any:
    """The values in the contents field of its datatype; text for BYTES.

    Raises:
        Refusal: 400 for a datatype without such a field, values in another field, or bytes that are no text.
    """
    field = CONTENTS.get(tensor.datatype)
    if field is None:
        known = ", ".join(sorted(CONTENTS))
        raise bad(f"inputs[{k}].datatype", f'"{tensor.datatype}" has no typed contents; use {known}')
    contents = tensor.contents
    if len(contents.ListFields()) > 1 or (contents.ListFields() and not getattr(contents, field)):
        held = ", ".join(descriptor.name for descriptor, _ in contents.ListFields())
        raise bad(f"inputs[{k}].contents", f"holds {held}; {tensor.datatype} is in {field}")
    values = getattr(contents, field)
    return _texts(values, k) if tensor.datatype == "BYTES" else list(values)


def raw_array(tensor: Message, raw: bytes, k: int) -> NDArray[Any]:
    """The raw values of a numeric tensor, flat. Raises Refusal 400 if they do not fit its shape."""
    dtype = _RAW.get(tensor.datatype)
    if dtype is None:
        known = ", ".join(sorted((*_RAW, "BYTES")))
        raise bad(f"inputs[{k}].datatype", f'"{tensor.datatype}" is not supported; use {known}')
    shape = list(tensor.shape)
    wanted = prod(shape) * dtype.itemsize
    if min(shape, default=0) < 1 or len(raw) != wanted:
        raise bad(
            f"raw_input_contents[{k}]",
            f"has {len(raw)} bytes; {tensor.datatype} of shape {shape} has {max(wanted, 0)}",
        )
    return np.frombuffer(raw, dtype)


def raw_list(tensor: Message, raw: bytes, k: int) -> list[Any]:
    """The raw values of any tensor, as plain values; text for BYTES. Raises as ``raw_array``."""
    if tensor.datatype == "BYTES":
        return _texts(_elements(raw, k), k)
    return raw_array(tensor, raw, k).tolist()


def _elements(raw: bytes, k: int) -> list[bytes]:
    """Raw BYTES: each element behind its length in four bytes."""
    found: list[bytes] = []
    at = 0
    while at < len(raw):
        end = at + 4
        if end <= len(raw):
            end += _LENGTH.unpack_from(raw, at)[0]
        if end > len(raw) or end < at + 4:
            raise bad(f"raw_input_contents[{k}]", f"ends within element {len(found)}")
        found.append(raw[at + 4 : end])
        at = end
    return found


def _texts(values: Iterable[bytes], k: int) -> list[str]:
    made: list[str] = []
    for value in values:
        try:
            made.append(value.decode())
        except UnicodeDecodeError as error:
            raise bad(f"inputs[{k}].data[{len(made)}]", "is not UTF-8 text") from error
    return made


def raw_doubles(values: Sequence[float]) -> bytes:
    """FP64 values as raw contents."""
    return np.asarray(values, "<f8").tobytes()


def raw_texts(values: Iterable[bytes]) -> bytes:
    """BYTES values as raw contents."""
    return b"".join(part for value in values for part in (_LENGTH.pack(len(value)), value))
