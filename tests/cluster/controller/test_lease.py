"""Of two replicas one acts; the other takes over once the first has not renewed for the lease's duration."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from serinus.kube.api import Api, UnreachableError
from serving.rollout.kube.lease import DEADLINE, DURATION, RENEW, Election
from serving.rollout.kube.names import LEASE, Kind
from tests.support.apiserver import ApiServer

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Time:
    """Passes when someone sleeps; then ``each`` is called."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


def candidate(server: ApiServer, name: str, identity: str, time: Time) -> tuple[Api, Election]:
    api = Api(server.configuration())
    return api, Election(api, "default", name, identity, monotonic=time.monotonic, sleep=time.sleep)


async def test_one_leads_and_the_other_takes_over_when_it_falls_silent(server: ApiServer) -> None:
    time, name = Time(), f"l-{uuid.uuid4().hex[:8]}"
    api_a, a = candidate(server, name, "a", time)
    api_b, b = candidate(server, name, "b", time)
    await a.win()
    assert not await b._try()
    time.now += DURATION - 1
    assert not await b._try()  # not yet
    assert await a._try()  # a renews
    assert not await b._try()
    time.now += DURATION
    assert await b._try()  # a fell silent for the whole duration
    assert not await a._try()
    lease = await api_a.get(LEASE, "default", name)
    assert (lease["spec"]["holderIdentity"], lease["spec"]["leaseTransitions"]) == ("b", 1)
    await a.keep()  # returns: the lease is another's
    assert not a.leading
    await api_a.close()
    await api_b.close()


async def test_of_two_that_try_at_once_one_wins(server: ApiServer) -> None:
    time, name = Time(), f"l-{uuid.uuid4().hex[:8]}"
    made = [candidate(server, name, f"c{i}", time) for i in range(8)]
    won = await asyncio.gather(*(election._try() for _, election in made))
    assert sum(won) == 1
    for api, _ in made:
        await api.close()


async def test_a_leader_that_cannot_renew_stops_before_another_may_begin(server: ApiServer) -> None:
    time, name = Time(), f"l-{uuid.uuid4().hex[:8]}"
    api, a = candidate(server, name, "a", time)
    await a.win()
    began = time.now
    api.server = "https://127.0.0.1:1"
    api._client.base_url = api.server
    assert a.holds
    await a.keep()
    assert not a.holds
    assert time.now - began <= DEADLINE + RENEW < DURATION
    await api.close()


async def test_a_leader_that_resigns_is_succeeded_at_once(server: ApiServer) -> None:
    time, name = Time(), f"l-{uuid.uuid4().hex[:8]}"
    api_a, a = candidate(server, name, "a", time)
    api_b, b = candidate(server, name, "b", time)
    await a.win()
    await a.resign()
    assert await b._try()
    await api_a.close()
    await api_b.close()


async def test_a_replica_that_was_held_up_for_longer_than_its_lease_writes_nothing_on_waking(
    server: ApiServer,
) -> None:
    time, name = Time(), f"l-{uuid.uuid4().hex[:8]}"
    api, a = candidate(server, name, "a", time)
    api.may_write = lambda: a.holds
    await a.win()
    namespaces = Kind("", "v1", "namespaces", "Namespace")
    await api.create(namespaces, None, {"metadata": {"name": name}})
    time.now += DURATION
    with pytest.raises(UnreachableError, match="does not lead"):
        await api.create(namespaces, None, {"metadata": {"name": f"{name}-2"}})
    await api.close()
