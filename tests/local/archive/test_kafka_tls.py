"""Why a topic is not to be had: what the client said of its connections stands in the error."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from serinus.errors import SerinusError
from serinus.kafka_address import Address
from serving.archive.board import Board
from serving.archive.kafka import KafkaSource
from serving.archive.places import Places
from tests.support.certs import Authority
from tests.support.ports import refusing

pytestmark = pytest.mark.local


@contextmanager
def listening(context: ssl.SSLContext) -> Generator[int]:
    """A server that shakes hands and says nothing more; its port."""
    held: list[socket.socket] = []

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = server.accept()
                connection.settimeout(30)
                try:
                    held.append(context.wrap_socket(connection, server_side=True))
                except OSError:
                    connection.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(60)
            for connection in held:
                connection.close()


def problem(tmp_path: Path, port: int, enough: Callable[[str], bool], **options: str) -> SerinusError:
    """What a look at the topic raises, once it says what is waited for: the client tells of it when it pleases."""
    address = Address(f"127.0.0.1:{port}", "decisions", 0.5, dict(options))
    source = KafkaSource(address, Places(tmp_path / "places.json"), Board())
    end = time.monotonic() + 60
    try:
        while True:
            with pytest.raises(SerinusError) as error:
                source.read()
            if enough(str(error.value)) or time.monotonic() > end:
                return error.value
    finally:
        source.close()


def test_a_certificate_that_is_not_trusted_is_named_as_the_reason(tmp_path: Path) -> None:
    ours, foreign = Authority(tmp_path), Authority(tmp_path, "foreign")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*ours.sign("broker"))
    tls = {"security.protocol": "SSL", "ssl.ca.location": str(foreign.ca)}
    with listening(context) as port:
        error = problem(tmp_path, port, lambda said: "certificate verify failed" in said, **tls)
    assert error.code == "SRN-ARCHIVE-004"
    assert "certificate verify failed" in error.what
    assert "ms in state" not in error.what  # what differs at each try
    assert "KafkaError{" not in error.what


def test_nobody_who_listens_is_another_reason_than_a_certificate(tmp_path: Path) -> None:
    with refusing() as port:
        error = problem(tmp_path, port, lambda said: "Connection refused" in said)
    assert error.code == "SRN-ARCHIVE-004"
    assert "Connection refused" in error.what
    assert "certificate" not in error.what
