"""Records of a request by entity, checked by the contract before anything is read for them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime

from serinus.contract import Column, Contract
from serinus.contract.words import absent, level_text
from serinus.features.values import FALSE_WORDS, TRUE_WORDS, micros, number
from serinus.model import FieldError, Levels, level_kind
from serinus.numerals import exact

LONGEST = 200
"""Characters of what histories remember of a record: an id, or a label's text."""
LONGEST_TIME = 64
_FIRST_TOO_LONG = 10**LONGEST
_WORDS = frozenset((*TRUE_WORDS, *FALSE_WORDS, "0", "1"))
Check = Callable[[object], None]


class RecordCheck:
    """What the contract allows a record to be.

    A column that a feature, an entity or the event time rests on may be absent
    only where the contract allows it; others may always be. An event id is not
    needed to score, nor is the arrival.

    Args:
        labelled: the label may be there: records of the past that feed histories.
        text: numbers may be text, as in a CSV file.
        levels: of the features, where records are scored: a number may only stand for one that reads so.
    """

    def __init__(
        self,
        contract: Contract,
        *,
        labelled: bool = False,
        text: bool = False,
        levels: Levels | None = None,
    ) -> None:
        self._contract = contract
        self._protected = frozenset(p.column for p in contract.protected)
        self._label = contract.label.column
        self._labelled = labelled
        known: dict[str, Collection[str]] = {}
        for feature in contract.features:
            if feature.column is not None and levels is not None and contract.is_categorical(feature):
                known[feature.column] = levels.get(feature.name, ())
        self._checks = {
            name: _check(name, column, text, known.get(name))
            for name, column in contract.columns.items()
            if name not in self._protected and name != self._label
        }
        remembered = {contract.entity(name).column for name in contract.entities} | {contract.event.id}
        for name in self._checks.keys() & remembered:
            self._checks[name] = _remembered(name, self._checks[name])
        self._needed = tuple(
            name
            for name in _used(contract)
            if name in self._checks and contract.columns[name].missing == "refuse"
        )
        if labelled:
            self._checks[self._label] = _remembered(self._label, lambda value: None)

    def __call__(self, record: Mapping[str, object]) -> None:
        """Raises ``FieldError`` with the column at fault."""
        checks = self._checks
        without: list[str] = []
        for name, value in record.items():
            check = checks.get(name)
            if check is None:
                raise self._not_a_column(name)
            if absent(value):
                without.append(name)
            else:
                check(value)
        for name in self._needed:
            if name not in record or name in without:
                raise FieldError(name, "is missing, and the contract refuses a missing value")

    def _not_a_column(self, name: str) -> FieldError:
        if name in self._protected:
            return FieldError(
                name, "is a protected attribute; it must not be part of a decision, nor be sent for one"
            )
        if name == self._label:
            return FieldError(name, "is the label; a request must not bring its own answer")
        known = ", ".join(column for column in self._checks if column != self._label)
        return FieldError(
            name, f"is not a column of this contract that a request may hold; those are {known}"
        )


def _used(contract: Contract) -> list[str]:
    """Columns that scoring or the histories rest on, once each, in the contract's order."""
    used = {feature.column for feature in contract.features if feature.column is not None}
    used |= {
        contract.entity(feature.entity).column for feature in contract.features if feature.entity is not None
    }
    if contract.event.time is not None and any(feature.window for feature in contract.features):
        used.add(contract.event.time)
    return [name for name in contract.columns if name in used]


def _check(name: str, column: Column, text: bool, known: Collection[str] | None) -> Check:
    match column.type:
        case "number" | "integer":
            return _numeric(name, column, text)
        case "timestamp":
            return _timestamp(name)
        case "boolean":
            return _boolean(name)
        case "category":
            return _category(name, column, known)
        case "id":
            return _id(name)


def _numeric(name: str, column: Column, text: bool) -> Check:
    low, high, whole = column.min, column.max, column.type == "integer"

    def check(value: object) -> None:
        given = value
        if text and isinstance(value, str):
            value = number(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise FieldError(name, f"is {given!r}; expected a number")
        if not abs(value) < 1.7e308:
            raise FieldError(name, "is infinite or too large; expected a finite number")
        if whole and value != int(value):
            raise FieldError(name, f"is {given!r}; expected a whole number")
        if low is not None and value < low:
            raise FieldError(name, f"is {given!r}; the contract allows {exact(low)} and more")
        if high is not None and value > high:
            raise FieldError(name, f"is {given!r}; the contract allows {exact(high)} and less")

    return check


def _timestamp(name: str) -> Check:
    def check(value: object) -> None:
        if isinstance(value, str) and len(value) > LONGEST_TIME:
            raise FieldError(name, f"has {len(value):,} characters; a time has {LONGEST_TIME} at most")
        if not isinstance(value, str | datetime):
            raise FieldError(name, f"is {value!r}; expected a time in ISO 8601, such as 2026-01-31T12:00:00Z")
        try:
            micros(value)
        except ValueError as error:
            raise FieldError(
                name, f"is {value!r}; expected a time in ISO 8601, such as 2026-01-31T12:00:00Z"
            ) from error

    return check


def _boolean(name: str) -> Check:
    def check(value: object) -> None:
        known = value in (0, 1) if isinstance(value, int | float) else str(value).strip().lower() in _WORDS
        if not known:
            raise FieldError(name, f"is {value!r}; expected true or false")

    return check


def _category(name: str, column: Column, known: Collection[str] | None) -> Check:
    levels = None if column.categories is None else frozenset(column.categories)
    of_that_kind = level_kind(known) if known is not None else lambda value: isinstance(value, str | int)

    def check(value: object) -> None:
        if not of_that_kind(value):
            raise FieldError(name, f"is {value!r}; expected one of its levels as text")
        if levels is not None and column.unknown == "refuse" and level_text(value).strip() not in levels:
            raise FieldError(name, f"is {value!r}; the contract knows {', '.join(column.categories or ())}")

    return check


def _id(name: str) -> Check:
    def check(value: object) -> None:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise FieldError(name, f"is {value!r}; expected an id as text or a whole number")
        if isinstance(value, float) and value % 1:
            raise FieldError(name, f"is {value!r}; expected an id as text or a whole number")
        if isinstance(value, str) and not value.isprintable():
            raise FieldError(name, "has characters that cannot be printed")

    return check


def _remembered(name: str, check: Check) -> Check:
    """As ``check``, after the bound of what histories keep, whatever its column's type."""

    def bounded(value: object) -> None:
        refuse_long(value, name)
        check(value)

    return bounded


def refuse_long(value: object, field: str) -> None:
    """Raises ``FieldError`` for a text or a whole number that is too long to be remembered."""
    if isinstance(value, str):
        if len(value) > LONGEST:
            raise FieldError(field, f"has {len(value):,} characters; {LONGEST} at most")
    elif isinstance(value, int) and not -_FIRST_TOO_LONG < value < _FIRST_TOO_LONG:
        raise FieldError(field, f"has more than {LONGEST} digits")
