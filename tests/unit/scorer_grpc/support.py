"""A real gRPC listener over the unit rig, asked by a real channel."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio

from serving.scorer.grpc import messages as pb
from serving.scorer.grpc.server import GrpcServer
from tests.unit.scorer.support import NAMES, Rig

KINDS = ["FP64", "INT64", "BYTES", "FP64", "FP64"]
FIELDS = {"FP64": "fp64_contents", "INT64": "int64_contents", "BYTES": "bytes_contents"}


@dataclass
class Answered:
    code: grpc.StatusCode
    details: str
    message: Any
    trailing: dict[str, str]


async def listening[T](
    rig: Rig, work: Callable[[grpc.aio.Channel, GrpcServer], Awaitable[T]], *, max_message: int = 4 << 20
) -> T:
    server = await GrpcServer.start(
        rig.service, lambda: rig.app.ready, host="127.0.0.1", port=0, max_message=max_message
    )
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            return await work(channel, server)
    finally:
        await server.stop(0, 1)


async def ask(
    channel: grpc.aio.Channel, method: str, message: Any, answer: Any, timeout: float = 60, **metadata: Any
) -> Answered:
    raw = message if isinstance(message, bytes) else message.SerializeToString()
    sent = tuple((name.replace("_", "-"), value) for name, value in metadata.items())
    call = channel.unary_unary(method)(raw, metadata=sent, timeout=timeout)
    try:
        got = answer.FromString(await call)
    except grpc.aio.AioRpcError as error:
        return Answered(
            error.code(),
            error.details() or "",
            None,
            {k: str(v) for k, v in error.trailing_metadata()},
        )
    return Answered(await call.code(), "", got, {k: str(v) for k, v in await call.trailing_metadata()})


def call(
    rig: Rig, method: str, message: Any, answer: Any, *, max_message: int = 4 << 20, **metadata: Any
) -> Answered:
    """One call on a listener of its own."""

    async def work(channel: grpc.aio.Channel, _: GrpcServer) -> Answered:
        return await ask(channel, method, message, answer, **metadata)

    return asyncio.run(listening(rig, work, max_message=max_message))


def predict(rig: Rig, message: Any, **options: Any) -> Answered:
    return call(rig, "/seldon.protos.Seldon/Predict", message, pb.SeldonMessage, **options)


def infer(rig: Rig, message: Any, **options: Any) -> Answered:
    return call(rig, "/inference.GRPCInferenceService/ModelInfer", message, pb.ModelInferResponse, **options)


def seldon_rows(*rows: list[Any], names: list[str] | None = None) -> Any:
    """A ``SeldonMessage`` with an ndarray."""
    message = pb.SeldonMessage()
    message.data.names.extend(names or [])
    message.data.ndarray.SetInParent()
    for row in rows:
        cells = message.data.ndarray.values.add().list_value
        for cell in row:
            put(cells.values.add(), cell)
    return message


def put(value: Any, cell: Any) -> None:
    if cell is None:
        value.null_value = 0
    elif isinstance(cell, bool):
        value.bool_value = cell
    elif isinstance(cell, str):
        value.string_value = cell
    else:
        value.number_value = cell


def columns(*rows: list[Any], request_id: str = "") -> Any:
    """A ``ModelInferRequest`` with typed contents, a tensor per feature; None is NaN."""
    message = pb.ModelInferRequest(model_name="small", id=request_id)
    for k, (name, kind) in enumerate(zip(NAMES, KINDS, strict=True)):
        tensor = message.inputs.add(name=name, datatype=kind, shape=[len(rows)])
        cells = [float("nan") if row[k] is None else row[k] for row in rows]
        cells = [cell.encode() if isinstance(cell, str) else cell for cell in cells]
        getattr(tensor.contents, FIELDS[kind]).extend(cells)
    return message
