"""Nothing known too early: each check finds its leak in records and stays silent on sound ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from components.challenge.point_in_time import (
    Sources,
    of_entities,
    of_labels,
    of_later_records,
    of_timestamps,
)
from components.config import Challenge
from components.table import TEST, TRAIN, VALIDATION
from serinus.contract import Contract, parse_contract
from serinus.features.batch import compute_features

ROWS = 600


def payments(**changes: Any) -> Contract:
    """Payments with histories of a customer and of a terminal."""
    data: dict[str, Any] = {
        "apiVersion": "serinus.io/v1",
        "kind": "DataContract",
        "name": "payments",
        "columns": {
            "at": {"type": "timestamp"},
            "settled": {"type": "timestamp", "missing": "allow"},
            "customer": {"type": "id"},
            "terminal": {"type": "id"},
            "amount": {"type": "number", "min": 0},
            "fraud": {"type": "integer", "missing": "allow"},
        },
        "event": {"time": "at"},
        "entities": {"customer": "customer", "terminal": "terminal"},
        "label": {"column": "fraud", "positive": 1, "delay": "2d"},
        "features": [
            {"name": "amount", "column": "amount"},
            {"name": "count_1d", "entity": "customer", "aggregate": "count", "window": "1d"},
            {"name": "mean_1d", "entity": "customer", "aggregate": "mean", "column": "amount", "window": "1d"},
            {"name": "risk_7d", "entity": "terminal", "aggregate": "mean", "column": "fraud", "window": "7d",
             "delay": "2d"},
        ],
    }  # fmt: skip
    return parse_contract(data | changes, where="test")


def recorded(place: Path, *, late: int = 0, shuffled: bool = False) -> Path:
    """Records an hour apart, twelve customers; settled three hours before; the first ``late`` three after."""
    with duckdb.connect() as connection:
        connection.execute("SELECT setseed(0.5)")
        order = "ORDER BY hash(i)" if shuffled else "ORDER BY i"
        connection.execute(
            f"COPY (SELECT TIMESTAMP '2026-01-01' + to_hours(CAST(i AS BIGINT)) AS at, "
            f"TIMESTAMP '2026-01-01' + to_hours(CAST(i + CASE WHEN i < {late} THEN 3 ELSE -3 END AS BIGINT)) "
            "AS settled, 'c' || (i % 12) AS customer, 't' || (i % 5) AS terminal, "
            "round(hash(i) % 1000 / 10.0, 2) AS amount, CAST(hash(i * 7) % 9 = 0 AS INTEGER) AS fraud "
            f"FROM range({ROWS}) AS r(i) {order}) TO '{place}' (FORMAT parquet)"
        )
    return place


def sources(place: Path, contract: Contract, **options: Any) -> Sources:
    records = recorded(place / "records.parquet", **options)
    compute_features(contract, records, place / "table.parquet")
    return Sources(records, place / "table.parquet")


def parts() -> np.ndarray:
    return np.repeat(np.array([TRAIN, VALIDATION, TEST], dtype=np.uint8), ROWS // 3)


@pytest.mark.parametrize("shuffled", [False, True])
def test_features_that_look_back_only_are_the_same_without_the_later_records(
    tmp_path: Path, shuffled: bool
) -> None:
    found = of_later_records(
        Challenge(), payments(), sources(tmp_path, payments(), shuffled=shuffled), parts(), tmp_path
    )
    assert (found.verdict, found.value, found.n) == ("pass", 0.0, 421)


@pytest.mark.parametrize("feature", ["mean_1d", "risk_7d", "count_1d"])
def test_a_table_whose_feature_saw_later_records_is_found_and_the_feature_named(
    tmp_path: Path, feature: str
) -> None:
    """The same aggregate with a centred window, as a careless join makes it."""
    made = sources(tmp_path, payments())
    key = "terminal" if feature == "risk_7d" else "customer"
    value = {"mean_1d": "avg(amount)", "risk_7d": "avg(fraud)", "count_1d": "count(*)"}[feature]
    with duckdb.connect() as connection:
        connection.execute(
            f'COPY (WITH r AS (SELECT *, file_row_number AS row_id, {value} OVER (PARTITION BY {key} ORDER BY "at" '
            "RANGE BETWEEN INTERVAL 2 DAY PRECEDING AND INTERVAL 2 DAY FOLLOWING) AS leaked "
            f"FROM read_parquet('{made.records}', file_row_number = true)) "
            f"SELECT t.* REPLACE (CAST(r.leaked AS DOUBLE) AS {feature}) FROM read_parquet('{made.table}') AS t "
            f"JOIN r USING (row_id) ORDER BY t.event_time, row_id) TO '{tmp_path}/leaked.parquet' (FORMAT parquet)"
        )
    found = of_later_records(
        Challenge(), payments(), Sources(made.records, tmp_path / "leaked.parquet"), parts(), tmp_path
    )
    assert (found.verdict, found.blocks) == ("fail", True)
    assert found.why.startswith(f"{feature} changes in")


def test_a_contract_without_histories_has_nothing_to_take_away(tmp_path: Path) -> None:
    plain = payments(features=[{"name": "amount", "column": "amount"}])
    found = of_later_records(Challenge(), plain, sources(tmp_path, plain), parts(), tmp_path)
    assert (found.verdict, found.blocks) == ("no_data", False)


def test_a_timestamp_after_the_event_is_counted_where_a_feature_reads_it(tmp_path: Path) -> None:
    reads = payments(
        features=[
            {"name": "amount", "column": "amount"},
            {"name": "settled_at", "column": "settled", "part": "hour", "missing": "allow"},
        ]
    )
    found = of_timestamps(Challenge(), reads, sources(tmp_path, reads, late=150))
    assert (found.verdict, found.value, found.n) == ("fail", 0.25, ROWS)
    assert "settled is after at in 150 of 600 records" in found.why
    assert of_timestamps(Challenge(), reads, sources(tmp_path, reads)).verdict == "pass"
    # the same records, but no feature reads the column: what nobody reads leaks nothing
    assert of_timestamps(Challenge(), payments(), sources(tmp_path, payments(), late=150)).verdict == "pass"


def test_labels_that_came_after_the_first_test_row_are_counted() -> None:
    hours = (np.arange(ROWS) * 3_600_000_000).astype(np.int64)
    found = of_labels(Challenge(), payments(), parts(), hours)
    # an hour apart and known after two days: of the 400 rows before the test the last 47
    assert (found.verdict, found.value) == ("fail", 47 / 400)
    codes = parts()
    codes[353:400] = 0
    assert of_labels(Challenge(), payments(), codes, hours).value == 0
    assert of_labels(Challenge(labels_not_yet_known=0.2), payments(), parts(), hours).verdict == "pass"
    assert of_labels(Challenge(), payments(), parts(), None).verdict == "no_data"


def test_shared_entities_are_counted_and_judged_by_policy_only(tmp_path: Path) -> None:
    made = sources(tmp_path, payments(), shuffled=True)
    keys = {name: made.keys(payments(), name) for name in ("customer", "terminal")}
    for policy, verdicts in (({}, [False, False]), ({"customer": 0.0}, [True, False])):
        items = of_entities(Challenge(shared_entities=policy), payments(), keys, parts())
        assert [item.value for item in items] == [1.0, 1.0]
        assert [item.verdict == "fail" and item.blocks for item in items] == verdicts
    with duckdb.connect() as connection:
        names = connection.execute(
            f"SELECT r.customer FROM read_parquet('{made.records}', file_row_number = true) AS r "
            f"JOIN read_parquet('{made.table}') AS t ON t.row_id = r.file_row_number "
            "ORDER BY t.event_time, t.row_id"
        ).fetchnumpy()["customer"]
    once = np.where(parts() == TEST, [hash(name) % 2**32 + 99 for name in names], keys["customer"]).astype(
        np.uint64
    )
    (item,) = of_entities(
        Challenge(shared_entities={"customer": 0.0}), payments(), {"customer": once}, parts()
    )
    assert (item.verdict, item.value) == ("pass", 0.0)
    # a hash for a customer: rows of one customer have one key, of two customers two
    assert (
        len(set(zip(names.tolist(), keys["customer"].tolist(), strict=True)))
        == len(set(names.tolist()))
        == 12
    )
