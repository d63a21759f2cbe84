"""Before a rollout begins: it waits for its target, for its turn, and for the word to go."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Protocol

from serinus.errors import SerinusError
from serinus.kube.api import Api, ApiError, Object

from ..status import Phase
from .keeping import StatusStore, event, invalid, publish
from .names import ROLLOUT, SELDON
from .resource import ModelRolloutSpec, read_rollout
from .seldon import candidate_predictor, champion_of
from .subject import Subject, tier_of
from .view import outlook


class Clock(Protocol):
    """Time that may be woken."""

    def now(self) -> float:
        """Unix seconds."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait, at most so long."""
        ...


class Turns:
    """Who looks whether a target is free, and takes it, does so alone.

    One process acts for all rollouts, so a lock of its own is enough: between the look
    and the status that says "begun" no other rollout of the target looks.
    """

    def __init__(self) -> None:
        self._locks: defaultdict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)

    def of(self, namespace: str, target: str) -> asyncio.Lock:
        """The lock of one SeldonDeployment."""
        return self._locks[namespace, target]


def ended(resource: Object) -> bool:
    """Has this rollout ended, by its status?"""
    conditions = (resource.get("status") or {}).get("conditions") or []
    return any(c["type"] == "Ended" and c["status"] == "True" for c in conditions)


def begun(resource: Object) -> bool:
    """Has its engine begun, so that the target is its own?"""
    return bool((resource.get("status") or {}).get("engine"))


class Beginning:
    """Brings one ModelRollout to its begin. ``resource`` and ``leaving`` tell of it as it is now.

    ``vanished`` is told when it is not there any more and no watch has said so.
    """

    def __init__(
        self,
        api: Api,
        clock: Clock,
        turns: Turns,
        patience: float,
        resource: Callable[[], Object],
        leaving: Callable[[], bool],
        vanished: Callable[[], None],
    ) -> None:
        self._api = api
        self._clock = clock
        self._turns = turns
        self._patience = patience
        self._resource = resource
        self._leaving = leaving
        self._vanished = vanished
        self._told: tuple[str, str, int] | None = None

    async def wait[T](self, take: Callable[[ModelRolloutSpec, Subject], Awaitable[T]]) -> T | None:
        """What ``take`` makes once the target is free; None if it cannot begin, or is deleted before."""
        while not self._leaving():
            try:
                spec = read_rollout(self._resource())
                async with self._turns.of(self._namespace, spec.target):
                    waits = await self._waits(spec)
                    if waits is None:
                        found = await self._api.find(SELDON, self._namespace, spec.target)
                        if found is not None:
                            champion = champion_of(found, spec.candidate.name)
                            candidate_predictor(spec.target, champion, spec.candidate)
                            uid = found["metadata"]["uid"]
                            subject = Subject(uid=uid, champion=champion, tier=tier_of(found))
                            return await take(spec, subject)
                        waits = "TargetAbsent", f"there is no SeldonDeployment {spec.target} yet"
            except SerinusError as problem:
                await self.say(Phase.FAILED, *invalid(problem))
                return None
            if self._leaving():
                break
            await self.say(Phase.PENDING, *waits)
            await self._clock.sleep(self._patience)
        return None

    async def taken(self, target: str) -> bool:
        """Is the target another rollout's, that has begun and not ended?"""
        return any(begun(rival) for rival in self._rivals(await self._of_target(target), target))

    async def say(self, phase: Phase, reason: str, message: str) -> None:
        """Put a status that no engine wrote, and an Event, once."""
        resource = self._resource()
        metadata = resource["metadata"]
        generation = int(metadata.get("generation") or 0)
        told = (reason, message, generation)
        if told == self._told:
            return
        status = resource.get("status") or {}
        if (status.get("reason"), status.get("message")) != (reason, message):
            now = self._clock.now()
            store = StatusStore(self._api, resource, self._clock.now)
            store.vanished = self._vanished
            await store.patch(outlook(phase, reason, message, now=now, generation=generation))
            name = f"{metadata['name']}.{metadata['uid'][:8]}.{reason.lower()}"
            warning = phase is Phase.FAILED
            await publish(
                self._api, event(ROLLOUT, resource, reason, message, name=name, at=now, warning=warning)
            )
        self._told = told

    @property
    def _namespace(self) -> str:
        return str(self._resource()["metadata"]["namespace"])

    async def _waits(self, spec: ModelRolloutSpec) -> tuple[str, str] | None:
        mine = self._resource()["metadata"]
        if spec.paused:
            return "PausedBySpec", "spec.paused is true: it has not begun"
        if spec.abort:
            raise SerinusError(
                "SRN-ROLLOUT-008",
                "spec.abort is true, so it never began",
                where=f"modelrollout/{mine['name']}",
                hint="Start another rollout.",
            )
        all_of_them = await self._of_target(spec.target)
        if not any(one["metadata"]["uid"] == mine["uid"] for one in all_of_them):
            self._vanished()
            return "Deleted", "it is not there any more"
        for rival in self._rivals(all_of_them, spec.target):
            metadata = rival["metadata"]
            older = (metadata["creationTimestamp"], metadata["uid"]) < (
                mine["creationTimestamp"],
                mine["uid"],
            )
            if begun(rival) or (older and not rival["spec"].get("paused")):
                return "AnotherRollout", f"rollout {metadata['name']} of {spec.target} goes first"
        return None

    def _rivals(self, listed: list[Object], target: str) -> list[Object]:
        """Of those listed, the others that are of the target and have not ended."""
        mine = self._resource()["metadata"]["uid"]
        return [
            one
            for one in listed
            if one["metadata"]["uid"] != mine
            and not ended(one)
            and (one.get("spec") or {}).get("target") == target
        ]

    async def _of_target(self, target: str) -> list[Object]:
        try:
            listed = await self._api.list(ROLLOUT, self._namespace, fields=f"spec.target={target}")
        except ApiError as problem:
            if problem.code != 400:
                raise
            listed = await self._api.list(ROLLOUT, self._namespace)  # before Kubernetes 1.31
        return listed["items"]
