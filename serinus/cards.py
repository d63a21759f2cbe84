"""Does a text hold what looks like a payment card's number?

A number counts that stands by itself (12 to 19 digits in a row, or in the groups
in which cards print them), begins as a card scheme's numbers do (ISO/IEC 7812
ranges of American Express, Diners, Discover, JCB, Maestro, Mastercard, Mir, UnionPay,
Visa), has a length that scheme issues, and whose last digit is the Luhn check
digit (ISO/IEC 7812-1, annex B). Of random 16-digit numbers about one in forty does.
"""

from __future__ import annotations

import re

_FAST = re.compile(r"[0-9]{4}[0-9 -]{3}[0-9 -]{5}")
# 12 to 19 digits, alone or grouped as on cards; letters or digits beside them make it something else.
_CANDIDATE = re.compile(
    r"(?<![0-9A-Za-z])"
    r"(?:[0-9]{12,19}|[0-9]{4}([ -])[0-9]{4}\1[0-9]{4}\1[0-9]{1,7}|[0-9]{4}([ -])[0-9]{6}\2[0-9]{4,5})"
    r"(?![0-9A-Za-z])"
)
_SCHEMES = (
    re.compile(r"4(?:\d{12}|\d{15}|\d{18})"),  # Visa
    re.compile(r"(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}"),  # Mastercard
    re.compile(r"3[47]\d{13}"),  # American Express
    re.compile(r"3(?:0[0-5]\d|[689]\d\d)\d{10}"),  # Diners Club
    re.compile(r"(?:6011|64[4-9]\d|65\d\d)\d{12}(?:\d{3})?"),  # Discover
    re.compile(r"35(?:2[89]|[3-8]\d)\d{12}(?:\d{3})?"),  # JCB
    re.compile(r"(?:62|81)\d{14}(?:\d{3})?"),  # UnionPay
    re.compile(r"(?:5018|5020|5038|5893|6304|6759|676[1-3])\d{8,15}"),  # Maestro
    re.compile(r"220[0-4]\d{12}(?:\d{3})?"),  # Mir
)


def holds_card_number(text: str) -> bool:
    """Whether the text holds such a number, spaced by blanks or hyphens or not at all."""
    if text.isalnum() and not text.isdigit():
        return False
    if not _FAST.search(text):
        return False
    return any(_is_card(match[0]) for match in _CANDIDATE.finditer(text))


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of those before it."""
    total = sum(int(d) for d in digits[-1::-2])
    total += sum(sum(divmod(2 * int(d), 10)) for d in digits[-2::-2])
    return total % 10 == 0


def _is_card(found: str) -> bool:
    digits = found.replace(" ", "").replace("-", "")
    return any(scheme.fullmatch(digits) for scheme in _SCHEMES) and luhn(digits)
