"""A small world for the engine: a clock, traffic by weight, and predictors that err at a given rate."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from serinus.evidence import Guard
from serving.rollout.engine import Engine, Ports, new_status
from serving.rollout.memory import (
    MemoryApprovals,
    MemoryClock,
    MemoryInbox,
    MemoryJournal,
    MemoryMetrics,
    MemoryPredictors,
    MemoryStore,
    MemoryTraffic,
)
from serving.rollout.ports import ApprovalRecord, Command
from serving.rollout.spec import Limits, RolloutSpec, Step
from serving.rollout.status import RolloutStatus

ERRORS = Guard(name="errors", metric="errors", margin_absolute=0.05)


def small_spec(**changes: Any) -> RolloutSpec:
    fields: dict[str, Any] = {
        "model": "small",
        "champion": "1",
        "candidate": "2",
        "steps": (
            Step(weight=10, min_requests=50, min_seconds=5),
            Step(weight=50, min_requests=100, min_seconds=5, analysis="clear"),
        ),
        "guards": (ERRORS,),
        "limits": Limits(max_duration="30m", no_data_timeout="1m", ready_timeout="30s"),
    }
    return RolloutSpec(**(fields | changes))


@dataclass
class World:
    """``rate`` requests per second; ``errors`` is each predictor's share of bad answers."""

    spec: RolloutSpec = field(default_factory=small_spec)
    rate: float = 100.0
    errors: dict[str, float] = field(default_factory=dict)
    lag: int = 0

    def __post_init__(self) -> None:
        self.clock = MemoryClock()
        self.traffic = MemoryTraffic("v1", lag=self.lag)
        self.predictors = MemoryPredictors(["v1"])
        self.metrics = MemoryMetrics(self.clock)
        self.approvals = MemoryApprovals()
        self.inbox = MemoryInbox()
        self.journal = MemoryJournal()
        self.store = MemoryStore()
        self._owed: dict[str, float] = {}

    @property
    def ports(self) -> Ports:
        return Ports(
            traffic=self.traffic,
            predictors=self.predictors,
            metrics=self.metrics,
            approvals=self.approvals,
            inbox=self.inbox,
            journal=self.journal,
            store=self.store,
            clock=self.clock,
        )

    async def begin(self) -> None:
        now = self.clock.now()
        status = new_status(self.spec, name="r1", champion="v1", candidate="v2", by="ann", now=now)
        await self.store.save(status)

    def served(self, predictor: str = "v2") -> float:
        """Requests that a predictor has answered."""
        counters = self.metrics.counters.get(predictor)
        return counters["errors"].n if counters else 0.0

    def flow(self, seconds: float) -> None:
        """Let traffic flow by the live weights, and time pass."""
        live = self.traffic.live
        canary = live.weight / 100 if live.canary else 0.0
        for name, share in ((live.stable, 1 - canary), (live.canary, canary)):
            if name:
                # An even stream: what is left of a request is owed to the next second.
                n = self._whole(name, self.rate * share * seconds)
                bad = self._whole(f"{name} bad", n * self.errors.get(name, 0.0))
                self.metrics.add(name, "errors", n, bad)
        self.clock.time += seconds

    def _whole(self, key: str, amount: float) -> float:
        total = self._owed.get(key, 0.0) + amount
        self._owed[key] = total - int(total)
        return float(int(total))

    async def play(
        self, ticks: int, *, until: str | None = None, engine: Engine | None = None
    ) -> RolloutStatus:
        engine = engine or Engine(self.spec, self.ports)
        status = await engine.tick()
        for _ in range(ticks):
            if status.ended or status.phase == until:
                break
            self.flow(1.0)
            status = await engine.tick()
        return status

    def approve(self, by: str, role: str = "risk") -> None:
        self.approvals.records.append(ApprovalRecord(by=by, role=role, at=self.clock.now(), reason="seen"))

    def say(self, kind: Any, by: str = "ann") -> None:
        name = f"c{len(self.inbox.queue)}"
        self.inbox.queue.append(Command(id=name, kind=kind, by=by, at=self.clock.now()))
