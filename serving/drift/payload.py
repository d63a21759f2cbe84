"""Reading the payloads that Seldon's logger sends: Seldon V1 and Open Inference V2.

The logger posts the raw body of the request or the answer; what it is stands in
binary-mode CloudEvents headers. Nothing here refuses a *value*: that is the
vectorizer's part. A body whose shape cannot be read raises ``PayloadError``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

REQUEST_TYPE = "io.seldon.serving.inference.request"
RESPONSE_TYPE = "io.seldon.serving.inference.response"
_NAME = re.compile(r"^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$")


class PayloadError(ValueError):
    """A body or a header that cannot be read; the message names the part."""


@dataclass(frozen=True)
class Envelope:
    """The headers of one event that matter here. ``kind`` is the full Ce-Type.

    ``event`` names the event, however often it is sent; empty: it has no name.
    """

    kind: str
    predictor: str
    request_id: str
    event: str = ""


class Table(NamedTuple):
    """Rows as they came: named once for all (``names``, or None for the model's order), or each a mapping."""

    names: tuple[str, ...] | None
    rows: Sequence[Sequence[object]]
    mappings: Sequence[Mapping[str, object]] = ()


class Answers(NamedTuple):
    """Calibrated probabilities of one answer, and the digest of the model that gave them, if it says so."""

    digest: str | None
    probabilities: list[float]


def read_envelope(headers: Mapping[str, str]) -> Envelope:
    """The event's headers (names in lower case).

    Raises:
        PayloadError: naming the header that is missing or malformed.
    """
    for name in ("ce-id", "ce-type", "ce-source", "ce-specversion"):
        if not headers.get(name):
            raise PayloadError(f"header {name} is missing; events come in CloudEvents binary mode")
    if headers["ce-specversion"] != "1.0":
        raise PayloadError(f"header ce-specversion is {headers['ce-specversion']!r}; expected 1.0")
    predictor = headers.get("ce-endpoint") or "default"
    if not _NAME.match(predictor):
        raise PayloadError("header ce-endpoint is not a predictor's name")
    # Source and id name an event (CloudEvents 1.0); type and predictor beside them, for loggers that give the id
    # of a request to its answer, or to its copy at a shadow.
    event = " ".join((headers["ce-id"], headers["ce-type"], predictor, headers["ce-source"]))
    return Envelope(headers["ce-type"], predictor, headers.get("ce-requestid", ""), event)


def read_rows(body: bytes) -> Table:
    """The feature rows of a request body, V1 or V2. Raises ``PayloadError``."""
    document = _object(body)
    if "inputs" in document:
        return _v2_table(_list(document["inputs"], "inputs"))
    if "data" in document:
        return _v1_table(document["data"])
    if isinstance(document.get("jsonData"), dict):
        rows = _list(document["jsonData"].get("rows"), "jsonData.rows")
        for i, row in enumerate(rows):
            if not isinstance(row, dict):
                raise PayloadError(f"jsonData.rows[{i}] is not an object")
        return Table(None, (), rows)
    raise PayloadError("the body has none of data, jsonData.rows, inputs")


def read_answers(body: bytes) -> Answers:
    """The probabilities of a response body, V1 or V2. Raises ``PayloadError``."""
    document = _object(body)
    if "outputs" in document:
        outputs = [o for o in _list(document["outputs"], "outputs") if isinstance(o, dict)]
        chosen = next((o for o in outputs if o.get("name") == "probability"), outputs[0] if outputs else None)
        if chosen is None:
            raise PayloadError("outputs is empty")
        parameters = document.get("parameters")
        digest = parameters.get("digest") if isinstance(parameters, dict) else None
        return Answers(_text(digest), _numbers(_flat(chosen.get("data"))))
    table = _v1_table(document.get("data"))
    column = table.names.index("probability") if table.names and "probability" in table.names else 0
    try:
        values = [row[column] for row in table.rows]
    except IndexError:
        raise PayloadError("data has a row without its probability") from None
    meta = document.get("meta")
    tags = meta.get("tags") if isinstance(meta, dict) else None
    return Answers(_text(tags.get("digest") if isinstance(tags, dict) else None), _numbers(values))


def _object(body: bytes) -> dict[str, Any]:
    try:
        document = msgspec.json.decode(body)
    except RecursionError:
        raise PayloadError("the body is nested too deeply to be JSON of ours") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        # Python clients write NaN for a missing number, which JSON does not know but json does.
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            raise PayloadError("the body is not JSON") from None
    if not isinstance(document, dict):
        raise PayloadError("the body is not a JSON object")
    return document


def _v1_table(data: object) -> Table:
    if not isinstance(data, dict):
        raise PayloadError("data is not an object")
    listed = data.get("names")
    names = tuple(map(str, listed)) if isinstance(listed, list) and listed else None
    if "ndarray" in data:
        return Table(names, _matrix(_list(data["ndarray"], "data.ndarray"), "data.ndarray"))
    if isinstance(data.get("tensor"), dict):
        tensor = data["tensor"]
        return Table(names, _reshape(_list(tensor.get("values"), "data.tensor.values"), tensor.get("shape")))
    raise PayloadError("data has neither ndarray nor tensor")


def _v2_table(inputs: list[Any]) -> Table:
    if not inputs or not all(isinstance(tensor, dict) for tensor in inputs):
        raise PayloadError("inputs is not a list of tensors")
    if (
        len(inputs) == 1
        and len(shape := _list(inputs[0].get("shape"), "inputs[0].shape")) == 2
        and shape[1] != 1
    ):
        return Table(None, _reshape(_flat(inputs[0].get("data")), shape))
    columns = [_flat(tensor.get("data")) for tensor in inputs]
    if len({len(column) for column in columns}) != 1:
        raise PayloadError("the tensors in inputs have different lengths")
    return Table(tuple(str(t.get("name")) for t in inputs), list(zip(*columns, strict=True)))


def _matrix(rows: list[Any], where: str) -> list[list[object]]:
    kinds = set(map(type, rows))
    if kinds <= {list}:
        return rows
    # A single row may come without its outer list.
    if list not in kinds:
        return [rows]
    i = next(i for i, row in enumerate(rows) if not isinstance(row, list))
    raise PayloadError(f"{where}[{i}] is not a list")


def _reshape(values: list[Any], shape: object) -> list[list[object]]:
    if not (isinstance(shape, list) and shape and all(isinstance(n, int) and n >= 0 for n in shape)):
        raise PayloadError("a tensor's shape is not a list of sizes")
    rows, columns = (shape[0], shape[1]) if len(shape) == 2 else (1, shape[0])
    if len(shape) > 2 or rows * columns != len(values):
        raise PayloadError(f"a tensor of shape {shape} has {len(values)} values")
    return [values[i * columns : (i + 1) * columns] for i in range(rows)]


def _flat(data: object) -> list[Any]:
    values = _list(data, "a tensor's data")
    if values and all(isinstance(row, list) for row in values):
        return [value for row in values for value in row]
    return values


def _list(value: object, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise PayloadError(f"{where} is not a list")
    return value


def _numbers(values: Sequence[object]) -> list[float]:
    if not set(map(type, values)) <= {int, float}:
        raise PayloadError("a probability is not a number")
    for value in values:
        # NaN is no number to be counted, and is left out later.
        if value < 0 or value > 1:  # pyright: ignore[reportOperatorIssue]
            raise PayloadError(f"a probability is {value}, not between 0 and 1")
    return [float(v) for v in values]  # pyright: ignore[reportArgumentType]


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
