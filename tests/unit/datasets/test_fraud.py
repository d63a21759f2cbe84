"""The simulator keeps the published rules, whatever the seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest

from components.datasets.fraud import Shift, generate
from components.ingest import ingest
from serinus.contract import load_contract

CONTRACT = Path(__file__).parents[3] / "models" / "fraud" / "contract.yaml"
SMALL: dict[str, Any] = {"customers": 200, "terminals": 300, "days": 60}


def ask(path: Path, question: str) -> tuple[Any, ...]:
    row = duckdb.execute(question.replace("FROM tx", f"FROM '{path}'")).fetchone()
    assert row is not None
    return row


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fraud") / "tx.csv"
    assert generate(path, seed=3, **SMALL) > 10_000
    return path


def test_the_same_seed_gives_the_same_file_and_another_another(sample: Path, tmp_path: Path) -> None:
    generate(tmp_path / "same.csv", seed=3, **SMALL)
    generate(tmp_path / "other.csv", seed=4, **SMALL)
    assert (tmp_path / "same.csv").read_bytes() == sample.read_bytes()
    assert (tmp_path / "other.csv").read_bytes() != sample.read_bytes()


def test_every_kind_of_fraud_follows_its_rule(sample: Path) -> None:
    assert ask(sample, "SELECT count(*) FROM tx WHERE TX_FRAUD_SCENARIO = 0 AND TX_AMOUNT > 220") == (0,)
    assert ask(sample, "SELECT min(TX_AMOUNT) > 220 FROM tx WHERE TX_FRAUD_SCENARIO = 1") == (True,)
    assert ask(sample, "SELECT count(DISTINCT TX_FRAUD_SCENARIO) FROM tx")[0] >= 3
    assert ask(sample, "SELECT count(*) FROM tx WHERE (TX_FRAUD_SCENARIO > 0) <> (TX_FRAUD = 1)") == (0,)
    days = "SELECT max(TX_TIME_DAYS) - min(TX_TIME_DAYS) AS d"
    spread = ask(
        sample,
        f"SELECT max(d) FROM ({days} FROM tx WHERE TX_FRAUD_SCENARIO = 3 GROUP BY CUSTOMER_ID) AS spans",
    )
    assert spread[0] < 60


def test_rows_are_in_time_order_and_pass_the_contract(sample: Path, tmp_path: Path) -> None:
    late = "SELECT TX_DATETIME < lag(TX_DATETIME) OVER (ORDER BY TRANSACTION_ID) AS late FROM tx"
    assert ask(sample, f"SELECT count(*) FILTER (WHERE late) FROM ({late}) AS steps") == (0,)
    report = ingest(sample, load_contract(CONTRACT), tmp_path / "typed.parquet")
    assert 0.002 < report.positives / report.rows < 0.03
    assert report.dropped == ("TX_TIME_SECONDS", "TX_TIME_DAYS", "TX_FRAUD_SCENARIO")


def test_a_shift_changes_the_days_after_it_and_none_before(sample: Path, tmp_path: Path) -> None:
    shifted = tmp_path / "tx.csv"
    generate(shifted, seed=3, shift=Shift(day=40, amount_factor=2.0, bursts=0.02), **SMALL)
    before = "SELECT count(*), sum(TX_AMOUNT), sum(TX_FRAUD) FROM tx WHERE TX_TIME_DAYS < 40"
    assert ask(shifted, before) == ask(sample, before)
    mean = "SELECT avg(TX_AMOUNT) FROM tx WHERE TX_TIME_DAYS >= 40 AND TX_FRAUD_SCENARIO < 4"
    assert ask(shifted, mean)[0] == pytest.approx(2 * ask(sample, mean)[0], rel=1e-3)
    bursts = ask(
        shifted,
        "SELECT count(*) > 300, max(TX_AMOUNT) <= 10, min(TERMINAL_ID) >= 300, min(TX_TIME_DAYS) >= 40 "
        "FROM tx WHERE TX_FRAUD_SCENARIO = 4",
    )
    assert bursts == (True, True, True, True)


@pytest.mark.parametrize("size", [{"customers": 0}, {"terminals": 0}, {"days": 0}])
def test_a_size_of_nothing_is_refused(tmp_path: Path, size: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        generate(tmp_path / "tx.csv", **{**SMALL, **size})
