"""Small typed record files for the feature tests."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from serinus.contract import Contract, parse_contract

START = datetime(2026, 1, 1)


def contract(
    *, arrival: bool = True, features: list[dict[str, Any]] | None = None, lateness: str = "7d", **more: Any
) -> Contract:
    """Card events with late arrivals, a boolean, a category and a label 3 h late."""
    return parse_contract(
        {
            "apiVersion": "serinus.io/v1",
            "kind": "DataContract",
            "name": "cards",
            "columns": {
                "id": {"type": "id"},
                "at": {"type": "timestamp"},
                "seen": {"type": "timestamp"},
                "card": {"type": "id", "missing": "allow"},
                "shop": {"type": "id"},
                "amount": {"type": "number", "missing": "allow"},
                "kind": {"type": "category", "missing": "allow"},
                "online": {"type": "boolean"},
                "bad": {"type": "integer", "missing": "allow"},
                "group": {"type": "category", "missing": "allow"},
            },
            "event": {
                "id": "id",
                "time": "at",
                "lateness": lateness,
                **({"arrival": "seen"} if arrival else {}),
            },
            "entities": {"card": "card", "shop": "shop"},
            "label": {"column": "bad", "positive": 1, "delay": "3h"},
            "protected": [{"column": "group"}],
            "features": features or FEATURES,
            **more,
        },
        where="test",
    )


FEATURES: list[dict[str, Any]] = [
    {"name": "amount", "column": "amount"},
    {"name": "kind", "column": "kind"},
    {"name": "online", "column": "online"},
    {"name": "day", "column": "at", "part": "day"},
    {"name": "hour", "column": "at", "part": "hour"},
    {"name": "weekday", "column": "at", "part": "weekday"},
    {"name": "weekend", "column": "at", "part": "is_weekend"},
    {"name": "night", "column": "at", "part": "is_night"},
    {"name": "n_2h", "entity": "card", "aggregate": "count", "window": "2h"},
    {"name": "n_6h", "entity": "card", "aggregate": "count", "window": "6h", "delay": "1h"},
    {"name": "sum_6h", "entity": "card", "aggregate": "sum", "column": "amount", "window": "6h"},
    {"name": "mean_6h", "entity": "card", "aggregate": "mean", "column": "amount", "window": "6h"},
    {"name": "std_6h", "entity": "shop", "aggregate": "std", "column": "amount", "window": "6h"},
    {"name": "min_6h", "entity": "shop", "aggregate": "min", "column": "amount", "window": "6h"},
    {"name": "max_2h", "entity": "shop", "aggregate": "max", "column": "amount", "window": "2h"},
    {"name": "online_6h", "entity": "card", "aggregate": "mean", "column": "online", "window": "6h"},
    {
        "name": "risk_3h",
        "entity": "shop",
        "aggregate": "mean",
        "column": "bad",
        "window": "3h",
        "delay": "3h",
    },
    {"name": "bad_6h", "entity": "shop", "aggregate": "sum", "column": "bad", "window": "6h", "delay": "3h"},
]

_TYPES = {
    "id": "VARCHAR",
    "at": "TIMESTAMP",
    "seen": "TIMESTAMP",
    "card": "VARCHAR",
    "shop": "VARCHAR",
    "amount": "DOUBLE",
    "kind": "VARCHAR",
    "online": "BOOLEAN",
    "bad": "BIGINT",
    "group": "VARCHAR",
}


def write_records(path: Path, records: Sequence[dict[str, Any]]) -> Path:
    """Typed Parquet of the records, in their order."""
    with duckdb.connect() as connection:
        columns = ", ".join(f'"{name}" {kind}' for name, kind in _TYPES.items())
        connection.execute(f"CREATE TABLE records ({columns})")
        if records:
            places = ", ".join(["(" + ", ".join("?" * len(_TYPES)) + ")"] * len(records))
            connection.execute(
                f"INSERT INTO records VALUES {places}",
                [record[name] for record in records for name in _TYPES],
            )
        connection.execute(f"COPY records TO '{path}' (FORMAT parquet)")
    return path


def read_rows(path: Path) -> list[dict[str, Any]]:
    """A Parquet file as dictionaries."""
    with duckdb.connect() as connection:
        cursor = connection.execute(f"SELECT * FROM read_parquet('{path}')")
        names = [column[0] for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
