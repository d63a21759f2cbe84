"""One real run for all papers: loans with two protected attributes, one of them with a group too small to judge."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pytest

from components.config import Challenge, Exposure, ModelConfig, Scenario, Training
from serinus.home import Home
from serinus.papers.evidence import Evidence, of_bundle
from serinus.papers.standing import standing_of
from serinus.registry import Registry
from tests.unit.components.support import Run, contract, loans

CREATED = 1_790_000_000.0
CONFIG = ModelConfig(
    name="loans",
    owner="credit",
    purpose="Ranks <applications> & declines the worst",
    tier=2,
    training=Training(rounds=40, folds=3),
    challenge=Challenge(
        exposure=Exposure(column="income"), scenarios=(Scenario(name="debts double", multiply={"debt": 2.0}),)
    ),
    limits=("For tests only.",),
)


@dataclass(frozen=True)
class Made:
    """A registered version: its installation and its evidence, inside the bundle and with the registry's word."""

    home: Home
    run: Run
    registry: Registry

    @property
    def inside(self) -> Evidence:
        return of_bundle(self.registry.bundle(self.registry.get("loans")))

    @property
    def outside(self) -> Evidence:
        version = self.registry.get("loans")
        bundle = self.registry.bundle(version)
        return of_bundle(bundle, standing_of(self.home, self.registry, version, bundle))


def dated(rows: int = 4000) -> dict[str, np.ndarray]:
    """Loans of 150 days, and of 20 applicants of a third group."""
    columns = loans(rows)
    columns["group"] = columns["group"].copy()
    columns["group"][:: rows // 20] = "c"
    start = np.datetime64("2026-01-01T00:00")
    columns["day"] = start + (np.arange(rows) * 54).astype("timedelta64[m]")
    return columns


def dated_contract():
    """The loans' contract with an event time."""
    agreed = contract()
    columns = msgspec.to_builtins(agreed.columns) | {"day": {"type": "timestamp"}}
    return contract(columns=columns, event={"time": "day"})


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A version of the loans' model, validated, registered and approved."""
    place = tmp_path_factory.mktemp("papers")
    run = Run(place / "run", dated_contract(), dated(), CONFIG)
    run.prepare()
    run.judge()
    run.gate()
    run.card()
    home = Home(place / "home")
    run.register(home.root)
    registry = Registry(home)
    registry.approve("loans", 1, by="bob", role="validator", reason="read the report")
    return Made(home, run, registry)


@pytest.fixture(scope="session")
def undated(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """The same without an event time, and without any fairness policy."""
    place = tmp_path_factory.mktemp("undated")
    run = Run(
        place / "run", contract(fairness=None, protected=[]), loans(), ModelConfig(training=CONFIG.training)
    )
    run.prepare()
    run.judge()
    run.gate()
    run.card()
    run.register(place / "home")
    registry = Registry(Home(place / "home"))
    return of_bundle(registry.bundle(registry.get("loans")))


def files(path: Path) -> set[str]:
    """Names in a directory."""
    return {found.name for found in path.iterdir()}
