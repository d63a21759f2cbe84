"""A sender beside a scorer waits for its peer in bounded time, however that one's bytes drip."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from serinus.shipping import HttpChannel, Untaken
from tests.support.certs import Authority
from tests.support.dripping import PACE, answering, peer, reading

SAID = b'{"unreadable":3}'
HEAD = b"HTTP/1.1 200 OK\r\nX-Filler: " + b"x" * 60 + b"\r\nContent-Length: 16\r\n\r\n"
WHOLE = HEAD + SAID
REFUSED = b"HTTP/1.1 503 Later\r\nContent-Length: 400\r\n\r\n" + b"later " * 60
ASKED = b"{}\n"


@pytest.fixture(params=["plain", "tls"])
def theirs(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> ssl.SSLContext | None:
    """The peer's context; the sender's is what the environment names."""
    if request.param == "plain":
        return None
    authority = Authority(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.sign("archive"))
    monkeypatch.setenv("SERINUS_TLS_CA", str(authority.ca))
    return context


@pytest.mark.parametrize("at_once", [0, 30, len(HEAD)], ids=["from the first byte", "headers", "the body"])
def test_an_answer_that_drips_is_none(theirs: ssl.SSLContext | None, at_once: int) -> None:
    body = SAID if at_once < len(HEAD) else b" " * 60 + SAID
    whole = HEAD.replace(b"16", b"%d" % len(body)) + body
    with peer(answering(whole, at_once, PACE, asked=ASKED), theirs) as url, pytest.raises(Untaken):
        HttpChannel(url, 0.4).send("decisions", "m-pod", [b"{}"])


def test_who_reads_slowly_has_not_taken_it(theirs: ssl.SSLContext | None) -> None:
    with peer(reading(WHOLE, asked=ASKED), theirs) as url, pytest.raises(Untaken):
        HttpChannel(url, 0.4).send("decisions", "m-pod", [b" " * (16 << 20), b"{}"])


def test_of_a_refusal_that_drips_the_status_is_told(theirs: ssl.SSLContext | None) -> None:
    head = REFUSED.index(b"later ")
    with (
        peer(answering(REFUSED, head, PACE, asked=ASKED), theirs) as url,
        pytest.raises(Untaken, match="^503"),
    ):
        HttpChannel(url, 5.0).send("decisions", "m-pod", [b"{}"])


def test_an_answer_in_single_bytes_is_one_where_it_comes_in_time(theirs: ssl.SSLContext | None) -> None:
    with peer(answering(WHOLE, 0, 0, asked=ASKED), theirs) as url:
        assert HttpChannel(url, 60).send("decisions", "m-pod", [b"{}"]) == 3
