"""The loop: observe, decide, persist the intent, act, and read back.

Killed at any instant, a new engine over the same store goes on to the same end:
the intent is on disk before anything is done, every act may be repeated, and
the history is numbered, so it is told once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from serinus.errors import SerinusError

from .account import JUDGED, LEAVING, Observation
from .decide import Action, Apply, Start, decide
from .ports import (
    Approvals,
    Clock,
    Health,
    Inbox,
    Journal,
    Metrics,
    Predictors,
    ProviderError,
    Readback,
    Store,
    SupersededError,
    Traffic,
)
from .spec import RolloutSpec
from .status import Phase, RolloutStatus, Routes

log = logging.getLogger(__name__)

QUICK = 0.05


@dataclass(frozen=True)
class Ports:
    """Everything that the engine touches."""

    traffic: Traffic
    predictors: Predictors
    metrics: Metrics
    approvals: Approvals
    inbox: Inbox
    journal: Journal
    store: Store
    clock: Clock


def new_status(
    spec: RolloutSpec, *, name: str, champion: str, candidate: str, by: str, now: float
) -> RolloutStatus:
    """The status of a rollout that has been asked for and not begun. Names are predictor names."""
    return RolloutStatus(
        id=name,
        model=spec.model,
        champion=champion,
        candidate=candidate,
        started_by=by,
        started_at=now,
        phase_since=now,
        last_data=now,
        desired=Routes(stable=champion),
    )


class Engine:
    """Drives one rollout from its persisted status to its end.

    ``interval`` is the time between looks at the metrics, in seconds; ``on_look``
    is called with the status after every look; ``quick`` is the time between looks
    while a route change takes effect.
    """

    def __init__(self, spec: RolloutSpec, ports: Ports, interval: float = 1.0, quick: float = QUICK) -> None:
        self.spec = spec
        self.ports = ports
        self.interval = interval
        self.quick = quick
        self.on_look: Callable[[RolloutStatus], None] = lambda status: None
        self._told = 0
        self._sampled_at = float("-inf")

    async def run(self) -> RolloutStatus:
        """Tick until the rollout has ended.

        A port that raises is told of and tried again: an engine that gives up
        would leave a canary without a judge. Only ``SupersededError`` ends it.
        """
        while True:
            try:
                status = await self.tick()
            except (asyncio.CancelledError, SupersededError):
                raise
            except Exception as problem:
                # A full disk or a lost connection is one line; anything else is ours and needs its trace.
                trace = not isinstance(problem, SerinusError | OSError)
                log.error("rollout: a look failed, trying again: %s", problem, exc_info=trace)
                await self.ports.clock.sleep(self.interval)
                continue
            if status.ended:
                return status
            await self.ports.clock.sleep(self.interval if settled(status) else self.quick)

    async def tick(self) -> RolloutStatus:
        """One look: returns the status as it was persisted before acting."""
        status = await self._load()
        seen = await self._observe(status)
        decided = decide(self.spec, status, seen, self.ports.clock.now())
        if decided.status != status:
            await self.ports.store.save(decided.status)
        await self._tell(decided.status)
        for action in decided.actions:
            await self._act(action)
        self.on_look(decided.status)
        return decided.status

    async def _load(self) -> RolloutStatus:
        status = await self.ports.store.load()
        if status is None:
            raise LookupError("the store holds no rollout; save new_status(…) first")
        return status

    async def _observe(self, status: RolloutStatus) -> Observation:
        ports = self.ports
        # Routes first: a sample taken after the canary's route is gone counts its last answers too.
        try:
            routes = await ports.traffic.read_back(status.desired)
        except OSError as problem:
            routes = Readback(state="cannot_tell", detail=str(problem))
        sample, failure = None, None
        if self._wants_sample(status):
            try:
                sample = await ports.metrics.sample(status.champion, status.candidate)
            except ProviderError as problem:
                failure = str(problem)
            self._sampled_at = ports.clock.now()
        waiting = status.phase is Phase.AWAITING_APPROVAL
        return Observation(
            champion=await self._health(status.champion),
            candidate=await self._health(status.candidate),
            routes=routes,
            sample=sample,
            failure=failure,
            approvals=tuple(await ports.approvals.approvals()) if waiting else (),
            unsure=ports.approvals.unsure,
            commands=tuple(await ports.inbox.commands()),
        )

    def _wants_sample(self, status: RolloutStatus) -> bool:
        if status.phase in LEAVING:  # what it still answers until it is stopped is counted
            return status.step >= 0 and not status.ended
        judged = status.phase in JUDGED and not status.ended
        return judged and self.ports.clock.now() - self._sampled_at >= self.interval * 0.9

    async def _health(self, name: str) -> Health:
        return await self.ports.predictors.health(name)

    async def _tell(self, status: RolloutStatus) -> None:
        for entry in status.history:
            if entry.seq > self._told:
                await self.ports.journal.tell(status, entry)
                self._told = entry.seq

    async def _act(self, action: Action) -> None:
        if isinstance(action, Apply):
            await self.ports.traffic.apply(action.routes)
        elif isinstance(action, Start):
            await self.ports.predictors.start(action.predictor)
        else:
            await self.ports.predictors.stop(action.predictor)


def settled(status: RolloutStatus) -> bool:
    """Nothing is expected to change within moments, so the ordinary interval will do."""
    finishing = status.phase in (Phase.ROLLING_BACK, Phase.ROLLED_BACK, Phase.ABORTED, Phase.PROMOTING)
    return status.in_place and not finishing
