"""Outcomes: acknowledged when they are as safe as was asked for."""

from __future__ import annotations

import asyncio
import errno
import json
import os
from collections.abc import Awaitable
from pathlib import Path

import pytest

from serinus.events import Feedback
from serving.scorer.feedback import FeedbackFile, keep
from serving.scorer.refusal import Refusal
from tests.unit.scorer.support import rig


def outcome(request_id: str) -> Feedback:
    return Feedback(request_id=request_id, time="2026-09-21T10:00:00Z", predictor="canary", reward=1.0)


def ids(path: Path) -> list[str]:
    return [json.loads(line)["request_id"] for line in path.read_text().splitlines() if line]


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    synced: list[int] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(descriptor)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return synced


def test_under_strict_one_sync_serves_all_who_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "feedback.jsonl"
    file = FeedbackFile(path, durability="strict")
    synced = counted(monkeypatch)

    async def story() -> None:
        waiting = [keep(file, outcome(str(i))) for i in range(20)]
        assert synced == []
        await asyncio.gather(*(w for w in waiting if isinstance(w, Awaitable)))

    asyncio.run(story())
    assert len(synced) == 1
    assert ids(path) == [str(i) for i in range(20)]
    file.close()


def test_under_relaxed_it_is_written_at_once_and_synced_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "feedback.jsonl"
    file = FeedbackFile(path, interval=0.001)
    synced = counted(monkeypatch)

    async def story() -> None:
        for i in range(3):
            assert keep(file, outcome(str(i))) is None
        assert ids(path) == ["0", "1", "2"]
        async with asyncio.timeout(60):
            while not synced:
                await asyncio.sleep(0.001)

    asyncio.run(story())
    assert len(synced) == 1
    file.close()


def test_a_disk_that_fails_is_a_503_and_what_follows_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "feedback.jsonl"
    file = FeedbackFile(path, durability="strict")
    real = os.write

    def half(descriptor: int, data: bytes) -> int:
        return real(descriptor, data[: len(data) // 2])

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async def story() -> None:
        for name, fault in (("write", half), ("fsync", full)):
            with monkeypatch.context() as patch:
                patch.setattr(os, name, fault)
                waiting = keep(file, outcome("lost"))
                assert waiting is not None
                with pytest.raises(Refusal, match="No space left") as refused:
                    await waiting
                assert refused.value.status == 503
            waiting = keep(file, outcome("kept"))
            assert waiting is not None
            await waiting

    asyncio.run(story())
    whole = [line for line in path.read_text().splitlines() if line.endswith("}")]
    assert [json.loads(line)["request_id"] for line in whole].count("kept") == 2
    file.close()


def test_the_answer_to_an_outcome_waits_for_the_disk_under_strict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = rig()
    made.service._feedback = FeedbackFile(tmp_path / "feedback.jsonl", durability="strict")
    synced = counted(monkeypatch)
    answer = made.call("POST", "/send-feedback", b'{"reward":1}', seldon_puid="a")
    assert (answer.status, len(synced)) == (200, 1)
    assert len(made.payloads.kept) == 1
    monkeypatch.setattr(
        os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.EIO, "Input/output error"))
    )
    answer = made.call("POST", "/send-feedback", b'{"reward":1}', seldon_puid="b")
    assert answer.status == 503
    assert "Input/output error" in answer.json["status"]["info"]
    assert len(made.payloads.kept) == 1
