"""The batch engine alone: shape of the table, refusals, nothing half-written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from serinus.errors import SerinusError
from serinus.features import META, compute_features, iter_records, read_columns
from tests.unit.features.records import FEATURES, contract, read_rows, write_records
from tests.unit.features.test_stream import event

RECORDS = [
    {"bad": 1, "group": "g", **event("b", 5)},
    {"bad": 0, "group": "h", **event("a", 3)},
    {"bad": None, "group": None, **event("a", 4)},
    {"bad": None, "group": None, **event("c", 3, kind=None, amount=None)},
]


def test_rows_come_in_event_order_once_each_with_natural_values(tmp_path: Path) -> None:
    source = write_records(tmp_path / "in.parquet", RECORDS)
    table = compute_features(contract(), source, tmp_path / "out.parquet")
    assert (table.rows, table.duplicates) == (3, 1)
    rows = read_rows(tmp_path / "out.parquet")
    assert list(rows[0]) == [*META, "group", *(feature["name"] for feature in FEATURES)]
    assert [(r["row_id"], r["event_id"], r["label"], r["group"]) for r in rows] == [
        (1, "a", 0, "h"),
        (3, "c", None, None),
        (0, "b", 1, "g"),
    ]
    assert rows[0]["kind"] == "chip"
    assert rows[0]["online"] == 1.0
    assert rows[1]["kind"] is None
    assert rows[2]["n_2h"] == 2.0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.parquet", "out.parquet"]


def test_columns_read_back_as_arrays_with_absent_as_nan_or_none(tmp_path: Path) -> None:
    source = write_records(tmp_path / "in.parquet", RECORDS)
    compute_features(contract(), source, tmp_path / "out.parquet")
    found = read_columns(tmp_path / "out.parquet", ["amount", "kind", "label", "event_time"])
    assert found["amount"].tolist()[0] == 10.0
    assert str(found["amount"].tolist()[1]) == "nan"
    assert found["kind"].tolist() == ["chip", None, "chip"]
    assert found["event_time"].dtype == "datetime64[us]"


def test_records_come_in_order_of_arrival(tmp_path: Path) -> None:
    late = {"bad": 0, "group": "g", **event("late", 1, seen=event("", 9)["at"])}
    source = write_records(tmp_path / "in.parquet", [late, *RECORDS])
    assert [record["id"] for record in iter_records(source, contract())] == ["a", "c", "a", "b", "late"]


def test_an_event_known_only_later_is_not_in_the_past(tmp_path: Path) -> None:
    events = [event("1", 0, seen=event("", 2)["at"]), event("2", 1), event("3", 1.5), event("4", 2)]
    source = write_records(tmp_path / "in.parquet", [{"bad": 0, "group": "g", **e} for e in events])
    table = compute_features(contract(), source, tmp_path / "out.parquet")
    assert [row["n_2h"] for row in read_rows(tmp_path / "out.parquet")] == [0.0, 0.0, 1.0, 3.0]
    assert table.late > 0


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda path: path.write_bytes(b"not parquet"), "SRN-FEATURES-002"),
        (lambda path: path.unlink(), "SRN-FEATURES-002"),
    ],
)
def test_unreadable_records_are_refused_and_nothing_is_left_behind(
    tmp_path: Path, spoil: Callable[[Path], object], code: str
) -> None:
    source = write_records(tmp_path / "in.parquet", RECORDS)
    spoil(source)
    with pytest.raises(SerinusError) as caught:
        compute_features(contract(), source, tmp_path / "new" / "out.parquet")
    assert caught.value.code == code
    assert list((tmp_path / "new").iterdir()) == []


def test_records_without_time_are_refused_where_windows_need_it(tmp_path: Path) -> None:
    source = write_records(tmp_path / "in.parquet", [*RECORDS, {**RECORDS[0], "id": "z", "at": None}])
    with pytest.raises(SerinusError) as caught:
        compute_features(contract(), source, tmp_path / "out.parquet")
    assert caught.value.code == "SRN-FEATURES-003"
    assert "row 5" in caught.value.where


@pytest.mark.parametrize("name", ["label", "row_id", "group"])
def test_a_feature_must_not_take_the_name_of_another_column(tmp_path: Path, name: str) -> None:
    clash = contract(features=[{"name": name, "column": "amount"}])
    with pytest.raises(SerinusError) as caught:
        compute_features(clash, tmp_path / "in.parquet", tmp_path / "out.parquet")
    assert caught.value.code == "SRN-FEATURES-001"
