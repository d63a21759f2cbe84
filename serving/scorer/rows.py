"""Named values to the matrix a model reads, with the place of every refusal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from serinus.cards import holds_card_number
from serinus.contract.words import absent
from serinus.model import FieldError, Vectorizer
from serving.scorer.refusal import Refusal, bad

Floats = NDArray[np.float64]
Value = float | int | str | bool | None
Cells = Sequence[Value]
Place = Callable[[int, str], str]
After = Callable[[str], Awaitable[None] | None]


def _column(i: int, name: str) -> str:
    return f"[{i}].{name}"


class Parsed(msgspec.Struct, frozen=True):
    """A decoded request.

    Attributes:
        rows: encoded vectors, shape (n, F), n ≥ 1, or one vector (F,) in a tuple; NaN is missing.
            Empty where there are ``records``.
        unknown: the feature of every value of a category that training had not seen.
        request_id: the id in the body, if it gave one.
        outputs: names of the outputs asked for (V2); empty means all.
        packed: those of them that are sent in binary.
        records: what was sent of each event in a request by entity.
        where: the field that holds the records.
        place: the field of a column of the i-th record, in words that the sender knows.
        after: told the request's id once its rows are scored and recorded; awaited before the answer
            leaves. Never raises.
        subjects: whom each row is about, where decisions are sealed by person; None where nobody is named.
        notes: what the answer says of its features, where there is something to say.
    """

    rows: Floats | tuple[Floats, ...] = ()
    unknown: tuple[str, ...] = ()
    request_id: str | None = None
    outputs: tuple[str, ...] = ()
    packed: frozenset[str] = frozenset()
    records: Sequence[Mapping[str, object]] | None = None
    where: str = ""
    place: Place = _column
    after: After | None = None
    subjects: tuple[str | None, ...] | None = None
    notes: Mapping[str, str] = {}


def encode_named(
    vectorizer: Vectorizer, rows: Sequence[Mapping[str, Value]], where: str, place: Place | None = None
) -> Parsed:
    """Rows by feature name. Raises ``Refusal`` at ``where[i].feature``, or at ``place(i, feature)``."""

    def encode(i: int) -> Floats:
        return vectorizer.encode(rows[i])

    return _encode(vectorizer, len(rows), encode, lambda i, name: rows[i].get(name), where, place)


def encode_cells(
    vectorizer: Vectorizer, names: Sequence[str] | None, rows: Sequence[Cells], where: str
) -> Parsed:
    """Rows as lists, in the order of ``names`` (default: of the contract's features).

    Raises:
        Refusal: at ``where[i]`` for a wrong number of columns, ``where[i].feature``
            for a value, ``data.names`` for a name that is no feature or given twice.
    """
    order = list(vectorizer.names) if names is None else list(names)
    if names is not None:
        _check_names(vectorizer, order)
    place = {name: k for k, name in enumerate(order)}
    in_order = order == list(vectorizer.names)

    def encode(i: int) -> Floats:
        row = rows[i]
        if len(row) != len(order):
            raise bad(f"{where}[{i}]", f"has {len(row)} columns; expected {len(order)}: {', '.join(order)}")
        return (
            vectorizer.encode_values(row)
            if in_order
            else vectorizer.encode(dict(zip(order, row, strict=True)))
        )

    return _encode(
        vectorizer, len(rows), encode, lambda i, name: rows[i][place[name]] if name in place else None, where
    )


def _check_names(vectorizer: Vectorizer, names: Sequence[str]) -> None:
    seen: set[str] = set()
    for k, name in enumerate(names):
        if name in seen:
            raise bad(f"data.names[{k}]", f'"{name}" is given twice')
        if name not in vectorizer.names:
            known = ", ".join(vectorizer.names)
            raise bad(
                f"data.names[{k}]", f'"{name}" is not a feature of this model; its features are {known}'
            )
        seen.add(name)


def _encode(
    vectorizer: Vectorizer,
    count: int,
    encode: Callable[[int], Floats],
    value: Callable[[int, str], Value],
    where: str,
    place: Place | None = None,
) -> Parsed:
    if count == 0:
        raise bad(where, "holds no rows")
    out = np.empty((count, len(vectorizer.names)), dtype=np.float64)
    unknown: list[str] = []
    for i in range(count):
        try:
            out[i] = encode(i)
        except FieldError as error:
            field = place(i, error.field) if place is not None else f"{where}[{i}].{error.field}"
            raise bad(field, error.message) from error
        except (OverflowError, ValueError) as error:
            # An integer beyond every float, or too long even to be quoted.
            raise bad(f"{where}[{i}]", "holds a number too large for this model") from error
        for k in vectorizer.categorical:
            if out[i, k] != out[i, k] and not absent(value(i, vectorizer.names[k])):
                unknown.append(vectorizer.names[k])
    return Parsed(out, tuple(unknown))


def by_entity(records: Sequence[Mapping[str, object]], where: str, place: Place | None = None) -> Parsed:
    """A request by entity: the records as sent, at ``where[i].column`` unless ``place`` says otherwise."""
    if not records:
        raise bad(where, "holds no rows")
    return Parsed(records=records, where=where, place=place or (lambda i, name: f"{where}[{i}].{name}"))


def checked_id(value: str, field: str) -> str:
    """A request id as it may be logged and echoed: 1 to 128 printable ASCII characters, no card's number."""
    if not (0 < len(value) <= 128 and value.isascii() and value.isprintable()):
        raise Refusal(400, field, "a request id has 1 to 128 printable ASCII characters")
    if holds_card_number(value):
        # Not quoted: what refuses it must not keep it either.
        raise Refusal(400, field, "a request id must not hold a card number; send a random one")
    return value
