"""Senders that are slow, stuck or gone give back what they hold, and keep nobody out meanwhile."""

from __future__ import annotations

import socket
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.local.scorer.kafka.archive import ArchiveProcess
from tests.unit.archive.logs import chain, content

pytestmark = pytest.mark.local

HEAD = b"POST /decisions?log=m-slow HTTP/1.1\r\nhost: a\r\ncontent-length: 4000\r\n\r\n"
PATIENCE = "4s"
"""Its clock starts when a connection is accepted: long enough that a busy machine sends within it."""
ASK = b"GET /health/live HTTP/1.1\r\nhost: a\r\n\r\n"


def live(connection: socket.socket) -> None:
    connection.sendall(ASK)
    said = b""
    while not said.endswith(b"}"):
        block = connection.recv(65536)
        assert block, f"it closed the connection after {said!r}"
        said += block
    assert said.startswith(b"HTTP/1.1 200 ")


def closed(connection: socket.socket) -> bytes:
    """What the server says until it closes; it does within the connection's time."""
    said = b""
    while block := connection.recv(65536):
        said += block
    return said


def post(url: str, lines: list[bytes]) -> int:
    request = urllib.request.Request(url, data=b"\n".join(lines), method="POST")
    with urllib.request.urlopen(request, timeout=60) as answer:
        return int(answer.status)


@pytest.mark.parametrize("sent", [HEAD + b'{"seq":1', HEAD], ids=["amid the body", "before the body"])
def test_half_open_senders_keep_no_place(tmp_path: Path, sent: bytes) -> None:
    lines = chain(30)
    with ArchiveProcess(tmp_path / "home", "--read-timeout", "1h") as archive, ExitStack() as open_ones:
        for _ in range(40):
            stuck = open_ones.enter_context(socket.create_connection(("127.0.0.1", archive.port), 60))
            stuck.sendall(sent)
        assert post(f"{archive.url}/decisions?log=m-pod", lines) == 200
        assert content(tmp_path / "home" / "decisions", "m-pod") == lines


@pytest.mark.parametrize(
    ("sent", "told"),
    [(HEAD + b'{"seq":1', b"408"), (HEAD, b"408"), (HEAD[:30], b""), (b"", b"")],
    ids=["amid the body", "before the body", "amid the head", "before the head"],
)
def test_who_is_silent_for_too_long_is_sent_away_and_told(tmp_path: Path, sent: bytes, told: bytes) -> None:
    log = tmp_path / "told"
    with (
        ArchiveProcess(tmp_path / "home", "--read-timeout", PATIENCE, told=log) as archive,
        socket.create_connection(("127.0.0.1", archive.port), 60) as stuck,
    ):
        stuck.sendall(sent)
        answer = closed(stuck)
        assert answer[9:12] == told
        assert archive.figure("serinus_archive_refused_total", reason="slow") == bool(told)
        assert ("SRN-ARCHIVE-011" in log.read_text()) == bool(told)
        assert list((tmp_path / "home" / "decisions").iterdir()) == []


def test_a_connection_that_is_kept_may_rest_between_requests_but_not_amid_one(tmp_path: Path) -> None:
    with (
        ArchiveProcess(tmp_path / "home", "--read-timeout", PATIENCE) as archive,
        socket.create_connection(("127.0.0.1", archive.port), 60) as kept,
        socket.create_connection(("127.0.0.1", archive.port), 60) as stuck,
    ):
        live(kept)
        live(stuck)
        stuck.sendall(ASK[:20])
        assert closed(stuck) == b""
        live(kept)
