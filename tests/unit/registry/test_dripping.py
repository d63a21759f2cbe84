"""A record keeper's answer is waited for in bounded time, however its bytes drip, and however slowly it reads."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from serinus.registry.sending import Answer, HttpChannel, Unreached
from tests.support.certs import Authority
from tests.support.dripping import PACE, answering, peer, reading

SAID = b'{"model":"small"}'
HEAD = b"HTTP/1.1 201 Created\r\nX-Filler: " + b"x" * 60 + b"\r\nContent-Length: 17\r\n\r\n"
WHOLE = HEAD + SAID
UNTIL_CLOSED = b"HTTP/1.1 201 Created\r\n\r\n" + SAID
REFUSED = b"HTTP/1.1 503 Later\r\nContent-Length: 17\r\n\r\n" + SAID


@pytest.fixture(params=["plain", "tls"])
def contexts(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[ssl.SSLContext | None, ssl.SSLContext]:
    """The keeper's, and the caller's."""
    authority = Authority(tmp_path)
    theirs = None
    if request.param == "tls":
        theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        theirs.load_cert_chain(*authority.sign("keeper"))
    return theirs, ssl.create_default_context(cafile=str(authority.ca))


def post(url: str, tls: ssl.SSLContext, tmp_path: Path, body: bytes, timeout: float) -> Answer:
    token = tmp_path / "token"
    token.write_text("a-token-of-some-length")
    return HttpChannel(url, token, tls).post(body, timeout)


@pytest.mark.parametrize(
    ("whole", "at_once"),
    [(WHOLE, 0), (WHOLE, 30), (b"HTTP/1.1 100 Continue\r\n\r\n" * 9 + WHOLE, 0), (UNTIL_CLOSED, 24)],
    ids=["from the first byte", "headers", "before the answer", "a body of no length"],
)
def test_an_answer_that_drips_is_none(
    tmp_path: Path, contexts: tuple[ssl.SSLContext | None, ssl.SSLContext], whole: bytes, at_once: int
) -> None:
    theirs, ours = contexts
    with peer(answering(whole, at_once, PACE), theirs) as url, pytest.raises(Unreached) as caught:
        post(url, ours, tmp_path, b"{}", 0.4)
    assert not caught.value.final
    assert str(caught.value)


def test_of_a_refusal_that_drips_the_status_counts(
    tmp_path: Path, contexts: tuple[ssl.SSLContext | None, ssl.SSLContext]
) -> None:
    theirs, ours = contexts
    # Its head has to come in the time that its body does not: long enough for a busy machine.
    with peer(answering(REFUSED, len(REFUSED) - len(SAID), 1.0), theirs) as url:
        assert post(url, ours, tmp_path, b"{}", 4.0) == Answer(status=503, body=b"")


def test_who_reads_slowly_has_not_taken_it(
    tmp_path: Path, contexts: tuple[ssl.SSLContext | None, ssl.SSLContext]
) -> None:
    theirs, ours = contexts
    with peer(reading(WHOLE), theirs) as url, pytest.raises(Unreached):
        post(url, ours, tmp_path, b" " * (16 << 20) + b"{}", 0.4)


@pytest.mark.parametrize("whole", [WHOLE, UNTIL_CLOSED])
def test_an_answer_in_single_bytes_is_one_where_it_comes_in_time(
    tmp_path: Path, contexts: tuple[ssl.SSLContext | None, ssl.SSLContext], whole: bytes
) -> None:
    theirs, ours = contexts
    with peer(answering(whole, 0, 0), theirs) as url:
        assert post(url, ours, tmp_path, b"{}", 60) == Answer(status=201, body=SAID)
