"""A small loans data set with its own contract, and the pipeline's functions run over it."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import yaml

from components.card.card import card
from components.challenge.challenge import challenge
from components.champion.champion import champion
from components.config import Challenge, ModelConfig, Retrained, Training
from components.evaluate.evaluate import evaluate
from components.explain.explain import explain
from components.fairness.fairness import fairness
from components.features.features import features
from components.gate.gate import gate
from components.ingest.task import ingest_records
from components.latency.latency import Clock, latency
from components.register.register import register
from components.split.split import split
from components.step import Summary
from components.train.train import train
from components.validate.validate import validate
from pipelines.run import parts_of
from serinus.contract import Contract, dump_contract, parse_contract

ONCE = Challenge(retrained=Retrained(fits=0))
"""Nothing fitted again, which takes most of a run's time."""
QUICK = ModelConfig(name="loans", owner="credit", training=Training(rounds=40, folds=3), challenge=ONCE)


def contract(**changes: Any) -> Contract:
    """Loans: numbers, a category, missing values, a Y/N outcome, a protected attribute, no entity."""
    data: dict[str, Any] = {
        "apiVersion": "serinus.io/v1",
        "kind": "DataContract",
        "name": "loans",
        "columns": {
            "income": {"type": "number", "min": 0},
            "debt": {"type": "number", "missing": "allow"},
            "purpose": {"type": "category"},
            "group": {"type": "category"},
            "bad": {"type": "category", "missing": "allow"},
        },
        "label": {"column": "bad", "positive": "Y"},
        "features": [
            {"name": "income", "column": "income", "monotone": -1},
            {"name": "debt", "column": "debt", "monotone": 1},
            {"name": "purpose", "column": "purpose"},
        ],
        "decision": {"decline_at": 0.5},
        "protected": [{"column": "group", "reference": "b"}],
        "fairness": {
            "jurisdiction": "test",
            "min_group": 30,
            "measures": [{"measure": "adverse_impact_ratio", "min": 0.8}],
        },
    }
    return parse_contract(data | changes, where="test")


def loans(rows: int = 1500, *, seed: int = 3, bias: float = 0.0) -> dict[str, np.ndarray]:
    """Loans whose outcome depends on income, debt and purpose; ``bias`` makes group a's debts worse."""
    random = np.random.default_rng(seed)
    group = random.choice(["a", "b"], rows, p=[0.3, 0.7])
    income = random.gamma(4, 10, rows)
    debt = random.normal(0, 1, rows) + bias * (group == "a")
    purpose = random.choice(["car", "home", "tools"], rows)
    logit = -1.2 + 1.8 * debt - 0.04 * (income - 40) + 0.8 * (purpose == "car")
    bad = random.random(rows) < 1 / (1 + np.exp(-logit))
    debt[random.random(rows) < 0.05] = np.nan
    return {
        "income": income.round(3),
        "debt": debt.round(4),
        "purpose": purpose,
        "group": group,
        "bad": np.where(bad, "Y", "N"),
    }


def write_csv(path: Path, columns: dict[str, np.ndarray]) -> Path:
    """The columns as CSV; NaN is an empty field."""
    names = list(columns)
    lines = [",".join(names)]
    for values in zip(*columns.values(), strict=True):
        lines.append(",".join("" if value != value else str(value) for value in values))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def lay_out(directory: Path, config: dict[str, Any]) -> Path:
    """``contract.yaml``, ``model.yaml`` and ``loans.csv`` in a directory: what a command is given."""
    (directory / "contract.yaml").write_text(yaml.safe_dump(dump_contract(contract())))
    (directory / "model.yaml").write_text(yaml.safe_dump(config))
    write_csv(directory / "loans.csv", loans())
    return directory


def ticking(nanoseconds: int = 1) -> Clock:
    """A clock that goes on by so much at each look: no test waits, and none depends on the machine."""
    moments = itertools.count(step=nanoseconds)
    return lambda: next(moments)


class Run:
    """The steps' functions over files below a directory, as the pipeline calls them."""

    def __init__(
        self, directory: Path, agreed: Contract, columns: dict[str, np.ndarray], config: Any = None
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory, self.contract = directory, agreed
        self.champion = ("", "")  # bundle and digest
        self.clock: Clock = ticking()
        self.parts = parts_of(config or ModelConfig())
        self.data = write_csv(directory / "data.csv", columns)

    def path(self, name: str) -> Path:
        return self.directory / name

    def prepare(self) -> Summary:
        """Ingest to split; the split's key numbers."""
        import json

        p = self.path
        text = json.dumps(dump_contract(self.contract))
        ingest_records(str(self.data), text, p("records"), p("contract"), p("ingested"))
        validate(p("contract"), p("records"), p("profile"))
        features(p("contract"), p("records"), p("table"))
        return split(p("contract"), p("table"), self.parts["split_config"], p("assignment"), p("split"))

    def judge(self) -> Summary:
        """Train to latency; the evaluation's key numbers."""
        p = self.path
        train(
            p("contract"),
            p("table"),
            p("assignment"),
            self.parts["training_config"],
            p("model"),
            p("training"),
        )
        shown = evaluate(p("contract"), p("table"), p("assignment"), p("model"), p("metrics"), p("scores"))
        fairness(p("contract"), p("table"), p("scores"), p("fairness"))
        explain(p("contract"), p("table"), p("assignment"), p("model"), p("explain"))
        challenge(
            p("contract"),
            p("records"),
            p("table"),
            p("assignment"),
            p("model"),
            self.parts["training_config"],
            self.parts["challenge_config"],
            p("challenge"),
        )
        champion(
            p("contract"),
            p("ingested"),
            p("records"),
            p("table"),
            p("assignment"),
            p("model"),
            *self.champion,
            self.parts["split_config"],
            self.parts["champion_config"],
            p("champion"),
        )
        latency(
            p("contract"),
            p("table"),
            p("assignment"),
            p("model"),
            self.parts["latency_config"],
            p("latency"),
            self.clock,
        )
        return shown

    def gate(self) -> Summary:
        p = self.path
        return gate(
            p("metrics"),
            p("fairness"),
            p("explain"),
            p("challenge"),
            p("champion"),
            p("latency"),
            self.parts["gates_config"],
            p("validation"),
            p("judgement"),
        )

    @property
    def configs(self) -> dict[str, str]:
        return {name: self.parts[f"{name}_config"] for name in ("split", "training", "challenge", "gates")}

    def card(self) -> Summary:
        p = self.path
        return card(
            p("contract"),
            p("ingested"),
            p("profile"),
            p("split"),
            p("training"),
            p("metrics"),
            p("fairness"),
            p("explain"),
            p("challenge"),
            p("validation"),
            self.parts["identity"],
            self.configs,
            p("card.html"),
            p("card.json"),
        )

    def register(
        self,
        home: Path,
        *,
        by: str = "ann",
        run: str = "run-1",
        code: str = '{"digest": "x"}',
        bundles: str = "",
        source: str = "",
    ) -> Summary:
        p = self.path
        return register(
            p("contract"),
            p("ingested"),
            p("table"),
            p("assignment"),
            p("model"),
            p("metrics"),
            p("validation"),
            p("card.html"),
            p("card.json"),
            self.parts["identity"],
            self.configs,
            code,
            home,
            by,
            run,
            p("version"),
            bundles,
            source,
        )

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a query over the feature table, named ``t``."""
        with duckdb.connect() as connection:
            return connection.execute(
                f"WITH t AS (FROM read_parquet('{self.path('table')}')) {sql}"
            ).fetchall()
