"""Four candidates as they happen in practice, made of ordinary data, contracts and configs.

Nothing here reaches into the scorer: each fault is one that a team could really
ship, and each of these models passes its offline gates, because the fault is
not in what the gates see.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import yaml

from serinus.bundle import Bundle
from serinus.contract import Contract, dump_contract
from serinus.scoring import Scorer

FEW_VALUES = 20
FEW_ROWS = 20_000


@dataclass(frozen=True)
class Recipe:
    """One candidate to train.

    ``ends``: how its rollout must end. ``culprit``: the guard that must be named.
    ``fault`` is what went wrong in its making, for the reader.
    """

    name: str
    title: str
    fault: str
    ends: str
    culprit: str | None
    contract: Path
    config: Path
    data: Path


def telling_column(bundle: Bundle) -> str:
    """The number column, used as it is by a feature, that moves this model's score most.

    Grades and counts of few values are passed over: there is no tail of them to
    cut off, and no unit to mistake. Empty if no column is left.
    """
    contract, rows = bundle.contract, bundle.reference_rows
    weight = np.abs(Scorer(bundle).contributions(rows[:300])).mean(axis=0)
    plain = [
        (float(weight[i]), feature.column)
        for i, feature in enumerate(contract.features)
        if feature.column and feature.aggregate is None and feature.part is None
        if contract.columns[feature.column].type in ("number", "integer")
        if np.unique(rows[:, i][~np.isnan(rows[:, i])]).size > FEW_VALUES
    ]
    return max(plain)[1] if plain else ""


class Cookbook:
    """Writes what each recipe needs below one directory.

    Args:
        history: typed records that the champion was trained on.
        config: the champion's training config, as a mapping.
    """

    def __init__(
        self, directory: Path, contract: Contract, history: Path, config: dict[str, Any], column: str
    ) -> None:
        self._dir = directory
        self._contract = contract
        self._history = history
        self._config = config
        self._column = column
        directory.mkdir(parents=True, exist_ok=True)

    def errors(self) -> Recipe:
        """Trained on an extract that a limit had been put on; its contract refuses what lies above."""
        limit = self._quantile(0.95)
        document = dump_contract(self._contract)
        document["columns"][self._column]["max"] = limit
        data = self._records("errors", f'WHERE "{self._column}" IS NULL OR "{self._column}" <= {limit!r}')
        return Recipe(
            name="errors",
            title="a candidate that refuses some requests",
            fault=f"it was trained on an extract with {self._column} up to {limit:g}; its contract refuses more",
            ends="RolledBack",
            culprit="errors",
            contract=self._write("errors-contract.yaml", document),
            config=self._write_config("errors", {}),
            data=data,
        )

    def slow(self) -> Recipe:
        """Bigger trees than the data can bear, or very many: no worse offline, where they may take the
        memory they like; beyond what a scorer of the demo may, so that its compiled kernel cannot hold them."""
        # Few rows make small trees, so it takes more of them; together they learn as much.
        rounds = 220 if self._count() > FEW_ROWS else 6000
        change = {
            "rounds": rounds,
            "early_stopping": 0,
            "out_of_fold_rows": 0,
            "parameters": {
                "learning_rate": 2.2 / rounds,
                "num_leaves": 255,
                "min_data_in_leaf": 2,
                # Enough rows for big trees, and no more: this candidate is about serving, not training.
                "bagging_fraction": min(1.0, max(0.05, 200_000 / self._count())),
                "bagging_freq": 1,
            },
        }
        return Recipe(
            name="slow",
            title="a candidate that is slow",
            fault=f"it was trained with {rounds:,} trees of up to 255 leaves, and no one looked at what they take",
            ends="RolledBack",
            culprit="latency",
            contract=self._write("contract.yaml", dump_contract(self._contract)),
            config=self._write_config("slow", change),
            data=self._history,
        )

    def shifted(self) -> Recipe:
        """Trained on a column in the wrong unit; its offline metrics are as good as ever."""
        column = self._column
        declared = self._contract.columns[column]
        # The wrong scale must lie within the contract, or ingest would refuse it.
        low, divisor = (declared.min, 10) if declared.min else (0, 100)
        kind = "BIGINT" if declared.type == "integer" else "DOUBLE"
        data = self._records(
            "shifted", "", replace=f'CAST({low} + ("{column}" - {low}) / {divisor} AS {kind}) AS "{column}"'
        )
        how = f"divided by {divisor}" if not low else f"on another scale ({low:g} and a tenth of the rest)"
        return Recipe(
            name="shifted",
            title="a candidate whose scores are shifted",
            fault=f"in its training data {column} was {how}: a mistaken unit",
            ends="RolledBack",
            culprit="scores",
            contract=self._write("contract.yaml", dump_contract(self._contract)),
            config=self._write_config("shifted", {}),
            data=data,
        )

    def good(self) -> Recipe:
        """The champion's recipe, learning a little more slowly."""
        parameters = self._training().get("parameters") or {}
        rate = float(parameters.get("learning_rate", 0.05))
        return Recipe(
            name="good",
            title="a good candidate",
            fault="",
            ends="Promoted",
            culprit=None,
            contract=self._write("contract.yaml", dump_contract(self._contract)),
            config=self._write_config("good", {"parameters": {"learning_rate": round(rate * 0.95, 6)}}),
            data=self._history,
        )

    def _training(self) -> dict[str, Any]:
        return dict(self._config.get("training") or {})

    def _write_config(self, name: str, change: dict[str, Any]) -> Path:
        training = self._training()
        parameters = {**(training.get("parameters") or {}), **change.get("parameters", {})}
        training = {**training, **change, **({"parameters": parameters} if parameters else {})}
        return self._write(f"{name}-model.yaml", {**self._config, "training": training})

    def _write(self, name: str, document: dict[str, Any]) -> Path:
        path = self._dir / name
        path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        return path

    def _count(self) -> int:
        row = duckdb.execute("SELECT count(*) FROM read_parquet(?)", [str(self._history)]).fetchone()
        assert row is not None
        return max(1, int(row[0]))

    def _quantile(self, q: float) -> float:
        query = f'SELECT quantile_disc("{self._column}", {q}) FROM read_parquet(?)'
        row = duckdb.execute(query, [str(self._history)]).fetchone()
        assert row is not None
        return float(row[0])

    def _records(self, name: str, where: str, replace: str = "") -> Path:
        path = self._dir / f"{name}.parquet"
        columns = f"* REPLACE ({replace})" if replace else "*"
        source = str(self._history).replace("'", "''")
        target = str(path).replace("'", "''")
        duckdb.execute(
            f"COPY (SELECT {columns} FROM read_parquet('{source}') {where}) TO '{target}' (FORMAT parquet)"
        )
        return path
