"""Named values become the vector that the model reads, or a refusal that names the field."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.model import FieldError, Vectorizer
from tests.support.bundles import CHANNELS, small_contract

SOUND: dict[str, Any] = {
    "amount": 20.0,
    "hour": 3,
    "channel": "chip",
    "days_since_last": None,
    "merchant_risk": 0.1,
}


def vectorizer() -> Vectorizer:
    return Vectorizer(small_contract(), {"channel": CHANNELS})


@pytest.mark.parametrize(
    ("change", "position", "value"),
    [
        ({}, 0, 20.0),
        ({}, 2, 0.0),
        ({"channel": "swipe"}, 2, 2.0),
        ({"channel": "carrier pigeon"}, 2, math.nan),
        ({}, 3, math.nan),
        ({"days_since_last": math.nan}, 3, math.nan),
        ({"days_since_last": 4}, 3, 4.0),
    ],
)
def test_a_value_is_encoded_by_its_column(change: dict[str, Any], position: int, value: float) -> None:
    vector = vectorizer().encode({**SOUND, **change})
    np.testing.assert_equal(vector[position], value)


@pytest.mark.parametrize(
    ("change", "field", "says"),
    [
        ({"amount": None}, "amount", "missing"),
        ({"amount": math.nan}, "amount", "missing"),
        ({"amount": math.inf}, "amount", "infinite"),
        ({"amount": 10**400}, "amount", "infinite"),
        ({"amount": -1}, "amount", "0 and more"),
        ({"amount": 1e9}, "amount", "and less"),
        ({"amount": "20"}, "amount", "expected a number"),
        ({"amount": True}, "amount", "expected a number"),
        ({"hour": 14.5}, "hour", "whole number"),
        ({"amount": [20]}, "amount", "expected a number"),
        ({"channel": 1.5}, "channel", "as text"),
        ({"channel": None}, "channel", "missing"),
        ({"sex": "f"}, "sex", "is not a feature"),
    ],
)
def test_what_the_contract_refuses_is_named(change: dict[str, Any], field: str, says: str) -> None:
    with pytest.raises(FieldError) as caught:
        vectorizer().encode({**SOUND, **change})
    assert caught.value.field == field
    assert says in caught.value.message


def test_a_batch_names_the_row_too() -> None:
    with pytest.raises(FieldError) as caught:
        vectorizer().encode_rows([SOUND, {**SOUND, "amount": -1}])
    assert caught.value.field == "[1].amount"


@given(
    amount=st.floats(0, 100000),
    hour=st.integers(0, 23),
    channel=st.sampled_from(CHANNELS),
    days=st.none() | st.floats(0, 1e6),
    risk=st.floats(0, 1),
)
def test_decoding_gives_back_what_was_encoded(
    amount: float, hour: int, channel: str, days: float | None, risk: float
) -> None:
    row = {"amount": amount, "hour": hour, "channel": channel, "days_since_last": days, "merchant_risk": risk}
    encoder = vectorizer()
    assert encoder.decode(encoder.encode(row)) == row


def test_training_and_serving_encode_alike() -> None:
    rows = [SOUND, {**SOUND, "channel": "online", "days_since_last": 2.0}]
    columns = {name: [row[name] for row in rows] for name in SOUND}
    encoder = vectorizer()
    np.testing.assert_array_equal(encoder.encode_columns(columns), encoder.encode_rows(rows))
