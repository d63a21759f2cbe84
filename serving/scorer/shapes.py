"""What the scorer's answers look like, for its OpenAPI document; the codecs write them from templates."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from serinus.model import Answer


class Probabilities(msgspec.Struct, frozen=True):
    """One probability a row."""

    names: list[Literal["probability"]]
    ndarray: list[list[float]]


class Tags(msgspec.Struct, frozen=True):
    """Who answered, and the decisions row by row."""

    model: str
    version: int
    digest: str
    predictor: str
    decisions: list[Answer]


class AnswerMeta(msgspec.Struct, frozen=True):
    """``puid`` is the request's id."""

    puid: str
    tags: Tags


class SeldonAnswer(msgspec.Struct, frozen=True):
    """The answer in Seldon V1."""

    data: Probabilities
    meta: AnswerMeta


class Failure(msgspec.Struct, frozen=True):
    """``info`` names the field and says what is wrong with it."""

    code: int
    info: str
    reason: Literal["MICROSERVICE_BAD_DATA", "MICROSERVICE_INTERNAL_ERROR"]
    status: Literal["FAILURE"]


class SeldonError(msgspec.Struct, frozen=True):
    """An error in Seldon V1, and of every path outside ``/v2``."""

    status: Failure


class OutputTensor(msgspec.Struct, frozen=True, omit_defaults=True):
    """``data`` is absent where ``parameters.binary_data_size`` says that it stands behind the JSON."""

    name: Literal["probability", "score", "decision", "reasons"]
    datatype: Literal["FP64", "BYTES"]
    shape: list[int]
    data: list[float | str] = []
    parameters: dict[str, Any] = {}


class InferAnswer(msgspec.Struct, frozen=True):
    """The answer in Open Inference V2."""

    model_name: str
    model_version: str
    id: str
    parameters: dict[str, str]
    outputs: list[OutputTensor]


class InferError(msgspec.Struct, frozen=True):
    """An error of the paths under ``/v2``."""

    error: str


class Live(msgspec.Struct, frozen=True):
    """The process answers."""

    live: bool


class Ready(msgspec.Struct, frozen=True):
    """Whether requests should be sent here."""

    ready: bool


class Tensor(msgspec.Struct, frozen=True):
    """A tensor that a request may hold or an answer holds."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(msgspec.Struct, frozen=True):
    """What the model takes and gives."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[Tensor]
    outputs: list[Tensor]


class ServerMetadata(msgspec.Struct, frozen=True):
    """Who serves, and which extensions of the protocol it knows."""

    name: str
    version: str
    extensions: list[str]


class SeldonMetadata(msgspec.Struct, frozen=True):
    """Seldon's model metadata."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    custom: dict[str, str]


class Acknowledged(msgspec.Struct, frozen=True):
    """The id of the request whose outcome was kept."""

    meta: dict[str, str]


class Status(msgspec.Struct, frozen=True):
    """Seldon's health."""

    strData: str  # noqa: N815  the protocol's spelling
    meta: dict[str, Any]
