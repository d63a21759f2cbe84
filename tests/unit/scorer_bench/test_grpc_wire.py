"""The generator's gRPC against grpcio's server: what it sends is gRPC, what it takes is the answer."""

from __future__ import annotations

import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import pytest

from benchmarks.scorer.generator import drive, schedule
from benchmarks.scorer.grpc_wire import PATH, Grpc, call


def echo(request: bytes, context: Any) -> bytes:
    if request == b"bad":
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no")
    if request == b"slow":
        time.sleep(0.05)
    return request[::-1]


@contextmanager
def server() -> Generator[int]:
    made = grpc.server(ThreadPoolExecutor(4))
    service, method = PATH.strip("/").split("/")
    handler = grpc.unary_unary_rpc_method_handler(echo)  # no (de)serialiser: bytes in, bytes out
    made.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    port = made.add_insecure_port("127.0.0.1:0")
    made.start()
    try:
        yield port
    finally:
        made.stop(0)


@pytest.mark.parametrize("size", [1, 3000, 40_000])
def test_a_call_brings_the_answer_whatever_its_size(size: int) -> None:
    message = bytes(range(256)) * (size // 256 + 1)
    with server() as port:
        assert call(port, message[:size]) == message[:size][::-1]


def test_a_status_other_than_ok_is_a_failure_and_the_next_call_is_fine() -> None:
    with server() as port:
        assert call(port, b"bad") is None
        result = drive([Grpc(port, [b"ab", b"bad"])], schedule("constant", 200, 0.1, 1), 2, spin=False)
    assert (len(result.latencies), result.errors) == (10, {"gRPC status": 10})


def test_a_connection_outlives_the_servers_first_window() -> None:
    """More bytes than the 65,535 a server grants at first, on one connection."""
    with server() as port:
        pool = [Grpc(port, [bytes(8000)])]
        result = drive(pool, schedule("constant", 500, 0.2, 1), 1, spin=False)
    assert (len(result.latencies), result.errors) == (100, {})
