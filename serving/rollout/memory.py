"""In-memory implementations of every port: for tests, dry runs and a first read of the engine."""

# ruff: noqa: D102  (the protocols in ports.py say what each verb means)

from __future__ import annotations

from collections.abc import Sequence

from serinus.evidence import Counter, Sample

from .ports import ApprovalRecord, Command, Health, ProviderError, Readback
from .status import Entry, RolloutStatus, Routes, decode, encode


class MemoryClock:
    """Time that passes only when someone sleeps."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.time = now

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


class MemoryTraffic:
    """Routes that take effect ``lag`` looks after they are applied; ``changes`` lists what took effect."""

    def __init__(self, stable: str, lag: int = 0) -> None:
        self.live = Routes(stable=stable)
        self.changes: list[Routes] = []
        self.lag = lag
        self.blind = False  # cannot be read back
        self.gone = False  # what served was deleted
        self.settle = 0.0  # seconds that a proxy may take for what was read back
        self.edit = ""  # what another hand did, while the routes differ
        self._pending: tuple[Routes, int] | None = None

    async def apply(self, routes: Routes) -> None:
        if routes == self.live or (self._pending and self._pending[0] == routes):
            return
        self._pending = (routes, self.lag)
        self._settle()

    async def read_back(self, routes: Routes) -> Readback:
        if self.gone:
            return Readback(state="gone", detail="what served was deleted")
        if self.blind:
            return Readback(state="cannot_tell", detail="the proxy's admin port does not answer")
        self._settle()
        if self.live == routes:
            return Readback(state="verified", settle=self.settle)
        return Readback(state="not_yet", detail=f"live: {self.live}", edit=self.edit)

    def _settle(self) -> None:
        if self._pending is None:
            return
        routes, left = self._pending
        if left > 0:
            self._pending = (routes, left - 1)
            return
        self._pending = None
        self.live = routes
        self.changes.append(routes)


class MemoryPredictors:
    """Predictors that become ready ``warmup`` looks after their start."""

    def __init__(self, running: Sequence[str] = (), warmup: int = 1) -> None:
        ready = Health(state="ready", answering=True)
        self.states: dict[str, Health] = dict.fromkeys(running, ready)
        self.warmup = warmup
        self.starts: list[str] = []
        self.stops: list[str] = []
        self._left: dict[str, int] = {}

    async def start(self, name: str) -> None:
        if name in self.states:
            return
        self.starts.append(name)
        self.states[name] = Health(state="starting")
        self._left[name] = self.warmup

    async def health(self, name: str) -> Health:
        state = self.states.get(name, Health(state="absent"))
        if state.state == "starting":
            self._left[name] -= 1
            if self._left[name] < 0:
                state = self.states[name] = Health(state="ready", answering=True)
        return state

    async def stop(self, name: str) -> None:
        if self.states.pop(name, None) is not None:
            self.stops.append(name)

    def crash(self, name: str) -> None:
        """A running predictor dies."""
        if name in self.states:
            self.states[name] = Health(state="crashed", detail="was killed by signal 9 (SIGKILL)")

    def set(self, name: str, state: Health) -> None:
        self.states[name] = state


class MemoryMetrics:
    """Counters that a test feeds; ``failing`` makes the provider fail."""

    def __init__(self, clock: MemoryClock) -> None:
        self.clock = clock
        self.counters: dict[str, dict[str, Counter]] = {}
        self.failing: str | None = None

    def add(self, predictor: str, metric: str, n: float, *bad: float) -> None:
        """Count ``n`` more units, ``bad[i]`` of them above edge i."""
        old = self.counters.setdefault(predictor, {}).get(metric, Counter(n=0, bad=tuple(0.0 for _ in bad)))
        new = Counter(n=old.n + n, bad=tuple(a + b for a, b in zip(old.bad, bad, strict=True)))
        self.counters[predictor][metric] = new

    async def sample(self, stable: str, canary: str) -> Sample:
        if self.failing is not None:
            raise ProviderError(self.failing)

        def arm(name: str) -> dict[str, dict[str, Counter]]:
            return {f"{name}-0": dict(self.counters[name])} if name in self.counters else {}

        return Sample(at=self.clock.now(), stable=arm(stable), canary=arm(canary))


class MemoryApprovals:
    """Approvals that a test gives."""

    def __init__(self) -> None:
        self.records: list[ApprovalRecord] = []
        self.unsure = ""

    async def approvals(self) -> Sequence[ApprovalRecord]:
        return list(self.records)


class MemoryInbox:
    """Commands that a test gives."""

    def __init__(self) -> None:
        self.queue: list[Command] = []

    async def commands(self) -> Sequence[Command]:
        return list(self.queue)


class MemoryJournal:
    """Keeps what was told, once each."""

    def __init__(self) -> None:
        self.entries: dict[int, Entry] = {}

    async def tell(self, status: RolloutStatus, entry: Entry) -> None:
        self.entries.setdefault(entry.seq, entry)

    @property
    def reasons(self) -> list[str]:
        return [entry.reason for _, entry in sorted(self.entries.items())]


class MemoryStore:
    """Keeps the status as the bytes that a real store would keep."""

    def __init__(self) -> None:
        self.data: bytes | None = None

    async def load(self) -> RolloutStatus | None:
        return decode(self.data) if self.data is not None else None

    async def save(self, status: RolloutStatus) -> None:
        self.data = encode(status)
