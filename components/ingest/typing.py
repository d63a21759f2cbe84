"""Text to typed values, in DuckDB: what each column type of the contract accepts."""

from __future__ import annotations

from serinus.contract import Column
from serinus.contract.words import MISSING_WORDS
from serinus.features.values import FALSE_WORDS, TRUE_WORDS, identifier_sql, literal, quote
from serinus.numerals import exact

ISO = "ISO 8601"
_DAY_FIRST = ("%d/%m/%Y", "%d-%m-%Y")
_MONTH_FIRST = ("%m/%d/%Y", "%m-%d-%Y")
_DATES = (*_DAY_FIRST, *_MONTH_FIRST, "%d.%m.%Y", "%Y/%m/%d", "%Y.%m.%d", "%d-%b-%Y", "%d %b %Y", "%b %d, %Y")
_TIMES = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M:%S %p", " %I:%M %p")
_OTHERS = ("%b-%Y", "%b %Y", "%B %Y", "%b-%y", "%Y-%m", "%m/%Y", "%Y%m%d", "%Y%m%d%H%M%S")
FORMATS = tuple(date + time for date in _DATES for time in _TIMES) + _OTHERS
"""Formats that are tried where a column is not all ISO 8601 (DuckDB's strptime)."""


def swapped(first: str, second: str) -> bool:
    """Whether two formats differ only in which of day and month comes first."""
    for day, month in zip(_DAY_FIRST, _MONTH_FIRST, strict=True):
        for one, other in ((first, second), (second, first)):
            if one.startswith(day) and other.startswith(month) and one[len(day) :] == other[len(month) :]:
                return True
    return False


def present_sql(column: str) -> str:
    """The column's text, null where it means an absent value."""
    missing = ", ".join(map(literal, MISSING_WORDS))
    return f"(CASE WHEN lower({quote(column)}) IN ({missing}) THEN NULL ELSE {quote(column)} END)"


def timestamp_sql(text: str, time_format: str) -> str:
    """A timestamp in UTC; a time without a zone is taken as UTC."""
    if time_format != ISO:
        return f"CAST(try_strptime({text}, {literal(time_format)}) AS TIMESTAMP)"
    moment = f"(TRY_CAST({text} AS TIMESTAMPTZ) AT TIME ZONE 'UTC')"
    return f"(CASE WHEN isfinite({moment}) THEN {moment} END)"


def typed_sql(name: str, column: Column, time_format: str) -> str:
    """The typed value of a text column; null where absent or not of the type."""
    text = present_sql(name)
    match column.type:
        case "number":
            return f"(CASE WHEN isfinite({_double(text)}) THEN {_double(text)} END)"
        case "integer":
            # not TRY_CAST alone: it rounds 1.5 to 2
            double = _double(text)
            return (
                rf"(CASE WHEN regexp_full_match({text}, '[+-]?\d+') THEN TRY_CAST({text} AS BIGINT) "
                f"WHEN isfinite({double}) AND {double} = trunc({double}) "
                f"THEN TRY_CAST({double} AS BIGINT) END)"
            )
        case "boolean":
            true = ", ".join(map(literal, (*TRUE_WORDS, "1", "1.0")))
            false = ", ".join(map(literal, (*FALSE_WORDS, "0", "0.0")))
            word = f"lower({text})"
            return f"(CASE WHEN {word} IN ({true}) THEN true WHEN {word} IN ({false}) THEN false END)"
        case "timestamp":
            return timestamp_sql(text, time_format)
        case "id":
            return identifier_sql(quote(name))
        case "category":
            return text


def _double(text: str) -> str:
    return f"(CASE WHEN contains({text}, '_') THEN NULL ELSE TRY_CAST({text} AS DOUBLE) END)"


def expectation(column: Column) -> str:
    """What was expected of a value, in words."""
    if column.categories is not None:
        return "one of " + ", ".join(column.categories)
    noun = {
        "number": "a number",
        "integer": "a whole number",
        "boolean": "true or false (also yes/no, Y/N, 1/0)",
        "timestamp": "a time such as 2026-01-31T12:00:00",
        "id": "an identifier",
        "category": "a text",
    }[column.type]
    if column.min is not None and column.max is not None:
        return f"{noun} from {exact(column.min)} to {exact(column.max)}"
    if column.min is not None:
        return f"{noun} ≥ {exact(column.min)}"
    if column.max is not None:
        return f"{noun} ≤ {exact(column.max)}"
    return noun


def word_sql(name: str) -> str:
    """A label's text with yes, no, true and false as 1 and 0, for a label of type number or integer."""
    text = quote(name)
    cases = " ".join(
        f"WHEN lower({text}) IN ({', '.join(map(literal, words))}) THEN '{digit}'"
        for words, digit in ((TRUE_WORDS, 1), (FALSE_WORDS, 0))
    )
    return f"(CASE {cases} ELSE {text} END)"
