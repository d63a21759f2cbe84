"""Card numbers are known from the other numbers that requests carry."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.cards import holds_card_number, luhn

# The schemes' published test numbers.
CARDS = [
    "4111111111111111", "4012888888881881", "4222222222222", "5555555555554444", "5105105105105100",
    "2223003122003222", "378282246310005", "371449635398431", "30569309025904", "38520000023237",
    "6011111111111117", "6011000990139424", "3530111333300000", "3566002020360505", "6200000000000005",
    "6759649826438453", "2200770239097761",
]  # fmt: skip


@pytest.mark.parametrize("card", CARDS)
def test_a_card_number_is_found_alone_within_text_and_grouped(card: str) -> None:
    grouped = [" ".join(card[i : i + 4] for i in range(0, len(card), 4))] if len(card) == 16 else []
    for written in (card, *grouped, *(g.replace(" ", "-") for g in grouped)):
        for text in (written, f"order:{written}", f"a_{written}_b", f"({written})", f"x {written}, y"):
            assert holds_card_number(text), text


def test_amex_grouping() -> None:
    assert holds_card_number("3782 822463 10005")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4111111111111112",  # the check digit is wrong
        "1111111111111117",  # no scheme's range
        "41111111111111111111",  # 20 digits
        "a4111111111111111",
        "4111111111111111f",
        "4111 1111-1111 1111",
        "411111111111",
        "2026-09-21T10:00:00.123456Z",
        "1790000000000",
        "+49 30 123456789012",
    ],
)
def test_other_numbers_are_let_by(text: str) -> None:
    assert not holds_card_number(text)


@given(st.uuids(version=4))
def test_a_uuid_is_never_taken_for_one(made: uuid.UUID) -> None:
    assert not holds_card_number(str(made))
    assert not holds_card_number(made.hex)


@given(st.integers(0, 10**15 - 1), st.integers(0, 15), st.integers(1, 9))
def test_the_check_digit_finds_every_wrong_digit(number: int, place: int, off: int) -> None:
    digits = f"{number:015d}"
    whole = next(digits + str(check) for check in range(10) if luhn(digits + str(check)))
    wrong = whole[:place] + str((int(whole[place]) + off) % 10) + whole[place + 1 :]
    assert not luhn(wrong)
