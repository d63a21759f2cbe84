"""Laws of the gRPC codecs: what goes in comes out, and whatever comes in is read or refused."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.scorer import v1
from serving.scorer.grpc import inference, seldon
from serving.scorer.grpc import messages as pb
from serving.scorer.grpc.body import parse
from serving.scorer.grpc.tensors import raw_doubles, raw_texts
from serving.scorer.grpc.values import plain, put
from serving.scorer.refusal import Refusal
from serving.scorer.rows import Parsed
from tests.unit.scorer.support import GOOD, NAMES, scorer
from tests.unit.scorer_grpc.support import columns, seldon_rows

NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
PLAIN = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(PLAIN)
def test_a_plain_value_survives_protobuf(content: Any) -> None:
    message = pb.SeldonMessage()
    put(message.jsonData, content)
    back = pb.SeldonMessage.FromString(message.SerializeToString()).jsonData
    assert plain(back) == content


ROWS = st.lists(
    st.tuples(
        st.floats(0, 1000),
        st.integers(0, 23),
        st.sampled_from(["chip", "online", "swipe"]),
        st.none() | st.floats(0, 500),
        st.floats(0, 1),
    ).map(list),
    min_size=1,
    max_size=3,
)


def vectors(parsed: Parsed) -> bytes:
    return b"".join(struct.pack("<5d", *row) for row in parsed.rows)


@given(ROWS)
@settings(deadline=None)
def test_a_row_becomes_the_same_vector_however_it_comes(rows: list[list[Any]]) -> None:
    vectorizer = scorer().vectorizer
    wanted = vectors(v1.decode(json.dumps({"data": {"ndarray": rows}}).encode(), vectorizer))
    for message in (seldon_rows(*rows), seldon_rows(*[row[::-1] for row in rows], names=NAMES[::-1])):
        body = parse(pb.SeldonMessage, message.SerializeToString())
        assert vectors(seldon.decode(body, vectorizer)) == wanted
    typed = columns(*rows)
    assert (
        vectors(inference.TYPED.decode(parse(pb.ModelInferRequest, typed.SerializeToString()), vectorizer))
        == wanted
    )
    for tensor in typed.inputs:
        contents = tensor.contents
        typed.raw_input_contents.append(
            raw_texts(contents.bytes_contents)
            if tensor.datatype == "BYTES"
            else raw_doubles(contents.fp64_contents or contents.int64_contents)
        )
        tensor.ClearField("contents")
        tensor.datatype = "FP64" if tensor.datatype == "INT64" else tensor.datatype
    assert (
        vectors(inference.RAW.decode(parse(pb.ModelInferRequest, typed.SerializeToString()), vectorizer))
        == wanted
    )


def read_or_refused(kind: Any, codec: Any, raw: bytes) -> None:
    """Anything but a result or a refusal is a fault, and fails the test."""
    try:
        body = parse(kind, raw)
        assert isinstance(codec.payload(body), bytes)
        codec.decode(body, scorer().vectorizer)
    except Refusal as refusal:
        if not 400 <= refusal.status < 500:
            raise


CODECS = [
    pytest.param(pb.SeldonMessage, seldon, seldon_rows(GOOD, names=NAMES), id="seldon"),
    pytest.param(pb.ModelInferRequest, inference.TYPED, columns(GOOD, GOOD), id="typed"),
    pytest.param(pb.ModelInferRequest, inference.RAW, columns(GOOD), id="raw"),
]


@pytest.mark.parametrize(("kind", "codec", "message"), CODECS)
@given(raw=st.binary(max_size=200))
@settings(deadline=None)
def test_arbitrary_bytes_are_read_or_refused(kind: Any, codec: Any, message: Any, raw: bytes) -> None:
    read_or_refused(kind, codec, raw)


@pytest.mark.parametrize(("kind", "codec", "message"), CODECS)
@given(place=st.integers(0, 10_000), byte=st.integers(0, 255), cut=st.integers(0, 3))
@settings(deadline=None, max_examples=150)
def test_a_damaged_message_is_read_or_refused(
    kind: Any, codec: Any, message: Any, place: int, byte: int, cut: int
) -> None:
    raw = bytearray(message.SerializeToString())
    raw[place % len(raw)] = byte
    read_or_refused(kind, codec, bytes(raw[: len(raw) - cut]))
