"""The store in a real Redis: down, slow, restarted, shared; and what it says when it cannot."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from serinus.errors import SerinusError
from serinus.features.online import KnownLabel
from serinus.features.online.link import Link, password_from, redacted
from serinus.features.online.redis import RedisStore
from tests.local.features.test_equality import emptied, redis_store
from tests.support.ports import refusing
from tests.support.redis import RedisServer
from tests.unit.features.records import FEATURES, contract
from tests.unit.features.test_memory_store import known
from tests.unit.features.test_stream import event


def run(story: Callable[[RedisStore], Awaitable[None]], server: RedisServer, deadline: float = 20) -> None:
    async def main() -> None:
        await emptied(server)
        store = RedisStore(contract(), Link(server.url, deadline=deadline))
        try:
            await story(store)
        finally:
            await store.close()

    asyncio.run(main())


async def failure(call: Awaitable[object]) -> SerinusError:
    with pytest.raises(SerinusError) as caught:
        await call
    assert caught.value.code == "SRN-FEATURES-008"
    return caught.value


async def working(store: RedisStore) -> None:
    """Wait until the store answers."""
    async with asyncio.timeout(60):
        while True:
            try:
                await store.look([])
                return
            except SerinusError:
                await asyncio.sleep(0.02)


def test_a_history_forgets_what_no_window_reaches_and_expires(redis: RedisServer) -> None:
    async def story(store: RedisStore) -> None:
        day = 24.0
        await store.add([store.reader.event(event(str(n), n * day)) for n in range(30)])
        key = store.layout.key(0, "a")
        # The card's longest window with its delay is 7 h, and 7 days of lateness are kept.
        assert await store.link.command("ZCARD", key) == 8
        left = await store.link.command("PTTL", key)
        assert 0 < left <= store.layout.ttl
        for name in (store.layout.event("3"), store.layout.key(1, "x")):
            assert 0 < await store.link.command("PTTL", name) <= store.layout.ttl
        keys = await store.link.command("KEYS", "*")
        assert all(name.startswith(store.layout.prefix.encode()) for name in keys)

    run(story, redis)


def test_other_features_have_histories_of_their_own(redis: RedisServer) -> None:
    async def story(store: RedisStore) -> None:
        others = [
            contract(features=[*FEATURES[:7], FEATURES[8]]),
            contract(lateness="1d"),
            contract(label={"column": "bad", "positive": 1, "delay": "2h"}),
        ]
        prefixes = {store.layout.prefix} | {redis_store(redis, other).layout.prefix for other in others}
        assert len(prefixes) == 4
        reworded = contract(features=[{**f, "reason": "another text"} for f in FEATURES])
        assert redis_store(redis, reworded).layout.prefix == store.layout.prefix

    run(story, redis)


def test_a_label_by_decision_is_found_by_any_replica(redis: RedisServer) -> None:
    async def story(store: RedisStore) -> None:
        other = redis_store(redis, contract())
        seen = store.reader.event(event("1", 0))
        await store.add([seen], ["decision-1"])
        labels = [KnownLabel(value=1, at=known(1), decision=name) for name in ("decision-1", "decision-2")]
        assert await other.label(labels) == [True, False]
        asked = event("9", 3.5)
        look = await other.look([other.reader.event(asked)])
        history = look.histories[1, "x"]
        assert list(history.columns[other.reader.label or 0]) == [1.0]
        await other.close()

    run(story, redis)


def test_a_look_at_the_same_time_as_many_gets_its_own_answer(redis: RedisServer) -> None:
    async def story(store: RedisStore) -> None:
        for n in range(50):
            await store.add([store.reader.event(event(str(n), 0, card=f"c{n}")) for _ in range(n % 3 + 1)])
            await store.add([store.reader.event(event(f"{n}-{k}", 0, card=f"c{n}")) for k in range(n)])

        async def held(n: int) -> int:
            look = await store.look([store.reader.event(event("asked", 1, card=f"c{n}"))])
            return len(look.histories[0, f"c{n}"].times)

        assert await asyncio.gather(*map(held, range(50))) == [n + 1 for n in range(50)]

    run(story, redis)


def test_a_call_that_gave_up_does_not_give_its_answer_to_the_next(redis: RedisServer) -> None:
    async def story(store: RedisStore) -> None:
        await store.add([store.reader.event(event("1", 0, card="first"))])
        await store.add([store.reader.event(event(str(n), 0, card="second")) for n in range(2, 5)])
        redis.pause()
        store.link.deadline = 0.05
        await failure(store.look([store.reader.event(event("9", 1, card="first"))]))
        redis.resume()
        store.link.deadline = 20
        look = await store.look([store.reader.event(event("9", 1, card="second"))])
        assert len(look.histories[0, "second"].times) == 3

    run(story, redis)


def test_a_silent_server_costs_the_deadline_and_then_nothing_until_it_speaks(redis: RedisServer) -> None:
    async def story(store: RedisStore) -> None:
        await store.look([])
        redis.pause()
        store.link.deadline = 0.05
        try:
            started = time.monotonic()
            for _ in range(5):
                assert "no answer within 0.05 s" in (await failure(store.look([]))).what
            assert time.monotonic() - started > 0.2, "each waits for its deadline"
            store.link.deadline = 3600
            for _ in range(100):
                await failure(store.look([]))  # none of them waits for it
            store.link.deadline = 20
        finally:
            redis.resume()
        await working(store)

    run(story, redis)


def test_a_restarted_server_is_used_again_with_its_scripts_gone(redis: RedisServer) -> None:
    async def story(store: RedisStore) -> None:
        assert await store.add([store.reader.event(event("1", 0))]) == ["added"]
        redis.stop()
        await failure(store.look([]))
        redis.start()
        await working(store)
        assert await store.add([store.reader.event(event("1", 0))]) == ["added"], "it kept nothing"
        await store.link.command("SCRIPT", "FLUSH")
        two = [store.reader.event(event("1", 0)), store.reader.event(event("2", 0))]
        assert await store.add(two) == ["duplicate", "added"]

    run(story, redis)


@pytest.mark.parametrize("url", ["redis://127.0.0.1:{port}/0", "unix:///nowhere/redis.sock"])
def test_a_server_that_is_not_there_fails_at_once(url: str) -> None:
    async def main(url: str) -> None:
        store = RedisStore(contract(), Link(url, deadline=3600))
        error = await failure(store.look([]))  # it does not wait for that long
        assert url.startswith(error.where) or error.where.startswith(url)
        await store.close()

    with refusing() as port:
        asyncio.run(main(url.format(port=port)))


def test_a_password_is_used_and_never_shown() -> None:
    with tempfile.TemporaryDirectory(prefix="redis-") as directory:
        options = ("--requirepass", "s3cret")
        with RedisServer(Path(directory), *options) as server:

            async def main() -> None:
                right = RedisStore(contract(), Link(server.url, password="s3cret", deadline=20))
                assert await right.add([right.reader.event(event("1", 0))]) == ["added"]
                await right.close()
                for password in ("wr0ng", None):
                    wrong = RedisStore(contract(), Link(server.url, password=password, deadline=20))
                    error = await failure(wrong.look([]))
                    assert "wr0ng" not in str(error)
                    await wrong.close()

            asyncio.run(main())


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://user:s3cret@host:6379/2?ssl_ca_certs=x&password=s3cret", "redis://user@host:6379/2"),
        ("rediss://:s3cret@host/0", "rediss://host/0"),
        ("unix://user:s3cret@/run/redis.sock?db=1", "unix://user@/run/redis.sock"),
        ("redis://:s3cret@host:not-a-port/0", "redis://…"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert redacted(url) == shown
    if shown.endswith("…"):
        with pytest.raises(SerinusError) as caught:
            Link(url)
        assert caught.value.code == "SRN-FEATURES-007"
        assert "s3cret" not in str(caught.value)
    else:
        assert "s3cret" not in Link(url).url


def test_the_password_comes_from_the_environment_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("from-file\n")
    file = {"SERINUS_REDIS_PASSWORD_FILE": str(tmp_path / "password")}
    assert password_from({}) is None
    assert password_from(file) == "from-file"
    assert password_from({**file, "SERINUS_REDIS_PASSWORD": "given"}) == "given"
    for wrong in ("nowhere", "empty"):
        (tmp_path / "empty").touch()
        with pytest.raises(SerinusError) as caught:
            password_from({"SERINUS_REDIS_PASSWORD_FILE": str(tmp_path / wrong)})
        assert caught.value.code == "SRN-FEATURES-007"
