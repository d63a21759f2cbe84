"""The methods of the services in ``protos/``, as functions from bytes to bytes.

The bytes are parsed here and not by grpcio: what is malformed is then refused
as INVALID_ARGUMENT, where grpcio's own deserialiser would say INTERNAL.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from inspect import isawaitable
from typing import Any, cast

import grpc
import grpc.aio

from serinus import __version__
from serving.scorer import v1, v2
from serving.scorer.grpc import documents, inference, seldon
from serving.scorer.grpc import messages as pb
from serving.scorer.grpc.body import Body, parse
from serving.scorer.grpc.status import ascii_only, code
from serving.scorer.refusal import Refusal
from serving.scorer.service import Codec, Reply, Service

Context = grpc.aio.ServicerContext[bytes, bytes]
Call = Callable[[bytes, Context], Awaitable[bytes]]

_SERVING, _NOT_SERVING = 1, 2
# How often a health watcher looks for itself: the log may fill up without anybody saying so.
_LOOK = 1.0


class Calls:
    """Everything a client can call, over one service.

    Args:
        ready: whether new requests should be sent here.
        clock: the service's clock of deadlines.
    """

    def __init__(
        self, service: Service, ready: Callable[[], bool], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._service = service
        self._ready = ready
        self._clock = clock
        identity = service.identity
        self._stamp = (
            ("x-serinus-predictor", ascii_only(identity.predictor)),
            ("x-serinus-digest", identity.digest),
        )
        self._changed = asyncio.Event()
        self._watched = frozenset(("", *self.services()))

    def services(self) -> dict[str, dict[str, Call]]:
        """Methods by full service name and method name; the health service's stream is apart."""
        predict, feedback = self.predict, self.feedback
        return {
            "seldon.protos.Model": {
                "Predict": predict,
                "SendFeedback": feedback,
                "Metadata": self.seldon_metadata,
            },
            "seldon.protos.Seldon": {
                "Predict": predict,
                "SendFeedback": feedback,
                "ModelMetadata": self.seldon_model_metadata,
                "GraphMetadata": self.graph_metadata,
            },
            "seldon.protos.Generic": {"TransformInput": predict, "SendFeedback": feedback},
            "inference.GRPCInferenceService": {
                "ServerLive": self.server_live,
                "ServerReady": self.server_ready,
                "ModelReady": self.model_ready,
                "ServerMetadata": self.server_metadata,
                "ModelMetadata": self.model_metadata,
                "ModelInfer": self.infer,
            },
        }

    def changed(self) -> None:
        """Tell health watchers to look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    # --- scoring ---------------------------------------------------------

    async def predict(self, raw: bytes, context: Context) -> bytes:
        """``SeldonMessage`` to ``SeldonMessage``."""
        body = await self._parsed(pb.SeldonMessage, raw, context, scoring=True)
        return await self._scored(cast("Codec", seldon), body, context)

    async def infer(self, raw: bytes, context: Context) -> bytes:
        """``ModelInferRequest`` to ``ModelInferResponse``."""
        body = await self._parsed(pb.ModelInferRequest, raw, context, scoring=True)
        request = body.message
        if request.model_name or request.model_version:
            await self._known(request.model_name, request.model_version, context, scoring=True)
        return await self._scored(
            inference.RAW if request.raw_input_contents else inference.TYPED, body, context
        )

    async def _scored(self, codec: Codec, body: Body, context: Context) -> bytes:
        left = context.time_remaining()
        if left is not None and left <= 0:
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "the call's deadline has passed")
        request_id, skip, subject = _headers(context)
        made = self._service.predict(
            codec,
            body,
            request_id,
            skip_payload=skip,
            deadline=None if left is None else self._clock() + left,
            subject=subject,
        )
        reply = made if isinstance(made, Reply) else await made
        return await self._sent(reply, context)

    async def _sent(self, reply: Reply, context: Context) -> bytes:
        trailing = (("seldon-puid", reply.request_id), *self._stamp) if reply.request_id else self._stamp
        if reply.status == 200:
            context.set_trailing_metadata(trailing)
            return reply.body.SerializeToString()
        if reply.retry_after:
            # gRPC's own word for it (proposal A6): clients with a retry policy obey it.
            trailing = (*trailing, ("grpc-retry-pushback-ms", str(1000 * reply.retry_after)))
        await context.abort(code(reply.status), reply.body, trailing)
        raise AssertionError  # abort has raised

    async def feedback(self, raw: bytes, context: Context) -> bytes:
        """``Feedback`` to a ``SeldonMessage`` that names the request."""
        body = await self._parsed(pb.SeldonFeedback, raw, context)
        made: Any = self._service.feedback(documents.feedback(body.message), _headers(context)[0])
        reply: Reply = await made if isawaitable(made) else made
        if reply.status == 200:
            answer = pb.SeldonMessage()
            answer.meta.puid = reply.request_id
            return await self._sent(Reply(200, answer, reply.request_id), context)
        status = v1.error_message(reply.body)
        return await self._sent(Reply(reply.status, status, reply.request_id), context)

    # --- what is served --------------------------------------------------

    async def seldon_metadata(self, raw: bytes, context: Context) -> bytes:
        """``Empty`` to ``SeldonModelMetadata``."""
        return self._seldon_metadata().SerializeToString()

    async def seldon_model_metadata(self, raw: bytes, context: Context) -> bytes:
        """``SeldonModelMetadataRequest`` to ``SeldonModelMetadata``."""
        body = await self._parsed(pb.SeldonModelMetadataRequest, raw, context)
        if body.message.name:
            await self._known(body.message.name, "", context)
        return self._seldon_metadata().SerializeToString()

    async def graph_metadata(self, raw: bytes, context: Context) -> bytes:
        """``Empty`` to ``SeldonGraphMetadata``: a graph of this one model."""
        identity, model = self._service.identity, self._seldon_metadata()
        made = pb.SeldonGraphMetadata(name=identity.predictor, inputs=model.inputs, outputs=model.outputs)
        made.models[identity.model].CopyFrom(model)
        return made.SerializeToString()

    def _seldon_metadata(self) -> pb.Message:
        return seldon.metadata(v1.metadata(self._service.identity, self._service.scorer.vectorizer.names))

    async def server_live(self, raw: bytes, context: Context) -> bytes:
        """Whether the process answers."""
        return pb.ServerLiveResponse(live=True).SerializeToString()

    async def server_ready(self, raw: bytes, context: Context) -> bytes:
        """Whether new requests should be sent here."""
        return pb.ServerReadyResponse(ready=self._ready()).SerializeToString()

    async def model_ready(self, raw: bytes, context: Context) -> bytes:
        """The same of the model by its name; NOT_FOUND for another."""
        body = await self._parsed(pb.ModelReadyRequest, raw, context)
        await self._known(body.message.name, body.message.version, context)
        return pb.ModelReadyResponse(ready=self._ready()).SerializeToString()

    async def server_metadata(self, raw: bytes, context: Context) -> bytes:
        """The server's name and version."""
        return pb.ServerMetadataResponse(name="serinus-scorer", version=__version__).SerializeToString()

    async def model_metadata(self, raw: bytes, context: Context) -> bytes:
        """The tensors that a request may hold and those of its answer; NOT_FOUND for another model."""
        body = await self._parsed(pb.ModelMetadataRequest, raw, context)
        await self._known(body.message.name, body.message.version, context)
        made = inference.metadata(self._service.identity, self._service.scorer.contract)
        return made.SerializeToString()

    # --- health ----------------------------------------------------------

    async def health(self, raw: bytes, context: Context) -> bytes:
        """The health of a service, or of the server for an empty name."""
        body = await self._parsed(pb.HealthCheckRequest, raw, context)
        if body.message.service not in self._watched:
            await context.abort(grpc.StatusCode.NOT_FOUND, f'there is no service "{body.message.service}"')
        return self._health().SerializeToString()

    async def watch(self, raw: bytes, context: Context) -> AsyncGenerator[bytes, None]:
        """The health, now and whenever it changes; SERVICE_UNKNOWN for a service that is not here."""
        body = await self._parsed(pb.HealthCheckRequest, raw, context)
        if body.message.service not in self._watched:
            yield pb.HealthCheckResponse(status=3).SerializeToString()
        told = 0
        while True:
            changed = self._changed
            now = self._health()
            if body.message.service in self._watched and now.status != told:
                told = now.status
                yield now.SerializeToString()
            try:
                await asyncio.wait_for(changed.wait(), _LOOK)
            except TimeoutError:
                continue

    def _health(self) -> pb.Message:
        return pb.HealthCheckResponse(status=_SERVING if self._ready() else _NOT_SERVING)

    # --- shared ----------------------------------------------------------

    async def _parsed(self, kind: pb.Message, raw: bytes, context: Context, *, scoring: bool = False) -> Body:
        try:
            return parse(kind, raw)
        except Refusal as refusal:
            await self._refuse(refusal, context, scoring)
            raise AssertionError from refusal  # it was aborted

    async def _known(self, model: str, version: str, context: Context, *, scoring: bool = False) -> None:
        try:
            v2.known_model(model or self._service.identity.model, version or None, self._service.identity)
        except Refusal as refusal:
            await self._refuse(refusal, context, scoring)

    async def _refuse(self, refusal: Refusal, context: Context, scoring: bool) -> None:
        if scoring:
            self._service.metrics.request(refusal.status, 0.0)
        await context.abort(code(refusal.status), str(refusal), self._stamp)


def _headers(context: Context) -> tuple[str | None, bool, str | None]:
    """The request id, whether the drift monitor is to be left out, and whom it is about, from the metadata."""
    request_id, skip, subject = None, False, None
    given = cast("Sequence[tuple[str, str | bytes]]", context.invocation_metadata() or ())
    for name, value in given:
        if name == "seldon-puid" and isinstance(value, str):
            request_id = request_id or value
        elif name == "seldon-skip-logging":
            skip = value == "true"
        elif name == "serinus-subject" and isinstance(value, str):
            subject = value or None
    return request_id, skip, subject
