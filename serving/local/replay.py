"""A load client that sends rows through Envoy at a steady rate and counts what comes back, by predictor.

Open loop: a request is due at its time whether or not the ones before it were
answered, and its latency counts from then, so a slow server cannot slow down the
measurement of itself. Bad answers are counted here, at the client, by the
``X-Serinus-Predictor`` header.
"""

from __future__ import annotations

import asyncio
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from urllib.parse import urlsplit

import httptools
import msgspec

V1_PATH = "/api/v1.0/predictions"
LATE = "timeout"
TICK = 0.002  # seconds; requests due within one tick are sent together


class Answers(msgspec.Struct, kw_only=True):
    """What one predictor answered. ``predictor`` is empty for requests that nobody answered in time."""

    predictor: str
    answered: int = 0
    bad: int = 0
    codes: dict[str, int] = {}
    latencies: array[float] = msgspec.field(default_factory=lambda: array("d"))

    def percentile(self, q: float) -> float | None:
        """Latency in seconds that a share ``q`` of the answers did not exceed; None without answers."""
        if not self.latencies:
            return None
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


class Tally:
    """Counts, live while the load runs."""

    def __init__(self) -> None:
        self.predictors: dict[str, Answers] = {}
        self.sent = 0
        self.started = time.monotonic()
        self.elapsed = 0.0
        self.exhausted = False  # the rows ran out

    @property
    def answered(self) -> int:
        """Requests that got an answer, good or bad."""
        return sum(answers.answered for answers in self.predictors.values())

    @property
    def bad(self) -> int:
        """Requests answered with another code than 2xx, or not in time."""
        return sum(answers.bad for answers in self.predictors.values())

    def of(self, predictor: str) -> Answers:
        """One predictor's answers; zeros if it has given none."""
        found = self.predictors.get(predictor)
        if found is None:
            found = self.predictors[predictor] = Answers(predictor=predictor)
        return found

    def count(self, predictor: str, code: str, latency: float) -> None:
        """Count one request's end."""
        answers = self.of(predictor)
        answers.codes[code] = answers.codes.get(code, 0) + 1
        if code != LATE:
            answers.answered += 1
            answers.latencies.append(latency)
        if not code.startswith("2"):
            answers.bad += 1

    def to_dict(self) -> dict[str, object]:
        """Counts and percentiles (milliseconds) as a report holds them."""

        def milliseconds(value: float | None) -> float | None:
            return None if value is None else round(value * 1000, 3)

        return {
            "sent": self.sent,
            "answered": self.answered,
            "bad": self.bad,
            "seconds": round(self.elapsed, 3),
            "predictors": {
                name: {
                    "answered": a.answered,
                    "bad": a.bad,
                    "codes": a.codes,
                    "p50_ms": milliseconds(a.percentile(0.5)),
                    "p95_ms": milliseconds(a.percentile(0.95)),
                    "p99_ms": milliseconds(a.percentile(0.99)),
                }
                for name, a in sorted(self.predictors.items())
            },
        }


OnAnswer = Callable[[int, str, str, bytes], None]


class Replay:
    """Sends ``rows`` (feature values by name) to ``url`` at ``rate`` requests per second.

    ``rate`` may be changed while it runs. ``deadline`` is how long a request may
    take from when it was due, in seconds: longer is a bad answer. ``on_answer`` is
    called with the request's number, its code (``timeout`` without an answer), its
    predictor and its body.
    """

    def __init__(
        self,
        url: str,
        rows: Iterable[Mapping[str, object]],
        rate: float,
        *,
        deadline: float = 3.0,
        connections: int = 64,
        on_answer: OnAnswer | None = None,
    ) -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "127.0.0.1", parts.port or 80
        self.rate = rate
        self.deadline = deadline
        self.tally = Tally()
        self.on_answer = on_answer
        self._rows: Iterator[Mapping[str, object]] = iter(rows)
        self._limit = connections
        self._open = 0
        self._idle: list[_Connection] = []
        self._waiting: deque[tuple[int, float, bytes]] = deque()
        self._flying: set[_Connection] = set()
        self._dialling: set[asyncio.Task[None]] = set()
        self._heads: dict[tuple[str, ...], bytes] = {}
        self._encode = msgspec.json.Encoder().encode
        self._stop = asyncio.Event()

    async def run(self, *, requests: int | None = None, seconds: float | None = None) -> Tally:
        """Send until so many requests, so many seconds, ``stop()``, or the end of the rows."""
        loop = asyncio.get_running_loop()
        tally = self.tally
        tally.started = began = due = loop.time()
        end = began + seconds if seconds is not None else float("inf")
        limit = requests if requests is not None else float("inf")
        try:
            while not self._stop.is_set() and due < end and tally.sent < limit and not tally.exhausted:
                now = loop.time()
                while due <= now and due < end and tally.sent < limit:
                    row = next(self._rows, None)
                    if row is None:
                        tally.exhausted = True
                        break
                    self._send(tally.sent, due, self._request(row))
                    tally.sent += 1
                    due += 1.0 / self.rate
                self._expire(now)
                await asyncio.sleep(max(TICK, min(due - loop.time(), 0.1)))
            await self._settle(loop)
        finally:
            tally.elapsed = loop.time() - began
            self._close()
        return tally

    @property
    def on_its_way(self) -> int:
        """Requests that have been sent and are not answered yet."""
        return len(self._flying)

    def stop(self) -> None:
        """Send no more; ``run`` returns once the open requests are settled."""
        self._stop.set()

    def _request(self, row: Mapping[str, object]) -> bytes:
        names = tuple(row)
        head = self._heads.get(names)
        if head is None:
            head = self._heads[names] = b'{"data":{"names":' + self._encode(names) + b',"ndarray":['
        body = head + self._encode(list(row.values())) + b"]}}"
        return (
            f"POST {V1_PATH} HTTP/1.1\r\nHost: {self.host}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode() + body

    def _send(self, number: int, due: float, request: bytes) -> None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed:
                connection.send(number, due, request)
                self._flying.add(connection)
                return
        self._waiting.append((number, due, request))
        self._reach()

    def _reach(self) -> None:
        """One connection more, if there may be one."""
        if self._open < self._limit:
            self._open += 1
            task = asyncio.create_task(self._dial())
            self._dialling.add(task)
            task.add_done_callback(self._dialling.discard)

    async def _dial(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(lambda: _Connection(self), self.host, self.port)
        except OSError:
            self._open -= 1
            if self._waiting:
                number, due, _ = self._waiting.popleft()
                self._done(number, due, "refused", "", b"")
            return
        self.free(connection)

    def free(self, connection: _Connection) -> None:
        """A connection has nothing to do: give it what waits longest."""
        self._flying.discard(connection)
        if self._waiting:
            connection.send(*self._waiting.popleft())
            self._flying.add(connection)
        else:
            self._idle.append(connection)

    def lost(self, connection: _Connection) -> None:
        """A connection is gone; what it carried was not answered."""
        self._open -= 1
        self._flying.discard(connection)
        if connection.busy:
            self._done(connection.number, connection.due, connection.verdict or "reset", "", b"")
        if self._waiting:
            self._reach()  # nobody else will, once all requests are sent

    def answered(self, connection: _Connection, code: str, predictor: str, body: bytes) -> None:
        """A whole answer has come in."""
        self._done(connection.number, connection.due, code, predictor, body)

    def _done(self, number: int, due: float, code: str, predictor: str, body: bytes) -> None:
        self.tally.count(predictor, code, asyncio.get_running_loop().time() - due)
        if self.on_answer is not None:
            self.on_answer(number, code, predictor, body)

    def _expire(self, now: float) -> None:
        before = now - self.deadline
        while self._waiting and self._waiting[0][1] < before:
            number, due, _ = self._waiting.popleft()
            self._done(number, due, LATE, "", b"")
        for connection in [c for c in self._flying if c.due < before]:
            connection.verdict = LATE
            connection.abort()

    async def _settle(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._flying or self._waiting:
            self._expire(loop.time())
            await asyncio.sleep(0.01)

    def _close(self) -> None:
        self._waiting.clear()
        for task in self._dialling:
            task.cancel()
        for connection in (*self._idle, *self._flying):
            connection.busy = False
            connection.abort()


class _Connection(asyncio.Protocol):
    """One kept-alive connection with at most one request on its way."""

    def __init__(self, replay: Replay) -> None:
        self._replay = replay
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._predictor = ""
        self._body: list[bytes] = []
        self.busy = False
        self.closed = False
        self.number = 0
        self.due = 0.0
        self.verdict = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def send(self, number: int, due: float, request: bytes) -> None:
        """Send one request."""
        assert self._transport is not None
        self.number, self.due, self.busy = number, due, True
        self._predictor = ""
        self._body.clear()
        self._transport.write(request)

    def abort(self) -> None:
        """Close without waiting."""
        self.closed = True
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.verdict = "malformed"
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._replay.lost(self)

    # httptools calls these.

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep the one header that matters."""
        if len(name) == 19 and name.lower() == b"x-serinus-predictor":
            self._predictor = value.decode("latin-1")

    def on_body(self, data: bytes) -> None:
        """Keep the body if someone wants it."""
        if self._replay.on_answer is not None:
            self._body.append(data)

    def on_message_complete(self) -> None:
        """Count the answer and take the next request."""
        code = str(self._parser.get_status_code())
        keep = self._parser.should_keep_alive()
        self._replay.answered(self, code, self._predictor, b"".join(self._body))
        self.busy = False
        if keep:
            self._replay.free(self)
        else:
            self.abort()
