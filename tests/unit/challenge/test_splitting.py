"""Split amounts: what the formula makes of the histories is what the feature engine makes of the split records."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pytest

from components.challenge.challenge import check_settings
from components.challenge.splitting import of_splitting, split
from components.config import Challenge, Splitting
from components.table import read_features
from serinus.contract import Contract
from serinus.errors import SerinusError
from serinus.features.batch import compute_features
from tests.unit.challenge.test_early_knowledge import payments

Floats = np.ndarray


def histories() -> Contract:
    names = ("count", "sum", "mean", "min", "max")
    features = [{"name": "amount", "column": "amount"}]
    features += [
        {"name": f"{name}_1d", "entity": "customer", "aggregate": name, "window": "1d"}
        | ({} if name == "count" else {"column": "amount"})
        for name in names
    ]
    features.append(
        {
            "name": "old_sum",
            "entity": "customer",
            "aggregate": "sum",
            "column": "amount",
            "window": "1d",
            "delay": "1d",
        }
    )
    features.append({"name": "terminal_count", "entity": "terminal", "aggregate": "count", "window": "1d"})
    return payments(features=features)


def test_the_parts_have_the_features_that_the_engine_gives_the_split_records(tmp_path: Path) -> None:
    contract = histories()
    with duckdb.connect() as connection:
        earlier = (
            "SELECT TIMESTAMP '2026-01-01' + to_minutes(CAST(i * 100 AS BIGINT)) AS at, NULL::TIMESTAMP AS settled, "
            "'c' AS customer, 't' || (i % 2) AS terminal, 10.0 + i AS amount, 0 AS fraud FROM range(30) AS r(i)"
        )
        last = "TIMESTAMP '2026-01-03 06:00:30'"
        whole, parts = tmp_path / "whole.parquet", tmp_path / "parts.parquet"
        connection.execute(
            f"COPY ({earlier} UNION ALL SELECT {last}, NULL, 'c', 'elsewhere', 80.0, 1) TO '{whole}' (FORMAT parquet)"
        )
        connection.execute(
            f"COPY ({earlier} UNION ALL SELECT {last} + to_microseconds(CAST(i AS BIGINT)), NULL, 'c', 'elsewhere', "
            f"20.0, 1 FROM range(4) AS r(i)) TO '{parts}' (FORMAT parquet)"
        )
    tables: list[Floats] = []
    for records in (whole, parts):
        compute_features(contract, records, tmp_path / "t.parquet")
        columns = read_features(contract, tmp_path / "t.parquet").columns
        tables.append(np.column_stack([columns[name] for name in contract.feature_names]))
    found = split(Splitting(column="amount", parts=4, entity="customer"), contract, tables[0][-1:])
    expected = tables[1][-4:].copy()
    expected[:, -1] = tables[0][
        -1, -1
    ]  # whoever splits goes to other terminals; only the card's history tells
    assert np.concatenate(found) == pytest.approx(expected, nan_ok=True)


def test_what_is_caught_as_one_and_not_as_several_has_escaped() -> None:
    contract = payments(features=[{"name": "amount", "column": "amount"}])
    rows, outcome = np.array([[90.0], [300.0], [30.0], [400.0]]), np.array([1.0, 1.0, 1.0, 0.0])

    def notices(part: Floats) -> Floats:
        return (part[:, 0] >= 60).astype(np.float64)

    limits = Challenge(splitting=(Splitting(column="amount", parts=3, escaped_max=0.4),))
    (item,), (row,) = of_splitting(limits, contract, rows, outcome, notices)
    # 90 becomes three of 30 and escapes; 300 is noticed still; 30 was never caught, 400 is no fraud
    assert (item.value, item.n, item.verdict, item.blocks) == (0.5, 2, "fail", True)
    assert (row["caught_whole"], row["escaped"], row["noticed_at_part"]) == (2, 1, 1.0)


def test_histories_that_know_the_earlier_parts_give_the_attempt_away() -> None:
    contract = payments(
        features=[
            {"name": "amount", "column": "amount"},
            {"name": "n", "entity": "customer", "aggregate": "count", "window": "1d"},
        ]
    )
    rows, outcome = np.array([[90.0, 0.0]]), np.array([1.0])

    def notices(part: Floats) -> Floats:
        return ((part[:, 0] >= 60) | (part[:, 1] >= 2)).astype(np.float64)

    attempt = Splitting(column="amount", parts=3, escaped_max=0.4)
    (item,), (row,) = of_splitting(Challenge(splitting=(attempt,)), contract, rows, outcome, notices)
    assert (item.verdict, item.value, row["noticed_at_part"]) == ("pass", 0.0, 3.0)


def test_nothing_caught_is_no_data() -> None:
    contract = payments(features=[{"name": "amount", "column": "amount"}])
    limits = Challenge(splitting=(Splitting(column="amount"),))
    items, table = of_splitting(limits, contract, np.ones((3, 1)), np.ones(3), lambda part: part[:, 0] * 0)
    assert (items[0].verdict, items[0].blocks, table) == ("no_data", False, [])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (Challenge(splitting=(Splitting(column="customer"),)), "no feature is the number customer"),
        (Challenge(splitting=(Splitting(column="amount", entity="shop"),)), "there is no entity shop"),
        (Challenge(shared_entities={"applicant": 0.0}), "shared_entities: there is no entity applicant"),
    ],
)
def test_what_the_contract_does_not_have_is_refused(settings: Challenge, said: str) -> None:
    with pytest.raises(SerinusError, match=said) as caught:
        check_settings(settings, payments())
    assert caught.value.code == "SRN-PIPELINE-023"
