"""The demo's records: cut without loss, shifted within the contract, enriched as they were known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest

from serinus.contract import Contract, parse_contract
from serving.local.demo import records

MICRO = 1_000_000


def contract(**amount: Any) -> Contract:
    return parse_contract(
        {
            "apiVersion": "serinus.io/v1",
            "kind": "DataContract",
            "name": "cards",
            "columns": {
                "id": {"type": "id"},
                "at": {"type": "timestamp"},
                "card": {"type": "id"},
                "amount": {"type": "number", "min": 0, **amount},
                "fraud": {"type": "integer"},
            },
            "event": {"id": "id", "time": "at"},
            "entities": {"card": "card"},
            "label": {"column": "fraud"},
            "features": [
                {"name": "amount", "column": "amount"},
                {"name": "used_1d", "entity": "card", "aggregate": "count", "window": "1d"},
            ],
        },
        where="test",
    )


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A hundred payments, one an hour, by two cards in turn, written in the wrong order."""
    path = tmp_path / "records.parquet"
    duckdb.execute(
        "COPY (SELECT i AS id, TIMESTAMP '2026-01-01' + INTERVAL (i) HOUR AS at, i % 2 AS card, "
        "CAST(i * 10 AS DOUBLE) AS amount, 0 AS fraud FROM range(100) t(i) ORDER BY hash(i)) "
        f"TO '{path}' (FORMAT parquet)"
    )
    return path


def ids(path: Path) -> list[int]:
    return [row["id"] for row in records.rows(path)]


def test_the_cut_is_in_time_and_loses_nothing(tmp_path: Path, source: Path) -> None:
    history, live = tmp_path / "history.parquet", tmp_path / "live.parquet"
    records.cut(contract(), source, history, live, share=0.25, seed=1)
    assert ids(history) == list(range(75))
    assert ids(live) == list(range(75, 100))


def test_undated_records_are_cut_by_the_seed(tmp_path: Path, source: Path) -> None:
    import msgspec

    from serinus.contract import Event

    undated = msgspec.structs.replace(contract(), event=Event(id="id"))
    parts: list[list[int]] = []
    for seed in (1, 1, 2):
        history, live = tmp_path / "history.parquet", tmp_path / "live.parquet"
        records.cut(undated, source, history, live, share=0.25, seed=seed)
        assert sorted(ids(history) + ids(live)) == list(range(100))
        parts.append(ids(live))
    assert parts[0] == parts[1] != parts[2]


@pytest.mark.parametrize(("limits", "largest"), [({}, 1980.0), ({"max": 1000}, 1000.0)])
def test_a_shift_stays_within_the_contract(
    tmp_path: Path, source: Path, limits: dict[str, Any], largest: float
) -> None:
    out = tmp_path / "shifted.parquet"
    records.shift(contract(**limits), source, out, "amount", 2.0)
    assert max(row["amount"] for row in records.rows(out)) == largest


def test_live_rows_know_the_past_and_not_themselves(tmp_path: Path, source: Path) -> None:
    history, live = tmp_path / "history.parquet", tmp_path / "live.parquet"
    records.cut(contract(), source, history, live, share=0.25, seed=1)
    stream = records.warm_stream(contract(), history)
    first, second, *_ = records.live_features(contract(), stream, records.rows(live))
    # Every other hour is this card's: twelve payments in the day before.
    assert first == {"amount": 750.0, "used_1d": 12.0}
    assert second["used_1d"] == 12.0


def test_joining_keeps_every_record(tmp_path: Path, source: Path) -> None:
    out = tmp_path / "joined.parquet"
    records.join([source, source], out)
    assert len(ids(out)) == 200
