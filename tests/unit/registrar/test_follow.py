"""What is asked of the API server, and when: by an API server that answers as it is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from types import SimpleNamespace

import httpx
import pytest

from serinus.kube import follow
from serinus.kube.api import Api
from serving.registrar.follow import Desk, Follower
from serving.registrar.keeper import Keeper
from serving.registrar.memory import MemoryBook
from serving.registrar.records import Known, Record

from .cluster import BEGAN, CANARY, NEW, Object, approval, rollout

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Book(MemoryBook):
    """Tells of each record."""

    def __init__(self) -> None:
        super().__init__({NEW: Known(model="fraud", version=2, built_by="ann")})
        self.written = asyncio.Event()
        self.failure: Exception | None = None
        self._loop = asyncio.get_running_loop()

    def write(self, record: Record) -> None:
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        super().write(record)
        self._loop.call_soon_threadsafe(self.written.set)


class Server:
    """Lists what it holds; a watch tells nothing and stays open."""

    def __init__(self, *held: Object) -> None:
        self.held = held
        self.asked: list[str] = []
        self.let_in = asyncio.Event()
        self.let_in.set()

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        kind = request.url.path.rpartition("/")[2]
        selector = request.url.params.get("fieldSelector")
        if request.url.params.get("watch"):
            await asyncio.Event().wait()
        if kind == "modelrollouts" and selector is None:
            await self.let_in.wait()
        self.asked.append(f"{request.url.path} {selector or ''}".strip())
        found = [
            one
            for one in self.held
            if ("target" in one["spec"]) == (kind == "modelrollouts")
            and ("role" in one["spec"]) == (kind == "rolloutapprovals")
            and selector in (None, f"metadata.name={one['metadata']['name']}")
        ]
        body = {"items": found, "metadata": {"resourceVersion": "1"}}
        return httpx.Response(200, content=json.dumps(body).encode())


def api_of(server: Server) -> Api:
    config = SimpleNamespace(
        host="http://k", verify_ssl=False, ssl_ca_cert=None, get_api_key_with_prefix=lambda name: None
    )
    return Api(config, httpx.MockTransport(server))


async def until(book: Book, so: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not so():
            await book.written.wait()
            book.written.clear()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    asked: list[float] = []

    async def pause(seconds: float) -> None:
        asked.append(seconds)
        await asyncio.sleep(0)

    monkeypatch.setattr(follow, "pause", pause)
    return asked


def decided(book: Book) -> list[tuple[str, str]]:
    return [(r.action, r.subject) for r in book.records if "word" in r.details]


async def test_no_word_is_judged_before_the_rollouts_are_listed_nor_without_asking_for_its_own(
    pauses: list[float],
) -> None:
    server, book = Server(rollout(CANARY), approval(), approval(uid="w-2", about="gone")), Book()
    server.let_in.clear()
    api = api_of(server)
    follower = Follower(api, Desk(Keeper(book, clock=lambda: BEGAN + 60)))
    await follower.start()
    while len(server.asked) < 2:  # the words are listed, and wait
        await asyncio.sleep(0)
    assert book.records == []
    server.let_in.set()
    await until(book, lambda: len(decided(book)) == 2)
    assert sorted(decided(book)) == [
        ("approval-refused", "modelrollout/cards/gone"),
        ("approve", "fraud/2"),
    ]
    looks = [what for what in server.asked if "metadata.name" in what]
    rollouts = "/apis/serinus.io/v1alpha1/namespaces/cards/modelrollouts"
    assert sorted(looks) == [f"{rollouts} metadata.name=fraud-2", f"{rollouts} metadata.name=gone"]
    assert pauses == []
    await follower.stop()


@pytest.mark.parametrize(("age", "waits"), [(0.25, [0.75]), (1.0, []), (-60.0, [2.0])])
async def test_a_word_of_this_second_is_judged_in_the_next(
    pauses: list[float], age: float, waits: list[float]
) -> None:
    """A rollout that is made later in it would have the same stamp. Clocks that differ hold nothing up."""
    server, book = Server(rollout(CANARY), approval(at=BEGAN + 2)), Book()
    follower = Follower(api_of(server), Desk(Keeper(book, clock=lambda: BEGAN + 2 + age)))
    await follower.start()
    await until(book, lambda: bool(decided(book)))
    assert pauses == waits
    await follower.stop()


async def test_what_nobody_expected_is_counted_said_and_heard_again(pauses: list[float]) -> None:
    server, book = Server(rollout(CANARY)), Book()
    book.failure = RuntimeError("no such thing")
    desk = Desk(Keeper(book))
    follower = Follower(api_of(server), desk)
    await follower.start()
    await until(book, lambda: len(book.records) == 2)
    assert desk.failures == 1
    await follower.stop()


async def test_a_word_that_is_recorded_is_not_asked_about_again(pauses: list[float]) -> None:
    server, book = Server(rollout(CANARY), approval()), Book()
    first = Follower(api_of(server), Desk(Keeper(book)))
    await first.start()
    await until(book, lambda: bool(decided(book)))
    await first.stop()
    looks = len([what for what in server.asked if "metadata.name" in what])
    again = Follower(api_of(server), Desk(Keeper(book)))
    await again.start()
    async with asyncio.timeout(20):
        while not again.ready:
            await asyncio.sleep(0)
    assert len([what for what in server.asked if "metadata.name" in what]) == looks == 1
    await again.stop()
