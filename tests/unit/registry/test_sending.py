"""Telling a record keeper of a version: tried for a bounded time, refused plainly, at no cost for what is here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from serinus.errors import SerinusError
from serinus.home import Home
from serinus.registry.registration import Receipt, Registration, read_registration
from serinus.registry.sending import (
    SECRETS,
    TOKEN,
    URL,
    Answer,
    MemoryChannel,
    Unreached,
    channel_to,
    send,
)
from serinus.tls import PLAIN
from tests.support.registrations import registration

PLACE = "https://records.example:8080"


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Registration:
    return registration(Home(tmp_path_factory.mktemp("builder")))


class Clock:
    """Passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def taken(told: Registration, status: int = 201, **fields: Any) -> Answer:
    receipt = Receipt(
        model="small", version=1, digest=told.manifest.digest(), created=status == 201, stage="validated"
    )
    return Answer(status=status, body=msgspec.json.encode(msgspec.structs.replace(receipt, **fields)))


def says(status: int, code: str = "SRN-HOME-001", what: str = "the disk is full") -> Answer:
    return Answer(status=status, body=msgspec.json.encode({"code": code, "what": what, "hint": "Free some."}))


def test_it_is_sent_as_a_keeper_reads_it(told: Registration) -> None:
    channel, clock = MemoryChannel(taken(told)), Clock()
    assert send(told, channel, clock=clock, sleep=clock.sleep).created
    assert [read_registration(body) for body in channel.sent] == [told]
    assert clock.slept == []


@pytest.mark.parametrize(
    "trouble", [Unreached("refused"), *map(says, (408, 425, 429, 500, 502, 503, 504))], ids=str
)
def test_a_keeper_that_is_away_or_cannot_write_now_is_asked_again(
    told: Registration, trouble: Answer | Unreached
) -> None:
    channel, clock = MemoryChannel(trouble, trouble, taken(told, 200)), Clock()
    assert send(told, channel, clock=clock, sleep=clock.sleep).created is False
    assert clock.slept == [0.5, 1.0]
    assert len(set(channel.sent)) == 1


@pytest.mark.parametrize(
    ("trouble", "why"),
    [
        (Unreached("Connection refused"), "Connection refused"),
        (says(503), "503, SRN-HOME-001: the disk is full"),
    ],
)
def test_it_ends_in_bounded_time_and_says_what_to_do(
    told: Registration, trouble: Answer | Unreached, why: str
) -> None:
    channel, clock = MemoryChannel(trouble, url=PLACE), Clock()
    with pytest.raises(SerinusError, match=why) as caught:
        send(told, channel, patience=60, clock=clock, sleep=clock.sleep)
    assert sum(clock.slept) == 60
    assert max(clock.slept) == 10
    error = caught.value
    assert (error.code, error.where) == ("SRN-RECORDS-011", PLACE)
    assert f"serinus registry send small 1 --to {PLACE}" in error.hint
    assert "stays registered here" in error.hint


@pytest.mark.parametrize("status", [301, 307, 400, 401, 403, 404, 409, 413, 422])
def test_what_is_refused_is_not_tried_again(told: Registration, status: int) -> None:
    channel, clock = MemoryChannel(says(status, "SRN-REGISTRY-004", "it exists already")), Clock()
    with pytest.raises(SerinusError, match=f"{status}, SRN-REGISTRY-004: it exists already") as caught:
        send(told, channel, clock=clock, sleep=clock.sleep)
    assert caught.value.code == "SRN-RECORDS-012"
    assert len(channel.sent) == 1


def test_a_certificate_of_somebody_else_is_not_tried_again(told: Registration) -> None:
    channel = MemoryChannel(Unreached("certificate verify failed", final=True))
    with pytest.raises(SerinusError, match=r"SRN-RECORDS-011.*certificate verify failed"):
        send(told, channel, clock=Clock(), sleep=Clock().sleep)
    assert len(channel.sent) == 1


@pytest.mark.parametrize(
    "body", [b"", b"<html>welcome</html>", b"{}", b"[]", b'{"model":"small"}'], ids=lambda body: body.decode()
)
def test_who_answers_otherwise_is_no_record_keeper(told: Registration, body: bytes) -> None:
    with pytest.raises(SerinusError, match="SRN-RECORDS-012"):
        send(told, MemoryChannel(Answer(status=200, body=body)))


def test_a_receipt_for_another_bundle_is_none(told: Registration) -> None:
    with pytest.raises(SerinusError, match="did not confirm the digest"):
        send(told, MemoryChannel(taken(told, digest="sha256:" + "00" * 32)))


# --- where to, and with which token -------------------------------------------------------


def token(tmp_path: Path, name: str, text: str = "a-token-of-some-length") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def test_nobody_named_is_nobody_told(tmp_path: Path) -> None:
    assert channel_to(environment={}) is None
    assert channel_to(environment={URL: ""}, token=tmp_path / "none") is None


@pytest.mark.parametrize(
    ("named", "chosen"),
    [
        (("flag", "variable", "secret", "account"), "flag"),
        (("variable", "secret", "account"), "variable"),
        (("secret", "account"), "secret"),
        (("account",), "account"),
    ],
)
def test_the_token_that_is_named_closest_is_shown(
    tmp_path: Path, named: tuple[str, ...], chosen: str
) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    env = {URL: PLACE, SECRETS: str(secrets)}
    files = {name: token(tmp_path, name) for name in named if name != "secret"}
    if "secret" in named:
        files["secret"] = token(secrets, "token")
    if "variable" in named:
        env[TOKEN] = str(files["variable"])
    channel = channel_to(token=files.get("flag"), environment=env, account=tmp_path / "account")
    assert channel is not None
    assert channel._token == files[chosen]


@pytest.mark.parametrize("text", [None, "", "\n", "two words", "ümlaut-in-a-token"])
def test_without_a_token_that_can_be_shown_nothing_is_begun(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "token" if text is None else token(tmp_path, "token", text)
    with pytest.raises(SerinusError, match="SRN-RECORDS-010"):
        channel_to(PLACE, file, environment={})
    with pytest.raises(SerinusError, match="there is no token to show"):
        channel_to(PLACE, environment={}, account=tmp_path / "none")


@pytest.mark.parametrize(
    "url",
    [
        "records", "ftp://records", "https://", "https://u:p@records", "https://records?x=1", "https://records#x",
        "https://[::1", "https://records:0x1", "https://records:99999",
    ],
)  # fmt: skip
def test_what_is_no_url_is_refused_without_its_secrets(tmp_path: Path, url: str) -> None:
    with pytest.raises(SerinusError, match="SRN-RECORDS-010") as caught:
        channel_to(url, token(tmp_path, "token"), flag="--to", environment={})
    assert caught.value.where == "--to"
    assert ":p@" not in str(caught.value)


def test_plain_http_beyond_this_machine_is_refused_where_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PLAIN, "refuse")
    with pytest.raises(SerinusError, match="SRN-TLS-003"):
        channel_to("http://records.example:8080", token(tmp_path, "token"))
    assert channel_to("http://127.0.0.1:8080", token(tmp_path, "token"))
