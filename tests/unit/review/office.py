"""An office with referred decisions: a registered bundle, a log, and people who review under a policy."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from serinus.events import Decision, DecisionEvent, DecisionLog
from serinus.registry import Registry
from serinus.review import ReviewDesk
from tests.support.bundles import small_bundle, small_home
from tests.unit.access.policies import BANK

NOW = 1_790_000_000.0
FEATURES = (120.5, 3.0, 1.0, None, 0.4)


class Office:
    def __init__(self, root: Path, policy: str = BANK) -> None:
        self.now = NOW
        self.bundle = small_bundle(root)
        self.home = small_home(root)
        self.registry = Registry(self.home)
        self.registry.register(self.bundle, by="ben", owner="cards", run="r1")
        self.home.policy.write_text(policy)
        self.desk = ReviewDesk(self.home, clock=lambda: self.now)

    def decided(
        self, name: str, probability: float = 0.4, decision: str = "review", log: str = "small-v1"
    ) -> None:
        event = DecisionEvent(
            id=name,
            source="/models/small/predictors/v1",
            time=f"2026-09-21T{len(self.names):02d}:00:00.000000Z",
            data=Decision(
                model="small",
                version=1,
                digest=self.bundle.digest,
                predictor="v1",
                score=probability,
                probability=probability,
                decision=decision,
                features=FEATURES,
            ),
        )
        self.names.append(name)
        with DecisionLog(self.home.decisions / f"{log}.jsonl") as writer:
            writer.extend([replace(event)])

    @property
    def names(self) -> list[str]:
        self._names: list[str] = getattr(self, "_names", [])
        return self._names

    @property
    def answers(self) -> list[bytes]:
        path = self.home.decisions / "small.review.feedback.jsonl"
        return path.read_bytes().splitlines() if path.exists() else []

    @property
    def actions(self) -> list[str]:
        return [entry.action for entry in self.registry.audit.entries()]
