"""The watches' memory: listed once, then changes; lost connections and expired versions are made good."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from serinus.kube.api import ApiError, UnreachableError
from serving.rollout.kube.names import APPROVAL, POD, SELDON, SELDON_ID, Kind
from serving.rollout.kube.watch import OWN_NAME, Watch

pytestmark = pytest.mark.anyio

Object = dict[str, Any]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def pod(name: str, owner: str | None = "fraud", version: int = 1) -> Object:
    labels = {SELDON_ID: owner} if owner else {}
    metadata = {"name": name, "namespace": "ns", "labels": labels, "resourceVersion": str(version)}
    return {"metadata": metadata | {"managedFields": [{"manager": "m", "fieldsV1": {"f:status": {}}}]}}


class Script:
    """An API server that lists and streams what it is told to."""

    def __init__(self, lists: list[Any], streams: list[Any]) -> None:
        self.lists = lists
        self.streams = streams
        self.since: list[str] = []
        self.done = asyncio.Event()

    async def list(self, kind: Kind, namespace: str | None, selector: str = "") -> Object:
        step = self.lists.pop(0)
        if isinstance(step, Exception):
            raise step
        return {"metadata": {"resourceVersion": "10"}, "items": step}

    async def watch(
        self, kind: Kind, namespace: str | None, selector: str, since: str, seconds: int
    ) -> AsyncGenerator[tuple[str, Object]]:
        self.since.append(since)
        if not self.streams:
            self.done.set()
            await asyncio.Event().wait()
        for step in self.streams.pop(0):
            if isinstance(step, Exception):
                raise step
            yield step


async def watched(script: Script, kind: Kind = POD, key: str = SELDON_ID) -> tuple[Watch, list[str]]:
    watch = Watch(script, kind, None, "", key)  # type: ignore[arg-type]
    heard: list[str] = []
    watch.changed = lambda found: heard.append(found["metadata"]["name"])
    running = asyncio.create_task(watch.run())
    async with asyncio.timeout(20):
        await script.done.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return watch, heard


def names(watch: Watch, owner: str = "fraud") -> list[str]:
    return [found["metadata"]["name"] for found in watch.of("ns", owner)]


async def test_what_is_listed_added_changed_and_deleted_is_remembered_so() -> None:
    moved = pod("a", "credit", 12)
    script = Script([[pod("a"), pod("b")]], [[("ADDED", pod("c", version=11)), ("MODIFIED", moved)], []])
    watch, heard = await watched(script)
    assert (names(watch), names(watch, "credit"), heard) == (["b", "c"], ["a"], ["c", "a"])
    assert script.since == ["10", "12", "12"]  # a stream that ended is taken up where it ended
    assert "managedFields" not in next(watch.of("ns", "credit"))["metadata"]


async def test_a_deletion_and_a_bookmark() -> None:
    bookmark = {"metadata": {"resourceVersion": "40"}}
    script = Script([[pod("a"), pod("b")]], [[("DELETED", pod("a", version=11)), ("BOOKMARK", bookmark)]])
    watch, heard = await watched(script)
    assert (names(watch), heard, script.since[-1]) == (["b"], ["a"], "40")


@pytest.mark.parametrize(
    "fault",
    [
        UnreachableError("connection reset"),
        ApiError(410, "Expired", "too old"),
        ("ERROR", {"code": 410, "reason": "Expired", "message": "too old"}),
        ("ADDED", {}),
        ValueError("the token's file is empty for a moment"),
    ],
)
async def test_after_a_fault_everything_is_listed_again(fault: Any) -> None:
    script = Script([[pod("a")], [pod("b")]], [[fault]])
    watch, _ = await watched(script)
    assert names(watch) == ["b"]


async def test_a_server_that_does_not_list_is_asked_again() -> None:
    script = Script([UnreachableError("down"), ApiError(403, "Forbidden", "no"), [pod("a")]], [])
    watch, _ = await watched(script)
    assert names(watch) == ["a"]


async def test_some_kinds_are_found_by_their_own_name_or_what_they_speak_of() -> None:
    deployment = {"metadata": {"name": "fraud", "namespace": "ns", "resourceVersion": "1"}}
    watch, _ = await watched(Script([[deployment]], []), SELDON, OWN_NAME)
    assert names(watch) == ["fraud"]
    approval = {
        "metadata": {"name": "x", "namespace": "ns", "resourceVersion": "1"},
        "spec": {"rollout": "fraud-4"},
    }
    watch, _ = await watched(Script([[approval]], []), APPROVAL, "rollout")
    assert names(watch, "fraud-4") == ["x"]


async def test_a_server_that_ends_every_watch_at_once_is_asked_less_and_less_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr("serinus.kube.follow.pause", sleep)
    monkeypatch.setattr("serinus.kube.follow.random.uniform", lambda low, high: high)
    await watched(Script([[pod("a")]], [[] for _ in range(8)]))
    assert waited == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]
