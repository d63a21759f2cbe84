"""The law of the stores: replaying a file through memory or Redis gives each row its batch values."""

from __future__ import annotations

import asyncio
import heapq
import random
import tempfile
from collections.abc import Callable
from datetime import timedelta
from inspect import isawaitable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serinus.contract import Contract
from serinus.features.online import KnownLabel, MemoryStore, OnlineStore, assemble
from serinus.features.online.link import Link
from serinus.features.online.redis import RedisStore
from serinus.features.values import micros
from tests.support.redis import RedisServer
from tests.unit.features.records import contract
from tests.unit.features.test_equality import (
    LABEL_DELAY,
    assert_same,
    batch,
    random_records,
    record,
    with_arrival,
)

Rows = dict[int, dict[str, object]]
ON_TIME = [0]


async def now(value: Any) -> Any:
    return await value if isawaitable(value) else value


async def emptied(server: RedisServer) -> None:
    link = Link(server.url, deadline=20)
    await link.command("FLUSHALL")
    await link.close()


def redis_store(server: RedisServer, wanted: Contract) -> RedisStore:
    return RedisStore(wanted, Link(server.url, deadline=20))


async def replay(
    records: list[dict[str, Any]], stores: list[OnlineStore], seed: int = 0, lags: list[int] = ON_TIME
) -> Rows:
    """Score and add each event when it arrives, deliver each label when it is known: each
    through one of the replicas, and now and then through two of them. ``lags`` are the hours after the
    label delay from which one is chosen."""
    chance, later = random.Random(seed), random.Random(seed)
    order = sorted(range(len(records)), key=lambda row: (records[row]["seen"], records[row]["at"], row))
    labels: list[tuple[Any, int]] = []
    rows: Rows = {}
    seen: set[str] = set()
    for row in order:
        sent = records[row]
        while labels and labels[0][0] <= sent["seen"]:
            known, about = heapq.heappop(labels)
            at = micros(known)
            assert at is not None
            label = KnownLabel(value=records[about]["bad"], at=at, event=records[about]["id"])
            await now(chance.choice(stores).label([label]))
        store = chance.choice(stores)
        unlabelled = {name: value for name, value in sent.items() if name != "bad"}
        event = store.reader.event(unlabelled)
        if sent["id"] not in seen:
            seen.add(sent["id"])
            look = await now(store.look([event]))
            (found,) = assemble(store.reader, [unlabelled], [event], look, remember=True)
            rows[row] = dict(zip(store.reader.names, found.values, strict=True))
            assert await now(store.add([event])) == ["added"]
            lag = timedelta(hours=later.choice(lags))
            heapq.heappush(labels, (sent["at"] + LABEL_DELAY + lag, row))
        if chance.random() < 0.3 or row not in rows:
            assert await now(chance.choice(stores).add([event])) == ["duplicate"]
    return rows


def in_redis(
    server: RedisServer,
    records: list[dict[str, Any]],
    lateness: str,
    seed: int = 0,
    lags: list[int] = ON_TIME,
) -> Rows:
    async def run() -> Rows:
        await emptied(server)
        stores = [redis_store(server, contract(lateness=lateness)) for _ in range(2)]
        try:
            return await replay(records, list(stores), seed, lags)
        finally:
            for store in stores:
                await store.close()

    return asyncio.run(run())


def in_memory(
    server: RedisServer,
    records: list[dict[str, Any]],
    lateness: str,
    seed: int = 0,
    lags: list[int] = ON_TIME,
) -> Rows:
    return asyncio.run(replay(records, [MemoryStore(contract(lateness=lateness))], seed, lags))


@pytest.mark.parametrize("kept", [in_memory, in_redis])
def test_six_hundred_random_events_give_the_batch_values(
    tmp_path: Path, redis: RedisServer, kept: Callable[..., Rows]
) -> None:
    records = random_records(600, seed=11)
    assert_same(kept(redis, records, "2d"), batch(records, tmp_path))


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(records=st.lists(record.map(with_arrival), min_size=1, max_size=40), seed=st.integers(0, 1000))
def test_batch_memory_and_two_replicas_on_redis_agree_on_late_duplicate_and_tied_events(
    redis: RedisServer, records: list[dict[str, Any]], seed: int
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        expected = batch(records, Path(directory))
    assert_same(in_memory(redis, records, "1d", seed), expected)
    assert_same(in_redis(redis, records, "1d", seed), expected)


def test_labels_that_come_after_their_delay_are_read_alike(redis: RedisServer) -> None:
    records = random_records(400, seed=12)
    lags = [0, 0, 1, 2, 7]
    on_time, late = in_memory(redis, records, "2d"), in_memory(redis, records, "2d", 0, lags)
    assert late != on_time
    assert_same(in_redis(redis, records, "2d", 0, lags), late)
