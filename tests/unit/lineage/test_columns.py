"""Which columns a feature is made of, read off the contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from serinus.contract import Contract, load_contract, parse_contract
from serinus.lineage.columns import column_lineage, made_from, made_of, meta_sources, whole_table

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def fraud() -> Contract:
    return load_contract(ROOT / "models" / "fraud" / "contract.yaml")


@pytest.mark.parametrize(
    ("feature", "sources"),
    [
        ("amount", [("TX_AMOUNT", "DIRECT", "IDENTITY")]),
        ("is_night", [("TX_DATETIME", "DIRECT", "TRANSFORMATION")]),
        ("customer_count_7d", [("CUSTOMER_ID", "INDIRECT", "GROUP_BY"), ("TX_DATETIME", "INDIRECT", "WINDOW")]),
        ("customer_mean_7d", [("TX_AMOUNT", "DIRECT", "AGGREGATION"), ("CUSTOMER_ID", "INDIRECT", "GROUP_BY"),
                              ("TX_DATETIME", "INDIRECT", "WINDOW")]),
        ("terminal_risk_7d", [("TX_FRAUD", "DIRECT", "AGGREGATION"), ("TERMINAL_ID", "INDIRECT", "GROUP_BY"),
                              ("TX_DATETIME", "INDIRECT", "WINDOW")]),
    ],
)  # fmt: skip
def test_a_feature_names_its_columns(
    fraud: Contract, feature: str, sources: list[tuple[str, str, str]]
) -> None:
    assert [(s.column, s.type, s.subtype) for s in made_of(fraud)[feature]] == sources


def test_how_it_is_made_can_be_read(fraud: Contract) -> None:
    mean = made_of(fraud)["terminal_risk_7d"][0]
    assert mean.description == "mean over the terminal's earlier events of the last 7d before the last 7d"
    assert made_of(fraud)["is_night"][0].description == "is_night of TX_DATETIME, in UTC"


def test_downstream_is_upstream_read_backwards(fraud: Contract) -> None:
    upstream = made_of(fraud)
    for column in fraud.columns:
        assert made_from(fraud, column) == tuple(
            name for name, sources in upstream.items() if column in {s.column for s in sources}
        )
    assert made_from(fraud, "TX_AMOUNT") == (
        "amount", "customer_mean_1d", "customer_mean_7d", "customer_mean_30d",
    )  # fmt: skip
    assert made_from(fraud, "TRANSACTION_ID") == ()


@pytest.mark.parametrize("model", ["fraud", "credit"])
def test_every_feature_has_sources_and_all_are_columns_of_the_contract(model: str) -> None:
    contract = load_contract(ROOT / "models" / model / "contract.yaml")
    everything = {**made_of(contract), **meta_sources(contract)}
    assert set(contract.feature_names) <= set(everything)
    for sources in everything.values():
        assert sources
        assert {s.column for s in sources} <= set(contract.columns)
    assert {s.column for s in whole_table(contract)} <= set(contract.columns)


def test_arrival_decides_which_events_count() -> None:
    contract = parse_contract(
        {
            "apiVersion": "serinus.io/v1", "kind": "DataContract", "name": "late",
            "columns": {
                "id": {"type": "id"}, "at": {"type": "timestamp"}, "came": {"type": "timestamp"},
                "who": {"type": "id"}, "bad": {"type": "integer"},
            },
            "event": {"id": "id", "time": "at", "arrival": "came"},
            "entities": {"person": "who"}, "label": {"column": "bad"},
            "features": [{"name": "n", "entity": "person", "aggregate": "count", "window": "1d"}],
        },
        where="test",
    )  # fmt: skip
    assert [(s.column, s.subtype) for s in made_of(contract)["n"]] == [
        ("who", "GROUP_BY"), ("at", "WINDOW"), ("came", "FILTER"),
    ]  # fmt: skip


def test_the_facet_points_every_source_at_the_dataset(fraud: Contract) -> None:
    facet = column_lineage(made_of(fraud), namespace="file", name="/tx.csv", whole=whole_table(fraud))
    assert list(facet["fields"]) == list(fraud.feature_names)
    pointed = [field for each in facet["fields"].values() for field in each["inputFields"]] + facet["dataset"]
    assert {(each["namespace"], each["name"]) for each in pointed} == {("file", "/tx.csv")}
    assert [(each["field"], each["transformations"][0]["subtype"]) for each in facet["dataset"]] == [
        ("TRANSACTION_ID", "FILTER"), ("TX_DATETIME", "SORT"),
    ]  # fmt: skip
