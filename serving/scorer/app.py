"""HTTP: routes, bodies and headers, as one ASGI application.

No framework: two dictionaries route everything, and a request pays for nothing
else.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from serinus import __version__
from serving.scorer import metrics, v1, v2
from serving.scorer.refusal import Refusal
from serving.scorer.service import V1, V2, Codec, Reply, Service, new_id

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Header = tuple[bytes, bytes]

_JSON: Header = (b"content-type", b"application/json")
_CLOSE: Header = (b"connection", b"close")
_encode = msgspec.json.Encoder().encode
_PREDICT = frozenset(("/api/v1.0/predictions", "/predict", "/api/v0.1/predictions"))
_FEEDBACK = frozenset(("/api/v1.0/feedback", "/send-feedback"))
_READY = frozenset(("/ready", "/v2/health/ready"))
_LIVE = frozenset(("/live", "/v2/health/live"))
_STATUS = frozenset(("/health/status", "/api/v1.0/health/status"))
_METRICS = frozenset(("/metrics", "/prometheus"))
_METADATA = frozenset(("/metadata", "/api/v1.0/metadata"))


class App:
    """The scorer's HTTP face.

    Args:
        service: what answers.
        max_body: bytes a body may have (413 beyond).
        body_timeout: seconds a body may take to arrive (408 beyond).
    """

    def __init__(self, service: Service, *, max_body: int = 4 << 20, body_timeout: float = 10.0) -> None:
        self._service = service
        self._max_body = max_body
        self._body_timeout = body_timeout
        self.draining = False
        identity = service.identity
        self._stamp: tuple[Header, Header] = (
            (b"x-serinus-predictor", identity.predictor.encode()),
            (b"x-serinus-digest", identity.digest.encode()),
        )

    @property
    def ready(self) -> bool:
        """Whether new requests should be sent here. (It is not listening before its self-test.)"""
        return not self.draining and not self._service.recorder.full

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI 3."""
        if scope["type"] != "http":
            return
        path: str = scope["path"]
        codec = self._codec(path)
        try:
            if path in _PREDICT:
                await self._predict(scope, receive, send, codec)
            elif path in _FEEDBACK:
                await self._feedback(scope, receive, send)
            elif path.startswith("/v2/models/"):
                await self._v2_model(path, scope, receive, send)
            else:
                status, body, headers = self._get(path, scope)
                await self._send(send, status, body, headers)
        except Refusal as refusal:
            await self._refuse(send, codec, refusal)
        except _Gone:
            return

    def _codec(self, path: str) -> Codec:
        return V2 if path.startswith("/v2") else V1

    # --- scoring ---------------------------------------------------------

    async def _predict(self, scope: Scope, receive: Receive, send: Send, codec: Codec) -> None:
        started = time.perf_counter()
        headers: dict[bytes, bytes] = dict(scope["headers"])
        try:
            _method(scope, "POST")
            body = await self._body(headers, receive)
        except Refusal as refusal:
            self._service.metrics.request(refusal.status, time.perf_counter() - started)
            raise
        raw_id = headers.get(b"seldon-puid")
        header_id = raw_id.decode("latin-1") if raw_id is not None else None
        skip = headers.get(b"seldon-skip-logging", b"").lower() == b"true"
        reply = self._service.predict(codec, body, header_id, skip_payload=skip)
        if not isinstance(reply, Reply):
            reply = await reply
        await self._reply(send, reply)

    async def _feedback(self, scope: Scope, receive: Receive, send: Send) -> None:
        _method(scope, "POST")
        headers: dict[bytes, bytes] = dict(scope["headers"])
        body = await self._body(headers, receive)
        raw_id = headers.get(b"seldon-puid")
        reply = self._service.feedback(body, raw_id.decode("latin-1") if raw_id is not None else None)
        if not isinstance(reply, Reply):
            reply = await reply
        await self._reply(send, reply)

    async def _body(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        """The whole body. Raises Refusal 408, 413 or 415, or _Gone if the client went away."""
        if headers.get(b"content-encoding", b"identity") != b"identity":
            raise Refusal(415, "Content-Encoding", "compressed bodies are not supported; send plain JSON")
        if b"inference-header-content-length" in headers:
            raise Refusal(
                415, "Inference-Header-Content-Length", "binary tensors are not supported; send JSON data"
            )
        length = headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > self._max_body:
            await self._discard(receive)
            raise self._too_large()
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Gone
        if not message.get("more_body"):
            body: bytes = message["body"]
        else:
            body = await self._long_body(message["body"], receive)
        if len(body) > self._max_body:
            raise self._too_large()
        return body

    async def _long_body(self, first: bytes, receive: Receive) -> bytes:
        body = bytearray(first)
        try:
            async with asyncio.timeout(self._body_timeout):
                more = True
                while more and len(body) <= self._max_body:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _Gone
                    body += message["body"]
                    more = message.get("more_body", False)
        except TimeoutError:
            raise Refusal(408, "", f"the body did not arrive within {self._body_timeout:g} s") from None
        return bytes(body)

    async def _discard(self, receive: Receive) -> None:
        """Read on for a while: a client that is still sending would not see the answer."""
        left, more = 4 * self._max_body, True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._body_timeout):
                while more and left > 0:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _Gone
                    left -= len(message["body"])
                    more = message.get("more_body", False)

    def _too_large(self) -> Refusal:
        return Refusal(413, "", f"the body is larger than {self._max_body:,} bytes; send fewer rows")

    # --- everything else -------------------------------------------------

    async def _v2_model(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        parts = path.removeprefix("/v2/models/").split("/")
        if parts == ["infer"]:  # Seldon's alias without a name
            parts = [self._service.identity.model, "infer"]
        model, rest = parts[0], parts[1:]
        version = None
        if len(rest) >= 2 and rest[0] == "versions":
            version, rest = rest[1], rest[2:]
        try:
            v2.known_model(model, version, self._service.identity)
        except Refusal as refusal:
            if rest == ["infer"]:
                self._service.metrics.request(refusal.status, 0.0)
            raise
        if rest == ["infer"]:
            await self._predict(scope, receive, send, V2)
        elif rest == ["ready"]:
            _method(scope, "GET", "HEAD")
            await self._send(send, 200 if self.ready else 503, _encode({"ready": self.ready}))
        elif not rest:
            _method(scope, "GET", "HEAD")
            await self._send(send, 200, v2.metadata(self._service.identity, self._service.scorer.contract))
        else:
            raise _not_found(path)

    def _get(self, path: str, scope: Scope) -> tuple[int, bytes, Header]:
        """Status, body and content type of what is not scoring."""
        identity = self._service.identity
        if path in _LIVE:
            found = (200, _encode({"live": True}), _JSON)
        elif path in _READY:
            found = (200 if self.ready else 503, _encode({"ready": self.ready}), _JSON)
        elif path == "/health/ping":
            found = (200, b"pong", (b"content-type", b"text/plain"))
        elif path in _STATUS:
            if not self.ready:
                raise Refusal(503, "", "draining, or the decision log cannot be written")
            found = (200, _encode({"strData": "ok", "meta": {"tags": identity.tags}}), _JSON)
        elif path in _METRICS:
            self._service.metrics.pending(self._service.recorder.pending)
            found = (200, self._service.metrics.exposition(), (b"content-type", metrics.CONTENT_TYPE))
        elif path in _METADATA:
            found = (200, v1.metadata(identity, self._service.scorer.vectorizer.names), _JSON)
        elif path in ("/v2", "/v2/"):
            found = (
                200,
                _encode({"name": "serinus-scorer", "version": __version__, "extensions": []}),
                _JSON,
            )
        else:
            raise _not_found(path)
        _method(scope, "GET", "HEAD")
        return found

    # --- answers ---------------------------------------------------------

    async def _reply(self, send: Send, reply: Reply) -> None:
        await self._send(send, reply.status, reply.body, request_id=reply.request_id)

    async def _refuse(self, send: Send, codec: Codec, refusal: Refusal) -> None:
        # What is left of an unread body cannot be told from a next request.
        close = refusal.status in (408, 413, 415)
        await self._send(
            send,
            refusal.status,
            codec.encode_error(refusal.status, str(refusal)),
            request_id=new_id(),
            extra=(_CLOSE,) if close else (),
        )

    async def _send(
        self,
        send: Send,
        status: int,
        body: bytes,
        content_type: Header = _JSON,
        *,
        request_id: str = "",
        extra: tuple[Header, ...] = (),
    ) -> None:
        headers = [content_type, (b"content-length", b"%d" % len(body)), *self._stamp, *extra]
        if request_id:
            headers.append((b"seldon-puid", request_id.encode("latin-1")))
        if self.draining and _CLOSE not in extra:
            headers.append(_CLOSE)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class _Gone(Exception):  # noqa: N818  nobody is left to be told
    """The client closed the connection before its body was complete."""


def _method(scope: Scope, *allowed: str) -> None:
    if scope["method"] not in allowed:
        raise Refusal(405, "", f"{scope['method']} is not allowed here; use {allowed[0]}")


def _not_found(path: str) -> Refusal:
    return Refusal(404, "", f"there is nothing at {path}; docs/scorer.md lists the endpoints")
