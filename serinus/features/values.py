"""Raw values to typed ones: the one reading that batch, stream and ingest share.

Each rule has a Python form and, where the batch engine needs it, a DuckDB
expression beside it; ``tests/unit/features/test_values.py`` holds the pairs equal.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from serinus.contract import Label
from serinus.contract.words import MISSING_WORDS, is_missing

TRUE_WORDS = ("true", "t", "yes", "y")
FALSE_WORDS = ("false", "f", "no", "n")

_EPOCH = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)
_WHOLE = re.compile(r"^(-?\d+)\.0+$")
_WORDS = {**dict.fromkeys(TRUE_WORDS, "1"), **dict.fromkeys(FALSE_WORDS, "0")}


def quote(identifier: str) -> str:
    """A DuckDB identifier, quoted; column names come from other people's files."""
    return '"' + identifier.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A DuckDB string literal."""
    return "'" + text.replace("'", "''") + "'"


def canonical(value: object) -> str | None:
    """A label value in the form in which two spellings of it are equal.

    ``True``, ``"Y"``, ``"yes"``, ``1``, ``"1.0"`` all give ``"1"``; other texts
    their lower case without blanks around; an absent value gives None.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    text = str(value).strip().lower()
    if text in MISSING_WORDS:
        return None
    text = _WORDS.get(text, text)
    try:
        number = float(text)
    except ValueError:
        return text
    return repr(number) if number % 1 else str(int(number)) if math.isfinite(number) else text


def label_value(value: object, label: Label) -> int | None:
    """1 for the contract's positive value, 0 for any other, None if not known."""
    text = canonical(value)
    return None if text is None else int(text == canonical(label.positive))


def label_sql(expression: str, label: Label) -> str:
    """``label_value`` as a DuckDB expression over a column of any type."""
    text = f"lower(trim(CAST({expression} AS VARCHAR)))"
    positive = canonical(label.positive)
    assert positive is not None
    missing = ", ".join(map(literal, MISSING_WORDS))
    words = " ".join(f"WHEN {literal(word)} THEN {literal(as_text)}" for word, as_text in _WORDS.items())
    plain = f"(CASE {text} {words} ELSE {text} END)"
    try:
        same = f"coalesce(TRY_CAST({plain} AS DOUBLE) = {float(positive)!r}, false)"
    except ValueError:
        same = f"{plain} = {literal(positive)}"
    return (
        f"(CASE WHEN {expression} IS NULL OR {text} IN ({missing}) THEN NULL WHEN {same} THEN 1 ELSE 0 END)"
    )


def micros(value: object) -> int | None:
    """Microseconds since 1970 UTC of a datetime or an ISO 8601 text; None if absent.

    A time without a zone is taken as UTC.

    Raises:
        ValueError: if it is neither.
    """
    if value is None:
        return None
    if isinstance(value, str):
        return _micros_of_text(value)
    if not isinstance(value, datetime):
        raise ValueError(f"{value!r} is not a timestamp")
    if value.tzinfo is not None:
        try:
            value = value.astimezone(UTC).replace(tzinfo=None)
        except OverflowError as error:  # the first or last day of the calendar, in a zone that leaves it
            raise ValueError(f"{value!r} is not a timestamp") from error
    return (value - _EPOCH) // _MICROSECOND


@lru_cache(maxsize=256)
def _micros_of_text(text: str) -> int | None:
    # A record's time is read by its check, its windows and each part of it: once is enough.
    return None if is_missing(text) else micros(datetime.fromisoformat(text.strip()))


def from_micros(time: int) -> datetime:
    """The inverse of ``micros``, without a zone."""
    return _EPOCH + time * _MICROSECOND


def identifier(value: object) -> str | None:
    """An id as text: ``596``, ``596.0`` and ``"596"`` name the same entity."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    text = str(value).strip()
    if is_missing(text):
        return None
    whole = _WHOLE.match(text) if "." in text else None
    return whole[1] if whole else text


def identifier_sql(expression: str) -> str:
    """``identifier`` as a DuckDB expression."""
    text = f"trim(CAST({expression} AS VARCHAR))"
    missing = ", ".join(map(literal, MISSING_WORDS))
    return (
        f"(CASE WHEN lower({text}) IN ({missing}) THEN NULL "
        rf"ELSE regexp_replace({text}, '^(-?\d+)\.0+$', '\1') END)"
    )


def number(value: object) -> float | None:
    """A finite number, None if absent or not one (the vectorizer says what is wrong with it)."""
    if value is None:
        return None
    if isinstance(value, str):
        word = _WORDS.get(value.strip().lower(), value)
        try:
            value = float(word)
        except ValueError:
            return None
    if not isinstance(value, (int, float)):
        return None
    value = float(value)
    return value if math.isfinite(value) else None


def present(record: Mapping[str, object], column: str | None) -> object | None:
    """The record's value of a column, None where the column or the value is absent."""
    return None if column is None else record.get(column)
