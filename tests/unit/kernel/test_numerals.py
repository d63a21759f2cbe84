"""Numbers as people read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.numerals import exact, figure

FINITE = st.floats(allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0.871234, 4, "0.8712"), (0.871234, 3, "0.871"), (12_345.6, 4, "12,346"), (12_345.6, 6, "12,345.6"),
        (9_999.6, 4, "10,000"), (1_234.4, 4, "1,234"), (1_234_567, 4, "1,234,567"), (-0.0, 4, "0"),
        (0.00012345, 4, "0.00012"), (1e-9, 4, "1e-9"), (float("nan"), 4, "nan"), (-1e6, 4, "-1,000,000"),
    ],
)  # fmt: skip
def test_a_figure_has_so_many_digits_and_its_thousands_apart(value: float, digits: int, text: str) -> None:
    assert figure(value, digits) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(10_000.0, "10,000"), (1e6, "1,000,000"), (0.9, "0.9"), (0.0125, "0.0125"), (123_456.5, "123,456.5"),
     (1e-9, "1e-9"), (0.000125, "0.000125"), (-0.0, "0"), (5, "5"), (2e20, "2e20"), (float("inf"), "inf")],
)  # fmt: skip
def test_a_limit_keeps_every_digit_that_somebody_wrote(value: float, text: str) -> None:
    assert exact(value) == text


@given(FINITE)
def test_an_exact_number_reads_back_as_itself(value: float) -> None:
    assert float(exact(value).replace(",", "")) == value


@given(st.floats(min_value=1e-3, max_value=1e12), st.integers(2, 8))
def test_a_figure_is_off_by_half_of_its_last_digit_at_most_and_has_no_exponent(
    value: float, digits: int
) -> None:
    text = figure(value, digits)
    assert "e" not in text
    assert abs(float(text.replace(",", "")) - value) <= max(
        0.5 * 10.0 ** (1 - digits) * value, 0.0
    ) * 1.000001 + (0.5 if value >= 10**digits - 0.5 else 0.0)
