"""The compiled encoder takes and refuses what the Python encoders do, value for value."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from serinus.contract import Contract, parse_contract
from serinus.model import FieldError, Vectorizer
from serinus.model import vector as vectors
from tests.support.bundles import CHANNELS, small_contract

DOCUMENT: dict[str, Any] = {
    "apiVersion": "serinus.io/v1",
    "kind": "DataContract",
    "name": "numbers",
    "columns": {
        "free": {"type": "number", "missing": "allow"},
        "ranged": {"type": "number", "min": -1, "max": 2.5},
        "least": {"type": "integer", "min": 0, "missing": "allow"},
        "level": {"type": "category", "categories": ["a", "b", "7"], "missing": "allow"},
        "strict": {"type": "category", "categories": ["a", "b"], "unknown": "refuse"},
        "bad": {"type": "boolean"},
    },
    "label": {"column": "bad", "positive": 1},
    "features": [{"name": n, "column": n} for n in ("free", "ranged", "least", "level", "strict")],
}
MARKED = float(np.uint64(0x7FF8000000000001).view(np.float64))
"""A NaN that carries something."""
NUMBERS = {**DOCUMENT, "features": DOCUMENT["features"][:3]}


def contract(document: dict[str, Any] = DOCUMENT) -> Contract:
    return parse_contract(document, where="test")


def both(document: dict[str, Any] = DOCUMENT) -> tuple[Vectorizer, Vectorizer]:
    """With the compiled encoder, and without."""
    levels = {"level": ("a", "b", "7"), "strict": ("a", "b")}
    fast, plain = Vectorizer(contract(document), levels), Vectorizer(contract(document), levels)
    assert fast._encode_good is not None
    plain._encode_good = None
    return fast, plain


def outcome(encode: Callable[[Any], Any], given: Any) -> Any:
    """The bits of the values, those of "missing" aside: nothing reads what a NaN carries."""
    try:
        made = encode(given)
        return np.where(np.isnan(made), math.nan, made).tobytes()
    except FieldError as error:
        return error.field, error.message


class Odd(float):
    def __float__(self) -> float:
        return 1.5


values = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-2, 3)
    | st.floats()
    | st.floats(-1, 2.5)
    | st.sampled_from([math.inf, -math.inf, math.nan])
    | st.sampled_from(["a", "b", "7", "", "x", 10**400, -(10**400), np.float64(1.0), np.int64(1), Odd(9)])
    | st.sampled_from([[1], {}, b"a", 1j])
)
cells = [values, values, values, values, values]
good = [
    st.none() | st.floats(allow_nan=False, allow_infinity=False),
    st.floats(-1, 2.5) | st.booleans(),
    st.none() | st.integers(0, 10),
    st.sampled_from(["a", "b", "7", None, "unseen"]),
    st.sampled_from(["a", "b"]),
]
one_odd = [st.tuples(*good[:k], values, *good[k + 1 :]) for k in range(len(good))]
rows = st.one_of(st.tuples(*good), *one_odd, st.tuples(*cells), st.lists(values, max_size=6).map(tuple))


@pytest.mark.skipif(vectors._native is None, reason="the kernel is not compiled")
class TestCompiledAsPlain:
    @settings(max_examples=500, deadline=None)
    @given(row=rows)
    @example(row=(MARKED, 0.0, None, "a", "a"))
    def test_a_row(self, row: tuple[Any, ...]) -> None:
        fast, plain = both()
        assert outcome(fast.encode_values, row) == outcome(plain.encode_values, row)
        assert outcome(fast.encode_values, list(row)) == outcome(plain.encode_values, list(row))

    @settings(max_examples=200, deadline=None)
    @given(table=st.lists(rows, max_size=4))
    def test_a_table(self, table: list[tuple[Any, ...]]) -> None:
        fast, plain = both()
        assert outcome(fast.encode_table, table) == outcome(plain.encode_table, table)


def test_a_table_names_the_row_and_the_feature() -> None:
    encoder = both()[0]
    with pytest.raises(FieldError) as caught:
        encoder.encode_table([[1, 1, 1, "a", "a"], [1, 9, 1, "a", "a"]])
    assert (caught.value.field, caught.value.message) == (
        "[1].ranged",
        "is 9; the contract allows 2.5 and less",
    )
    with pytest.raises(FieldError) as caught:
        encoder.encode_table([[1, 1, 1, "a", "a"], [1]])
    assert (caught.value.field, caught.value.message) == ("[1]", "has 1 values; this model takes 5")


@settings(max_examples=300, deadline=None)
@given(
    table=st.lists(
        st.tuples(*[st.floats() | st.floats(-1, 2.5) | st.integers(0, 2).map(float)] * 3),
        min_size=1,
        max_size=4,
    )
)
def test_a_matrix_is_encoded_as_its_rows(table: list[tuple[float, ...]]) -> None:
    encoder = Vectorizer(contract(NUMBERS), {})
    assert outcome(encoder.encode_matrix, np.array(table)) == outcome(encoder.encode_table, table)


@pytest.mark.parametrize(
    ("cell", "says"), [(1.0, "expected one of its levels as text"), (math.nan, "missing value")]
)
def test_a_level_is_not_taken_as_a_number(cell: float, says: str) -> None:
    encoder = Vectorizer(small_contract(), {"channel": CHANNELS})
    with pytest.raises(FieldError, match=says) as caught:
        encoder.encode_matrix(np.array([[20.0, 3.0, cell, np.nan, 0.1]]))
    assert caught.value.field == "[0].channel"


@pytest.mark.parametrize("shape", [(3,), (2, 4), (1, 3, 1)])
def test_a_matrix_of_another_width_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(FieldError, match="takes 3 columns"):
        Vectorizer(contract(NUMBERS), {}).encode_matrix(np.zeros(shape))


def test_a_matrix_may_be_of_integers_or_in_columns() -> None:
    encoder = Vectorizer(contract(NUMBERS), {})
    wanted = [[1.0, 2.0, 3.0], [4.0, 0.0, 6.0]]
    assert encoder.encode_matrix(np.array(wanted, dtype=np.int64)).tolist() == wanted  # pyright: ignore[reportArgumentType]
    assert encoder.encode_matrix(np.asfortranarray(wanted)).tolist() == wanted


def category(levels: tuple[str, ...], **column: Any) -> Vectorizer:
    document = {
        **DOCUMENT,
        "columns": {"kind": {"type": "category", **column}, "bad": {"type": "boolean"}},
        "features": [{"name": "kind", "column": "kind"}],
    }
    return Vectorizer(contract(document), {"kind": levels})


@pytest.mark.parametrize(
    ("levels", "value", "code"),
    [
        (("1", "2", "10"), 2, 1.0),
        (("1", "2", "10"), "2", 1.0),
        (("1", "2", "10"), " 2 ", 1.0),
        (("-1", "none"), -1, 0.0),
        (("false", "true"), True, 1.0),
        (("chip", "web"), " web", 1.0),
        # of the levels' kind, and not among them
        (("1", "2", "10"), 3, math.nan),
        (("1", "2", "10"), "three", math.nan),
        (("true",), False, math.nan),
        (("chip", "web"), "3", math.nan),
        # absent
        (("chip", "web"), None, math.nan),
        (("chip", "web"), "", math.nan),
        (("chip", "web"), "NA", math.nan),
    ],
)
def test_a_level_is_named_by_its_text_or_the_number_that_reads_so(
    levels: tuple[str, ...], value: object, code: float
) -> None:
    assert category(levels, missing="allow").encode_values([value]) == pytest.approx([code], nan_ok=True)


@pytest.mark.parametrize(
    ("levels", "value"),
    [
        (("chip", "web"), 3),
        (("chip", "web"), 0),
        (("chip", "web"), True),
        (("chip", "web"), 1.0),
        (("1", "2"), 1.0),
        (("1", "2"), True),
        (("1.5", "chip"), 1),
        ((), 1),
    ],
)
def test_what_is_not_of_the_levels_kind_is_refused_and_no_unknown_level(
    levels: tuple[str, ...], value: object
) -> None:
    with pytest.raises(FieldError) as caught:
        category(levels, missing="allow").encode_values([value])
    assert str(caught.value) == f"kind: is {value!r}; expected one of its levels as text"


@pytest.mark.parametrize("value", [None, "", " n/a "])
def test_an_absent_level_is_missing_and_not_unknown(value: object) -> None:
    with pytest.raises(FieldError, match="is missing, and the contract refuses a missing value"):
        category(("chip", "web")).encode_values([value])
