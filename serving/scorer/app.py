"""What the scorer answers over HTTP: routes, and what the headers ask for.

No framework: one dictionary routes everything, and a scoring request without
special headers pays for nothing else. Sockets and parsing are ``http1``'s.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial
from urllib.parse import unquote

import msgspec

from serinus import __version__
from serving.scorer import bodies, metrics, openapi, v1, v2
from serving.scorer.refusal import Refusal
from serving.scorer.request import Request
from serving.scorer.service import V1, V2, Codec, Reply, Service, new_id
from serving.scorer.subjects import named

_encode = msgspec.json.Encoder().encode
_PREDICT = ("/api/v1.0/predictions", "/predict", "/api/v0.1/predictions")
_FEEDBACK = ("/api/v1.0/feedback", "/send-feedback")
_EVENTS = "/api/v1.0/events"
_LINES = (b"application/x-ndjson", b"application/jsonl", b"application/json-lines")
_READY = ("/ready", "/v2/health/ready")
_LIVE = ("/live", "/v2/health/live")
_STATUS = ("/health/status", "/api/v1.0/health/status")
_METRICS = ("/metrics", "/prometheus")
_METADATA = ("/metadata", "/api/v1.0/metadata")
_TEXT = b"content-type: text/plain\r\n"

Answer = Reply | Awaitable[Reply]
Route = Callable[[Request], Answer]


class App:
    """The scorer's HTTP face.

    Args:
        service: what answers.
        max_body: bytes that a compressed body may have once inflated.
        max_wait: seconds a scoring request may have waited for its turn before it is shed (429).
        polled: when the event loop last looked at its sockets, on ``clock``; what a request has
            waited since then is known to it alone. Default: just now.
        clock: seconds on the clock of deadlines.
    """

    def __init__(
        self,
        service: Service,
        *,
        max_body: int = 4 << 20,
        max_wait: float = 1.0,
        polled: Callable[[], float] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._service = service
        self._max_body = max_body
        self._max_wait = max_wait
        self._clock = clock
        self._polled = polled or clock
        self.draining = False
        identity = service.identity
        self.stamp = (
            f"x-serinus-predictor: {identity.predictor}\r\nx-serinus-digest: {identity.digest}\r\n".encode()
        )
        self._routes: dict[bytes, Route] = {
            path.encode(): route for path, route in self._table(identity.model, identity.version).items()
        }

    @property
    def ready(self) -> bool:
        """Whether new requests should be sent here. (It is not listening before its self-test.)"""
        return not self.draining and not self._service.recorder.full

    def answer(self, request: Request) -> Answer:
        """The answer to one request; never raises, nor does what it returns."""
        route = self._routes.get(request.url)
        try:
            return route(request) if route is not None else self._elsewhere(request)
        except Refusal as refusal:
            return _refused(_codec(request.url), refusal)
        except Exception as error:
            return self.fault(request.url, error)

    def fault(self, url: bytes, error: Exception) -> Reply:
        """A 500 for what nobody foresaw, reported."""
        return self.refuse(url, 500, self._service.unforeseen(error))

    def refuse(self, url: bytes, status: int, message: str) -> Reply:
        """An error in the shape of the URL's protocol, for what is not a whole request."""
        route = self._routes.get(url)
        if isinstance(route, partial) and route.func == self._predict:
            self._service.metrics.request(status, 0.0)
        return _refused(_codec(url), Refusal(status, "", message))

    def _table(self, model: str, version: int) -> dict[str, Route]:
        infer: Route = partial(self._predict, V2)
        found: dict[str, Route] = dict.fromkeys(_PREDICT, partial(self._predict, V1))
        found |= dict.fromkeys(_FEEDBACK, self._feedback)
        found[_EVENTS] = self._events
        found |= dict.fromkeys(_LIVE, _get(lambda: Reply(200, _encode({"live": True}))))
        found |= dict.fromkeys(_READY, _get(self._is_ready))
        found |= dict.fromkeys(_STATUS, _get(self._status))
        found |= dict.fromkeys(_METRICS, _get(self.metrics))
        found |= dict.fromkeys(_METADATA, _get(self._metadata))
        found |= dict.fromkeys(("/v2", "/v2/"), _get(_server_metadata))
        found["/health/ping"] = _get(lambda: Reply(200, b"pong", headers=_TEXT))
        found["/openapi.json"] = _get(lambda: Reply(200, openapi.document()))
        found["/v2/models/infer"] = infer  # Seldon's alias without a name
        for name in (f"/v2/models/{model}", f"/v2/models/{model}/versions/{version}"):
            found[name] = _get(self._v2_metadata)
            found[f"{name}/infer"] = infer
            found[f"{name}/ready"] = _get(self._is_ready)
        return found

    def _elsewhere(self, request: Request) -> Answer:
        """A URL with a query, an escape or a host before its path; or one that does not exist."""
        url = request.url.decode("latin-1")
        if url.startswith(("http://", "https://")):
            url = "/" + url.partition("://")[2].partition("/")[2]
        path = unquote(url.partition("?")[0])
        route = self._routes.get(path.encode("utf-8", "replace"))
        if route is not None:
            return route(request)
        if path.startswith("/v2/models/"):
            self._no_such_model(path.removeprefix("/v2/models/").split("/"))
        raise Refusal(404, "", f"there is nothing at {path}; docs/scorer.md lists the endpoints")

    def _no_such_model(self, parts: list[str]) -> None:
        version = parts[2] if parts[1:2] == ["versions"] and len(parts) > 2 else None
        try:
            v2.known_model(parts[0], version, self._service.identity)
        except Refusal as refusal:
            if parts[-1] == "infer":
                self._service.metrics.request(refusal.status, 0.0)
            raise

    # --- scoring ---------------------------------------------------------

    def _predict(self, codec: Codec, request: Request) -> Answer:
        service = self._service
        now, polled = self._clock(), self._polled()
        if request.method != b"POST" or now - polled > self._max_wait or request.headers:
            try:
                _method(request, "POST")
                if now - polled > self._max_wait:
                    raise Refusal(
                        429, "", "too many requests; try again later", retry_after=1, shed="overload"
                    )
                return self._asked(codec, request, now, polled)
            except Refusal as refusal:
                service.refused(refusal)
                return _refused(codec, refusal)
        return service.predict(codec, request.body, None, arrived=now)

    def _asked(self, codec: Codec, request: Request, now: float, polled: float) -> Answer:
        """A request whose headers ask for something."""
        get = request.headers.get
        raw_id = get(b"seldon-puid")
        budget = bodies.budget(request.headers)
        predict = partial(
            self._service.predict,
            codec,
            header_id=raw_id.decode("latin-1") if raw_id is not None else None,
            skip_payload=get(b"seldon-skip-logging", b"").lower() == b"true",
            deadline=None if budget is None else polled + budget,
            arrived=now,
            subject=named(get(b"serinus-subject")),
        )
        body = bodies.read(request, self._max_body, codec is V2)
        if isinstance(body, bytes):
            return predict(body)
        return self._inflated(codec, request, body, predict)

    async def _inflated(
        self, codec: Codec, request: Request, inflating: bodies.Inflating, predict: Callable[[bytes], Answer]
    ) -> Reply:
        """A compressed body that is large: inflated in a thread."""
        try:
            whole = await self._service.in_thread(inflating.finish, len(request.body))
            body = bodies.framed(request, whole, codec is V2)
        except Refusal as refusal:
            self._service.refused(refusal)
            return _refused(codec, refusal)
        made = predict(body)
        return made if isinstance(made, Reply) else await made

    def _feedback(self, request: Request) -> Answer:
        _method(request, "POST")
        raw_id = request.headers.get(b"seldon-puid")
        take = partial(
            self._service.feedback, header_id=raw_id.decode("latin-1") if raw_id is not None else None
        )
        body = bodies.read(request, self._max_body, binary=False)
        return take(body) if isinstance(body, bytes) else self._taken(request, body, take)

    def _events(self, request: Request) -> Answer:
        _method(request, "POST")
        lines = request.headers.get(b"content-type", b"").startswith(_LINES)
        take = partial(self._service.events, lines=lines)
        body = bodies.read(request, self._max_body, binary=False)
        return take(body) if isinstance(body, bytes) else self._taken(request, body, take)

    async def _taken(
        self, request: Request, inflating: bodies.Inflating, take: Callable[[bytes], Answer]
    ) -> Reply:
        """As ``_inflated``, for what is not scored."""
        try:
            whole = await self._service.in_thread(inflating.finish, len(request.body))
            made = take(bodies.framed(request, whole, binary=False))
        except Refusal as refusal:
            return _refused(V1, refusal)
        return made if isinstance(made, Reply) else await made

    # --- everything else -------------------------------------------------

    def _is_ready(self) -> Reply:
        return Reply(200 if self.ready else 503, _encode({"ready": self.ready}))

    def _status(self) -> Reply:
        if not self.ready:
            raise Refusal(503, "", "draining, or the decision log cannot be written")
        return Reply(200, _encode({"strData": "ok", "meta": {"tags": self._service.identity.tags}}))

    def metrics(self) -> Reply:
        """Prometheus' text, for whichever port it is asked on."""
        self._service.metrics.pending(self._service.recorder.pending)
        text = self._service.metrics.exposition()
        return Reply(200, text, headers=b"content-type: %b\r\n" % metrics.CONTENT_TYPE)

    def _metadata(self) -> Reply:
        return Reply(200, v1.metadata(self._service.identity, self._service.scorer.vectorizer.names))

    def _v2_metadata(self) -> Reply:
        return Reply(200, v2.metadata(self._service.identity, self._service.scorer.contract))


def _server_metadata() -> Reply:
    return Reply(
        200,
        _encode({"name": "serinus-scorer", "version": __version__, "extensions": ["binary_tensor_data"]}),
    )


def _get(make: Callable[[], Reply]) -> Route:
    def route(request: Request) -> Reply:
        _method(request, "GET", "HEAD")
        return make()

    return route


def _codec(url: bytes) -> Codec:
    return V2 if url.startswith(b"/v2") else V1


def _refused(codec: Codec, refusal: Refusal) -> Reply:
    body = codec.encode_error(refusal.status, str(refusal))
    headers = b""
    if isinstance(refusal, _NotAllowed):
        headers = b"content-type: application/json\r\nallow: %b\r\n" % refusal.allowed.encode()
    return Reply(refusal.status, body, new_id(), refusal.retry_after, headers)


class _NotAllowed(Refusal):
    def __init__(self, method: str, allowed: tuple[str, ...]) -> None:
        super().__init__(405, "", f"{method} is not allowed here; use {allowed[0]}")
        self.allowed = ", ".join(allowed)


def _method(request: Request, *allowed: str) -> None:
    method = request.method.decode("latin-1")
    if method not in allowed:
        raise _NotAllowed(method, allowed)
