"""From named values to the vector a model reads: the same for training and serving."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from serinus.contract import Contract, Feature
from serinus.contract.words import absent, level_text
from serinus.model.levels import Levels, level_kind
from serinus.numerals import exact

try:
    from serinus.model import _native
except ImportError:  # not compiled: see hatch_build.py
    _native = None

if TYPE_CHECKING:
    from serinus.model._native import Encoder

Vector = NDArray[np.float64]
_NAN = float("nan")


class FieldError(ValueError):
    """A value that the contract refuses. ``field`` names it, ``message`` says why."""

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        self.message = message
        super().__init__(f"{field}: {message}")


class Vectorizer:
    """Encodes named values as float vectors by a contract.

    Numbers stand as they are, booleans as 0 and 1, levels as their code,
    missing values as NaN. A value the contract refuses raises ``FieldError``;
    an unknown level that it allows counts as missing.
    """

    def __init__(self, contract: Contract, levels: Levels) -> None:
        self.names = contract.feature_names
        self.categorical = tuple(i for i, f in enumerate(contract.features) if contract.is_categorical(f))
        self.levels = levels
        self._known = frozenset(self.names)
        self._encoders = [(f.name, _encoder(contract, f, levels.get(f.name, ()))) for f in contract.features]
        limits = [_limits(contract, f) for f in contract.features]
        self._lows = np.array([low for low, _ in limits], dtype=np.float64)
        self._highs = np.array([high for _, high in limits], dtype=np.float64)
        kinds = [_kind(contract, f) for f in contract.features]
        self._whole = np.array([kind == "integer" for kind in kinds])
        self._required = np.array([not contract.allows_missing(f) for f in contract.features])
        self._encode_good = self._fast(contract) if _native is not None else None

    def limits(self, index: int) -> tuple[float, float]:
        """The least and greatest value that the contract allows a feature; infinite without a bound."""
        return float(self._lows[index]), float(self._highs[index])

    def _fast(self, contract: Contract) -> Encoder:
        """The compiled encoder: it takes the values that are well and leaves the rest to Python."""
        assert _native is not None
        has_levels, takes_booleans, whole = 2, 4, 8  # and 1: required
        flags = bytearray(self._required.astype(np.uint8).tobytes())
        codes: list[dict[str, float] | None] = [None] * len(self.names)
        for k in self.categorical:
            levels = self.levels.get(self.names[k], ())
            codes[k] = {level: float(code) for code, level in enumerate(levels)}
            flags[k] |= has_levels
        for k, feature in enumerate(contract.features):
            kind = _kind(contract, feature)
            flags[k] |= takes_booleans if kind == "boolean" else whole if kind == "integer" else 0
        return _native.Encoder(self._lows, self._highs, bytes(flags), tuple(codes))

    def encode(self, row: Mapping[str, object]) -> Vector:
        """One row, by feature name, as a vector of shape (F,).

        Raises:
            FieldError: for a name that is not a feature, or a value the contract refuses.
        """
        if len(row) > len(self.names) or not self._known.issuperset(row):
            extra = next(name for name in row if name not in self._known)
            raise FieldError(
                extra, f"is not a feature of this model; its features are {', '.join(self.names)}"
            )
        get = row.get
        return np.array([encode(get(name)) for name, encode in self._encoders], dtype=np.float64)

    def encode_rows(self, rows: Sequence[Mapping[str, object]]) -> Vector:
        """Several rows, shape (n, F). Raises as ``encode``; the field is then ``[i].name``."""
        out = np.empty((len(rows), len(self.names)), dtype=np.float64)
        for i, row in enumerate(rows):
            try:
                out[i] = self.encode(row)
            except FieldError as error:
                raise FieldError(f"[{i}].{error.field}", error.message) from error
        return out

    def encode_values(self, values: Sequence[object]) -> Vector:
        """One row in the order of ``names``. Raises ``FieldError`` also for a wrong length."""
        if self._encode_good is not None:
            out = np.empty(len(self.names))
            if self._encode_good.row(values, out) < 0:
                return out
        if len(values) != len(self.names):
            raise FieldError("row", f"has {len(values)} values; this model takes {len(self.names)}")
        return np.array(
            [encode(value) for (_, encode), value in zip(self._encoders, values, strict=True)],
            dtype=np.float64,
        )

    def encode_table(self, rows: Sequence[Sequence[object]]) -> Vector:
        """Several rows in the order of ``names``, shape (n, F). Raises as ``encode_values``; the
        field is then ``[i].name``, or ``[i]`` for a wrong length."""
        out = np.empty((len(rows), len(self.names)))
        first = self._encode_good.rows(rows, out) if self._encode_good is not None else 0
        if first < 0:
            return out
        for i in range(first, len(rows)):
            try:
                out[i] = self.encode_values(rows[i])
            except FieldError as error:
                place = "" if error.field == "row" else f".{error.field}"
                raise FieldError(f"[{i}]{place}", error.message) from error
        return out

    def encode_matrix(self, rows: Vector) -> Vector:
        """Rows of numbers in the order of ``names``, shape (n, F); NaN is a missing value.

        The checks of ``encode_values`` done by column, for batches. A feature with levels
        takes text, so here any number in its column is refused. Rows that are contiguous
        float64 already come back as they are, not copied.

        Raises:
            FieldError: for the first cell, by row, that the contract refuses; the field is
                ``[i].name``. For a wrong width the field is ``rows``.
        """
        if rows.ndim != 2 or rows.shape[1] != len(self.names):
            raise FieldError("rows", f"have shape {rows.shape}; this model takes {len(self.names)} columns")
        out = np.ascontiguousarray(rows, dtype=np.float64)
        missing = np.isnan(out)
        with np.errstate(invalid="ignore"):
            bad = np.isinf(out) | (out < self._lows) | (out > self._highs) | (missing & self._required)
            if self._whole.any():
                bad |= self._whole & ~missing & (out != np.floor(out))
        if self.categorical:
            columns = list(self.categorical)
            bad[:, columns] |= ~missing[:, columns]
        if bad.any():
            i, k = divmod(int(np.argmax(bad)), len(self.names))
            name, encode = self._encoders[k]
            try:
                encode(float(out[i, k]))
            except FieldError as error:
                raise FieldError(f"[{i}].{name}", error.message) from error
            raise FieldError(f"[{i}].{name}", "cannot be encoded")
        return out

    def encode_columns(self, columns: Mapping[str, Sequence[object] | NDArray[np.generic]]) -> Vector:
        """Whole columns, shape (n, F), for training: nothing is refused here.

        The records were checked at ingest; what is not a number, or not a known
        level, is missing.
        """
        out: list[Vector] = []
        for name in self.names:
            values = columns[name]
            if name in self.levels:
                codes = {level: float(code) for code, level in enumerate(self.levels[name])}
                out.append(np.array([codes.get(str(v), _NAN) if v is not None else _NAN for v in values]))
            else:
                out.append(np.asarray(values, dtype=np.float64))
        return np.column_stack(out) if out else np.empty((0, 0))

    def decode(self, vector: Vector) -> dict[str, float | str | None]:
        """A vector as named, readable values: codes become levels again, NaN None."""
        named: dict[str, float | str | None] = {}
        for name, value in zip(self.names, vector.tolist(), strict=True):
            if math.isnan(value):
                named[name] = None
            elif name in self.levels:
                named[name] = self.levels[name][int(value)]
            else:
                named[name] = value
        return named


def _kind(contract: Contract, feature: Feature) -> str:
    """The type of the column that a feature is as it stands; empty for what is computed."""
    column = contract.source(feature)
    plain = feature.aggregate is None and feature.part is None
    return column.type if column is not None and plain else ""


def _limits(contract: Contract, feature: Feature) -> tuple[float, float]:
    """The least and greatest value allowed; infinite where the contract sets no bound."""
    column = contract.source(feature)
    if column is None or feature.aggregate is not None or feature.part is not None:
        return -math.inf, math.inf
    return (
        -math.inf if column.min is None else column.min,
        math.inf if column.max is None else column.max,
    )


def _encoder(contract: Contract, feature: Feature, levels: tuple[str, ...]) -> Callable[[object], float]:
    """The encoding of one feature, bound once so that a request pays only for the checks."""
    name, column = feature.name, contract.source(feature)
    allow_missing = contract.allows_missing(feature)
    plain = feature.aggregate is None and feature.part is None
    kind = _kind(contract, feature)
    low = column.min if column is not None and plain else None
    high = column.max if column is not None and plain else None

    def missing() -> float:
        if allow_missing:
            return _NAN
        raise FieldError(name, "is missing, and the contract refuses a missing value")

    def number(value: object) -> float:
        if value is None:
            return missing()
        if not isinstance(value, int | float) or (isinstance(value, bool) and kind != "boolean"):
            raise FieldError(name, f"is {value!r}; expected a number")
        try:
            result = float(value)
        except OverflowError:
            result = math.inf  # an integer beyond what a float can hold
        if not math.isfinite(result):
            if math.isnan(result):
                return missing()
            raise FieldError(name, "is infinite; expected a finite number")
        if kind == "integer" and result != math.floor(result):
            raise FieldError(name, f"is {value!r}; expected a whole number")
        if low is not None and result < low:
            raise FieldError(name, f"is {value!r}; the contract allows {exact(low)} and more")
        if high is not None and result > high:
            raise FieldError(name, f"is {value!r}; the contract allows {exact(high)} and less")
        return result

    codes = {level: float(code) for code, level in enumerate(levels)}
    refuse_unknown = column is not None and column.unknown == "refuse"

    of_that_kind = level_kind(levels)

    def level(value: object) -> float:
        if absent(value):
            return missing()
        if not of_that_kind(value):
            raise FieldError(name, f"is {value!r}; expected one of its levels as text")
        code = codes.get(level_text(value).strip())
        if code is not None:
            return code
        if refuse_unknown:
            raise FieldError(name, f"is {value!r}; the contract knows {', '.join(levels)}")
        return _NAN

    return level if contract.is_categorical(feature) else number
