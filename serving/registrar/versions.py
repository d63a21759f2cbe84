"""``POST /v1/versions``: a version that was registered elsewhere, entered here as its caller."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, Metric
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from serinus import http
from serinus import metrics as names
from serinus.access import Access
from serinus.errors import SerinusError
from serinus.registry.receiving import Receiver
from serinus.registry.registration import LARGEST, PATH, Receipt, Registration, read_registration

from .callers import LONGEST, Caller, Callers, CannotAsk

log = logging.getLogger("serinus.records")

MAX_WAITING = 8
"""Registrations in hand at one time; whoever comes then is asked to come again."""
SLOWEST = 30.0
"""Seconds in which a body must be here."""
RESULTS = ("created", "known", "refused", "failed")
_STATUS = {"SRN-REGISTRY-004": 409, "SRN-ACCESS-005": 403, "SRN-RECORDS-006": 400}
_OURS = ("SRN-HOME-", "SRN-AUDIT-", "SRN-KEY-", "SRN-REGISTRY-001", "SRN-REGISTRY-006", "SRN-ACCESS-00")
"""What is wrong here and not with the registration: the same may be sent again."""


class Door:
    """Takes versions from callers that it knows.

    Args:
        receiver: enters them.
        callers: finds out who calls.
        access: whether they have a role that may register a version, by the policy of the home.
        arrived: is told the digest of each version that is there; it is not waited for.

    Attributes:
        counts: registrations by what became of them (``RESULTS``).
    """

    def __init__(
        self,
        receiver: Receiver,
        callers: Callers,
        access: Access,
        arrived: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._receiver = receiver
        self._callers = callers
        self._access = access
        self._arrived = arrived
        self._telling: set[asyncio.Future[None]] = set()
        self._waiting = asyncio.Semaphore(MAX_WAITING)

    def route(self) -> Route:
        """Where it is reached."""
        return Route(PATH, self.post, methods=["POST"])

    async def post(self, request: Request) -> Response:
        """Take one; every answer is JSON, and a refusal has ``code``, ``what``, ``where`` and ``hint``."""
        if self._waiting.locked():
            answer = self._refused(503, _busy())
        else:
            async with self._waiting:
                answer = await self._answer(request)
        # Whoever is refused while they still send would see a broken connection and not why. Outside of the
        # semaphore: strangers who send slowly hold nobody up.
        await _drain(request)
        return answer

    async def _answer(self, request: Request) -> Response:
        try:
            caller = await self._caller(request)
            told = await _body(request)
            receipt = await asyncio.to_thread(self._enter, told, caller)
        except ClientDisconnect:
            return self._refused(400, _broken())
        except _Answer as answer:
            return self._refused(answer.status, answer.error, answer.headers)
        except SerinusError as error:
            return self._refused(_status(error), error)
        self.counts["created" if receipt.created else "known"] += 1
        # Known ones too: the process may have ended before it was told.
        self._tell(receipt.digest)
        return http.json(receipt, status=201 if receipt.created else 200)

    def _tell(self, digest: str) -> None:
        if self._arrived is not None:
            telling = asyncio.ensure_future(self._arrived(digest))
            self._telling.add(telling)
            telling.add_done_callback(self._telling.discard)

    async def _caller(self, request: Request) -> Caller:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token or len(token) > LONGEST:
            raise _unknown("no bearer token was sent")
        try:
            caller = await self._callers.who(token)
        except CannotAsk as error:
            raise _Answer(
                503,
                SerinusError(
                    "SRN-RECORDS-008",
                    f"who calls cannot be found out: {error}",
                    where=PATH,
                    hint="Send the same again; if it stays so, whoever runs the record keeper must mend that.",
                ),
            ) from error
        if caller is None:
            raise _unknown("nobody is known by this token")
        if caller.why_not:
            raise _Answer(
                403,
                SerinusError(
                    "SRN-RECORDS-004",
                    caller.why_not,
                    where=PATH,
                    hint="Name it with --caller NAMESPACE/NAME (records.versions.callers of the chart).",
                ),
            )
        return caller

    def _enter(self, body: bytes, caller: Caller) -> Receipt:
        told: Registration = read_registration(body)
        self._access.require(caller.name, "pipeline.run", told.subject)
        return self._receiver.take(told, by=caller.name)

    def _refused(
        self, status: int, error: SerinusError, headers: Mapping[str, str] | None = None
    ) -> Response:
        self.counts["failed" if status == 503 else "refused"] += 1
        log.warning("a version was not taken (%d): %s", status, error)
        answer = http.json(error.to_dict(), status=status)
        answer.headers.update(headers or ({"Retry-After": "2"} if status == 503 else {}))
        return answer


class VersionsCollector:
    """The door's counts as a Prometheus metric; each result stands from the start."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def describe(self) -> Iterator[Metric]:
        """Nothing ahead of time."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """All metrics of one moment."""
        family = CounterMetricFamily(
            names.RECORDS_VERSIONS,
            "Registrations that were sent, by what became of them.",
            labels=("result",),
        )
        for result in RESULTS:
            family.add_metric((result,), self._door.counts[result])
        yield family


class _Answer(Exception):  # noqa: N818  the way out of a request
    def __init__(self, status: int, error: SerinusError, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(str(error))
        self.status = status
        self.error = error
        self.headers = headers


async def _body(request: Request) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(SLOWEST):
            async for chunk in request.stream():
                body += chunk
                if len(body) > LARGEST:
                    raise _Answer(413, _too_large())
    except TimeoutError:
        raise _Answer(408, _slow(), {"Connection": "close"}) from None
    return bytes(body)


async def _drain(request: Request) -> None:
    # What the body's own stream has been read to is no stream any more.
    left = LARGEST
    with contextlib.suppress(TimeoutError, ClientDisconnect, RuntimeError):
        async with asyncio.timeout(SLOWEST):
            async for chunk in request.stream():
                left -= len(chunk)
                if left < 0:
                    return


def _status(error: SerinusError) -> int:
    if error.code in _STATUS:
        return _STATUS[error.code]
    return 503 if error.code.startswith(_OURS) and error.code != "SRN-ACCESS-009" else 422


def _unknown(what: str) -> _Answer:
    return _Answer(
        401,
        SerinusError(
            "SRN-RECORDS-003",
            what,
            where=PATH,
            hint="Send Authorization: Bearer TOKEN: a ServiceAccount's, or that of the file both sides have.",
        ),
        {"WWW-Authenticate": "Bearer"},
    )


def _busy() -> SerinusError:
    return SerinusError(
        "SRN-RECORDS-008",
        "too many versions are being entered",
        where=PATH,
        hint="Send the same again.",
    )


def _too_large() -> SerinusError:
    return SerinusError(
        "SRN-RECORDS-005",
        f"the body exceeds {LARGEST} bytes",
        where=PATH,
        hint="It is a version's papers, not its model: `serinus registry send` makes it.",
    )


def _broken() -> SerinusError:
    return SerinusError(
        "SRN-RECORDS-005", "the caller hung up before its end", where=PATH, hint="Send the same again."
    )


def _slow() -> SerinusError:
    return SerinusError(
        "SRN-RECORDS-005",
        f"the body was not here after {SLOWEST:.0f} s",
        where=PATH,
        hint="Send the same again.",
    )
