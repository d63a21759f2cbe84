"""One rollout on this machine: its files, its ports, and the engine's task."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from serinus.durations import parse_duration
from serinus.errors import SerinusError
from serinus.home import Home, atomic_write
from serinus.registry import Registry
from serinus.registry.approvals import word
from serving.rollout.adapters.envoy import EnvoyTraffic
from serving.rollout.adapters.scrape import ScrapeMetrics
from serving.rollout.adapters.webhook import NotifyingJournal, Webhooks
from serving.rollout.asking import asked
from serving.rollout.engine import Engine, Ports, new_status
from serving.rollout.kept import EVENTS, STATUS
from serving.rollout.ports import ApprovalRecord, Command
from serving.rollout.spec import RolloutSpec
from serving.rollout.status import Entry, Phase, RolloutStatus, decode

from .journal import FileStore, LocalJournal, last_told
from .predictors import LocalPredictors, Target

log = logging.getLogger("serinus.platform")


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What a rollout was asked to do, and with which bundles."""

    id: str
    spec: RolloutSpec
    champion: Target
    candidate: Target
    started_by: str


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """Unix seconds."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Wait without blocking the loop."""
        await asyncio.sleep(seconds)


class RegistryApprovals:
    """The registry holds the approvals, and the policy of who may give one."""

    def __init__(self, home: Home, candidate: Target) -> None:
        self._registry = Registry(home)
        self._candidate = candidate

    @property
    def unsure(self) -> str:
        """Nothing: the registry knows who built a version."""
        return ""

    async def approvals(self) -> Sequence[ApprovalRecord]:
        """Approvals of the candidate's version; none if it is not registered."""
        if not self._candidate.registered:
            return []
        found = self._registry.approvals(self._candidate.model, self._candidate.version)
        now, lasts = self._registry.access.now(), self._override_lasts()
        # Times are kept in whole milliseconds: round up, so that none seems to precede its question.
        return [
            ApprovalRecord(
                by=a.by,
                role=a.role,
                at=word(a).at + 0.001,
                reason=a.reason,
                on_behalf_of=a.on_behalf_of,
                override=a.override,
            )
            for a in found
            if not a.override or now < word(a).at + lasts
        ]

    def _override_lasts(self) -> float:
        try:
            return parse_duration(self._registry.access.policy().override.lasts)
        except SerinusError as problem:
            # A policy that cannot be read lets nobody override, and keeps no judge from looking.
            log.error("%s", problem)
            return 0.0


class CommandQueue:
    """Commands given in this process."""

    def __init__(self) -> None:
        self._queue: list[Command] = []

    def put(self, command: Command) -> None:
        """Give a command."""
        self._queue.append(command)

    async def commands(self) -> Sequence[Command]:
        """All commands given; the engine knows which it has handled."""
        return list(self._queue)


class LocalRollout:
    """A rollout over this machine's Envoy and scorers. ``changed`` is set at every look of the engine."""

    def __init__(
        self,
        home: Home,
        record: Record,
        *,
        traffic: EnvoyTraffic,
        predictors: LocalPredictors,
        told: Callable[[Entry], None],
        interval: float,
    ) -> None:
        self.record = record
        self.changed = asyncio.Event()
        self.inbox = CommandQueue()
        self.directory = rollout_directory(home, record.id)
        self._store = FileStore(self.directory / STATUS)
        self._metrics = ScrapeMetrics(predictors.sources)
        self._approvals = RegistryApprovals(home, record.candidate)
        self._status: RolloutStatus | None = None
        self._webhooks = Webhooks(home.root / "channels")
        journal = LocalJournal(home, self.directory / EVENTS, record.champion, record.candidate, told)
        ports = Ports(
            traffic=traffic,
            predictors=predictors,
            metrics=self._metrics,
            approvals=self._approvals,
            inbox=self.inbox,
            journal=NotifyingJournal(
                journal, record.spec.notifications, self._webhooks, last_told(self.events)
            ),
            store=self._store,
            clock=SystemClock(),
        )
        self._engine = Engine(record.spec, ports, interval)
        self._engine.on_look = self._looked
        self.task: asyncio.Task[RolloutStatus] | None = None

    @property
    def status(self) -> RolloutStatus:
        """As of the engine's latest look."""
        assert self._status is not None
        return self._status

    async def awaited(self) -> tuple[str, ...]:
        """Whose words are missing now, by role; none while nobody is asked. The engine sees a word at its next look."""
        if self.status.phase is not Phase.AWAITING_APPROVAL:
            return ()
        given = await self._approvals.approvals()
        return asked(self.record.spec, self.status, given, time.time()).awaited

    @property
    def events(self) -> Path:
        """The whole history, one JSON line per entry."""
        return self.directory / EVENTS

    async def begin(self) -> None:
        """Persist the rollout, if it is new, and run its engine."""
        status = await self._store.load()
        if status is None:
            record = self.record
            status = new_status(
                record.spec,
                name=record.id,
                champion=record.champion.name,
                candidate=record.candidate.name,
                by=record.started_by,
                now=time.time(),
            )
            await self._store.save(status)
            # The record last: a rollout exists once it can be taken up again.
            atomic_write(self.directory / "record.json", msgspec.json.encode(record))
        self._status = status
        self.task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Stop the engine where it is; it can be taken up again."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)
        await self._webhooks.close()
        await self._metrics.close()

    async def _run(self) -> RolloutStatus:
        return await self._engine.run()

    def _looked(self, status: RolloutStatus) -> None:
        self._status = status
        self.changed.set()
        self.changed.clear()


def rollout_directory(home: Home, name: str) -> Path:
    """Where a rollout's files lie."""
    path = home.platform / "rollouts" / name
    path.mkdir(parents=True, exist_ok=True)
    return path


def latest(home: Home) -> tuple[Record, RolloutStatus] | None:
    """The rollout begun last, as its files tell it."""
    records = sorted((home.platform / "rollouts").glob("*/record.json"), key=lambda p: p.stat().st_mtime_ns)
    if not records:
        return None
    record = msgspec.json.decode(records[-1].read_bytes(), type=Record)
    return record, decode((records[-1].parent / "status.json").read_bytes())


def survivor(record: Record, status: RolloutStatus) -> Target:
    """Which of the two has the traffic, or is about to get it for good."""
    won = status.phase in (Phase.PROMOTING, Phase.PROMOTED)
    return record.candidate if won else record.champion
