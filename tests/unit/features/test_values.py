"""Every reading of a raw value has one meaning, in Python and in DuckDB."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import duckdb
import pytest

from serinus.contract import Label
from serinus.features.values import (
    from_micros,
    identifier,
    identifier_sql,
    label_sql,
    label_value,
    micros,
    number,
)

LABELS = [
    # positive, value, expected
    (1, "1", 1),
    (1, "1.0", 1),
    (1, 1, 1),
    (1, True, 1),
    (1, "true", 1),
    (1, "Y", 1),
    (1, 0, 0),
    (1, "no", 0),
    (1, "2", 0),
    (1, None, None),
    (1, "", None),
    (1, "NaN", None),
    (True, "yes", 1),
    (True, "1", 1),
    (True, "N", 0),
    ("Y", "y", 1),
    ("Y", "N", 0),
    ("Y", True, 1),
    ("N", "n", 1),
    ("N", "Y", 0),
    ("Charged Off", " charged off ", 1),
    ("Charged Off", "Fully Paid", 0),
    ("Charged Off", "1", 0),
    (2, "2.0", 1),
    (2, "1", 0),
    (0.5, 0.5, 1),
]


@pytest.mark.parametrize(("positive", "value", "expected"), LABELS)
def test_a_label_is_positive_however_its_value_is_spelt(
    positive: str | int | float | bool, value: object, expected: int | None
) -> None:
    label = Label(column="x", positive=positive)
    assert label_value(value, label) == expected
    row = duckdb.execute(f"SELECT {label_sql('x', label)} FROM (SELECT ? AS x)", [value]).fetchone()
    assert row == (expected,)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (596, "596"),
        ("596", "596"),
        (596.0, "596"),
        ("596.0", "596"),
        (" A-1 ", "A-1"),
        ("1.50", "1.50"),
        ("", None),
    ],
)
def test_an_entity_has_one_name_in_every_file(value: object, expected: str | None) -> None:
    assert identifier(value) == expected
    row = duckdb.execute(f"SELECT {identifier_sql('x')} FROM (SELECT ? AS x)", [value]).fetchone()
    assert row == (expected,)


@pytest.mark.parametrize(
    "value",
    [
        "2026-01-31T12:00:00",
        "2026-01-31 12:00:00",
        "2026-01-31T12:00:00Z",
        "2026-01-31T14:00:00+02:00",
        datetime(2026, 1, 31, 12, tzinfo=UTC),
        datetime(2026, 1, 31, 7, tzinfo=timezone(timedelta(hours=-5))),
    ],
)
def test_a_moment_is_the_same_in_every_zone(value: object) -> None:
    found = micros(value)
    assert found is not None
    assert from_micros(found) == datetime(2026, 1, 31, 12)


@pytest.mark.parametrize("value", ["yesterday", 17, 3.5])
def test_what_is_not_a_moment_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=str(value)):
        micros(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, 1.0),
        (True, 1.0),
        ("2.5", 2.5),
        ("yes", 1.0),
        ("abc", None),
        (float("inf"), None),
        (float("nan"), None),
    ],
)
def test_a_number_is_finite_or_absent(value: object, expected: float | None) -> None:
    assert number(value) == expected
