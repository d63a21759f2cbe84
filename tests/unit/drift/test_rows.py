"""A payload's rows as the contract reads them, the same however they were sent."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.drift.payload import Table
from serving.drift.rows import MISSING, OUTSIDE, UNKNOWN, Batch, RowReader
from tests.support.bundles import small_records

GOOD = small_records(4, seed=3)
NAMES = tuple(GOOD[0])


def at(name: str) -> int:
    return NAMES.index(name)


def table(rows: list[dict[str, Any]], form: str) -> Table:
    if form == "mappings":
        return Table(None, (), rows)
    names = {"ordered": NAMES, "unnamed": NAMES, "shuffled": NAMES[::-1]}[form]
    return Table(None if form == "unnamed" else names, [[row.get(name) for name in names] for row in rows])


def parts(batch: Batch) -> tuple[Any, ...]:
    vectors = np.nan_to_num(batch.vectors, nan=-1.0).tolist()
    return vectors, batch.unknown.tolist(), batch.rejected.tolist(), dict(batch.refused)


values = st.sampled_from(
    [None, float("nan"), float("inf"), -1.0, 0.5, 3, 10**400, True, "chip", "app", [1], 1e9]
)
rows = st.lists(
    st.builds(
        lambda changes: {**GOOD[0], **changes}, st.dictionaries(st.sampled_from(NAMES), values, max_size=2)
    ),
    max_size=6,
)


@settings(deadline=None)
@given(rows=rows)
def test_the_form_of_a_payload_makes_no_difference_and_no_row_is_lost(
    reader: RowReader, rows: list[dict[str, Any]]
) -> None:
    read = [reader.read(table(rows, form)) for form in ("mappings", "ordered", "unnamed", "shuffled")]
    assert all(parts(other) == parts(read[0]) for other in read[1:])
    assert read[0].rows == len(rows)


@settings(deadline=None)
@given(rows=rows)
def test_a_batch_is_its_rows_one_by_one(reader: RowReader, rows: list[dict[str, Any]]) -> None:
    whole = reader.read(Table(None, (), rows))
    single = [reader.read(Table(None, (), [row])) for row in rows]
    assert whole.rows == sum(b.rows for b in single)
    assert len(whole.vectors) == sum(len(b.vectors) for b in single)
    assert (whole.rejected == sum((b.rejected for b in single), np.zeros((3, 5), int))).all()
    assert (whole.unknown == sum((b.unknown for b in single), np.zeros(5, int))).all()


@pytest.mark.parametrize(
    ("bad", "kind", "name"),
    [
        ({"amount": None}, MISSING, "amount"),
        ({"amount": -1}, OUTSIDE, "amount"),
        ({"amount": float("inf")}, OUTSIDE, "amount"),
        ({"hour": 24}, OUTSIDE, "hour"),
        ({"channel": None}, MISSING, "channel"),
    ],
)
def test_a_refused_value_counts_against_its_column(
    reader: RowReader, bad: dict[str, Any], kind: int, name: str
) -> None:
    batch = reader.read(Table(None, (), [GOOD[0], {**GOOD[1], **bad}, GOOD[2]]))
    assert len(batch.vectors) == 2
    assert batch.rejected[kind, at(name)] == batch.rejected.sum() == 1
    assert batch.refused == {}


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        ({"amount": "much"}, "amount"),
        ({"hour": 2.5}, "hour"),
        ({"hour": True}, "hour"),
        ({"channel": 1.5}, "channel"),
        ({"surprise": 1}, "other"),
    ],
)
def test_another_type_or_shape_is_refused(reader: RowReader, bad: dict[str, Any], field: str) -> None:
    batch = reader.read(Table(None, (), [GOOD[0], {**GOOD[1], **bad}]))
    assert (len(batch.vectors), dict(batch.refused), batch.rejected.sum()) == (1, {field: 1}, 0)


def test_an_unknown_level_that_the_contract_allows_is_told_from_a_missing_value(reader: RowReader) -> None:
    rows = [{**GOOD[0], "channel": "app"}, {**GOOD[1], "days_since_last": None}, GOOD[2]]
    batch = reader.read(Table(None, (), rows))
    assert len(batch.vectors) == 3
    assert batch.unknown.tolist() == [int(name == "channel") for name in NAMES]
    assert UNKNOWN not in np.flatnonzero(batch.rejected.any(axis=1))
    assert np.isnan(batch.vectors[1, at("days_since_last")])
