"""Notifications: told to those who asked, tried again, never in the engine's way."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.rollout.adapters.webhook import NotifyingJournal, Webhooks
from serving.rollout.memory import MemoryJournal
from serving.rollout.spec import Notification
from serving.rollout.status import Phase

from .world import World, small_spec

pytestmark = pytest.mark.anyio


class Receiver:
    """Answers as told, and keeps what it was told."""

    def __init__(self, *codes: int) -> None:
        self.codes = list(codes)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return httpx.Response(self.codes.pop(0) if self.codes else 200)

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(request.content) for request in self.requests]


async def no_wait(seconds: float) -> None:
    """Time is not what is tested."""


async def told(
    receiver: Receiver, *notifications: Notification, channels: Path | None = None
) -> MemoryJournal:
    """Play a rollout whose candidate crashes, to those who asked to hear of it."""
    client = httpx.AsyncClient(transport=httpx.MockTransport(receiver))
    webhooks = Webhooks(channels, client=client, sleep=no_wait)
    world = World(small_spec())
    inner = world.journal
    world.journal = NotifyingJournal(inner, notifications, webhooks)  # type: ignore[assignment]
    await world.begin()
    await world.play(5)
    world.predictors.crash("v2")
    status = await world.play(10)
    assert status.phase is Phase.ROLLED_BACK
    await webhooks.close()
    return inner


async def test_everyone_hears_every_turn_once() -> None:
    receiver = Receiver()
    journal = await told(receiver, Notification(url="https://a/hook"))
    assert [body["reason"] for body in receiver.bodies] == journal.reasons
    assert receiver.bodies[-1]["phase"] == "RolledBack"
    keys = [request.headers["Idempotency-Key"] for request in receiver.requests]
    assert len(set(keys)) == len(keys)


async def test_one_may_ask_for_some_phases_only_and_for_slacks_form() -> None:
    receiver = Receiver()
    await told(receiver, Notification(url="https://a/hook", format="slack", phases=("RolledBack",)))
    (body,) = receiver.bodies
    assert set(body) == {"text"}
    assert "*small*: RolledBack at 0 %" in body["text"]


async def test_a_post_that_fails_is_tried_again_under_the_same_key() -> None:
    receiver = Receiver(503, 503)
    await told(receiver, Notification(url="https://a/hook", phases=("RolledBack",)))
    assert len(receiver.requests) == 3
    assert len({request.headers["Idempotency-Key"] for request in receiver.requests}) == 1


async def test_an_address_that_never_answers_is_given_up_and_stops_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR):
        await told(Receiver(*[500] * 100), Notification(url="https://a/hook", phases=("RolledBack",)))
    assert "given up" in caplog.text


async def test_a_channel_holds_its_address_and_keeps_it_secret(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "risk").write_text("https://hooks.example/secret\n")
    receiver = Receiver(503)
    await told(receiver, Notification(channel="risk", phases=("RolledBack",)), channels=tmp_path)
    assert str(receiver.requests[-1].url) == "https://hooks.example/secret"
    assert "secret" not in caplog.text
    await told(Receiver(), Notification(channel="none", phases=("RolledBack",)), channels=tmp_path)
    assert "notification none of r1 given up" in caplog.text


async def test_a_plain_address_gets_nothing_where_that_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "risk").write_text("http://hooks.example/secret\n")
    (tmp_path / "ops").write_text("https://hooks.example/ops\n")
    wanted = [Notification(channel=name, phases=("RolledBack",)) for name in ("risk", "ops")]
    for policy, hosts in (("refuse", ["https"]), ("warn", ["http", "https"])):
        monkeypatch.setenv("SERINUS_PLAIN_HTTP", policy)
        receiver = Receiver()
        await told(receiver, *wanted, channels=tmp_path)
        assert [request.url.scheme for request in receiver.requests] == hosts
    assert "notification risk of r1 not sent: SRN-TLS-003" in caplog.text
    assert "hooks.example" not in caplog.text


async def test_a_channel_that_is_no_text_is_given_up_and_stops_no_other(tmp_path: Path) -> None:
    (tmp_path / "broken").write_bytes(b"\xff\xfe")
    (tmp_path / "risk").write_text("https://hook", encoding="utf-8")
    receiver = Receiver()
    wanted = (Notification(channel="broken"), Notification(channel="risk", phases=("RolledBack",)))
    await told(receiver, *wanted, channels=tmp_path)
    assert [body["phase"] for body in receiver.bodies] == ["RolledBack"]
