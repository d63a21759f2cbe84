"""A loans file as a stranger would bring it: other columns, texts, gaps, Y/N, US dates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from serinus.contract import Contract, parse_contract

GRADES = ("A", "B", "C", "D")
PURPOSES = ("car", "debt consolidation", "home, improvement", 'small "business"', "études")

CONTRACT: dict[str, Any] = {
    "apiVersion": "serinus.io/v1",
    "kind": "DataContract",
    "name": "loans",
    "columns": {
        "Loan ID": {"type": "id"},
        "branch": {"type": "id"},
        "issued": {"type": "timestamp"},
        "amount": {"type": "number", "min": 0, "unit": "USD"},
        "rate": {"type": "number", "min": 0, "max": 100},
        "income": {"type": "number", "min": 0, "missing": "allow"},
        "grade": {"type": "category", "categories": list(GRADES)},
        "purpose": {"type": "category", "missing": "allow"},
        "owner": {"type": "boolean", "missing": "allow"},
        "accounts": {"type": "integer", "min": 0},
        "defaulted": {"type": "category"},
    },
    "event": {"id": "Loan ID", "time": "issued"},
    "entities": {"branch": "branch"},
    "label": {"column": "defaulted", "positive": "Y", "delay": "90d"},
    "features": [
        *(
            {"name": n, "column": n}
            for n in ("amount", "rate", "income", "grade", "purpose", "owner", "accounts")
        ),
        {"name": "weekday", "column": "issued", "part": "weekday"},
        {"name": "branch_loans_30d", "entity": "branch", "aggregate": "count", "window": "30d"},
        {
            "name": "branch_defaults_180d",
            "entity": "branch",
            "aggregate": "mean",
            "column": "defaulted",
            "window": "180d",
            "delay": "90d",
        },
    ],
}


def contract() -> Contract:
    """The contract of the loans file."""
    return parse_contract(CONTRACT, where="loans")


def write_loans(out: Path, rows: int, *, seed: int = 1, delimiter: str = ",") -> Path:
    """A seeded CSV (gzip by suffix) of loans with more columns than the contract has."""
    chance = np.random.default_rng(seed)
    days = np.sort(chance.integers(0, 4 * 365, rows))
    income = np.where(chance.random(rows) < 0.1, np.nan, np.round(chance.lognormal(10.8, 0.5, rows), 2))
    grade = chance.integers(0, 4, rows)
    owner = chance.integers(0, 3, rows)
    table = {
        "n": np.arange(1, rows + 1),
        "member": chance.integers(0, 10**9, rows),
        "branch": chance.integers(100, 150, rows),
        "day": days,
        "amount": np.round(chance.lognormal(9, 0.8, rows), 2),
        "rate": np.round(5 + 4 * grade + chance.random(rows), 2),
        "income": income,
        "grade": np.array(GRADES, dtype=object)[grade],
        "purpose": np.array([*PURPOSES, None], dtype=object)[chance.integers(0, len(PURPOSES) + 1, rows)],
        "owner": np.array(["yes", "no", None], dtype=object)[owner],
        "accounts": chance.integers(0, 30, rows),
        "bad": chance.random(rows) < 0.05 + 0.08 * grade,
    }
    with duckdb.connect() as connection:
        connection.register("loans", table)
        connection.execute(
            "COPY (SELECT 'L-' || n AS \"Loan ID\", member, branch, "
            "strftime(DATE '2020-01-01' + day::INTEGER, '%m/%d/%Y') AS issued, "
            "amount, rate, income, grade, purpose, "
            "owner, accounts, CASE WHEN bad THEN 'Y' ELSE 'N' END AS defaulted, 'memo' AS remarks "
            "FROM loans ORDER BY n) "
            f"TO '{out}' (FORMAT csv, HEADER, DELIMITER '{delimiter}'"
            f"{', COMPRESSION gzip' if out.suffix == '.gz' else ''})"
        )
    return out
