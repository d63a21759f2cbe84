"""The program's HTTP face: lines that are posted, metrics, status, health."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serinus import http
from serinus import metrics as names
from serinus.archive import Archive, GapAhead, Taken, UnusableName
from serinus.errors import SerinusError
from serving.archive.board import Board
from serving.archive.bodies import LARGEST, Bodies, Unread

_SOURCE = "http"
_PATIENCE = 3


class ArchiveCollector:
    """The board as Prometheus metrics."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def describe(self) -> Iterator[Metric]:
        """Nothing ahead of time."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """All metrics of one moment."""
        label = ("source",)
        lines = CounterMetricFamily(
            names.ARCHIVE_LINES, "Lines by what became of them.", labels=("source", "result")
        )
        counters = {
            "bytes": CounterMetricFamily(names.ARCHIVE_BYTES, "Bytes kept.", labels=label),
            "gaps": CounterMetricFamily(
                names.ARCHIVE_GAPS, "Places at which entries are missing.", labels=label
            ),
            "missing": CounterMetricFamily(names.ARCHIVE_MISSING, "Entries that are missing.", labels=label),
            "lost": CounterMetricFamily(names.ARCHIVE_LOST, "Messages that were gone before.", labels=label),
        }
        lag = GaugeMetricFamily(names.ARCHIVE_LAG, "Messages that are not kept yet.", labels=label)
        failing = GaugeMetricFamily(names.ARCHIVE_FAILING, "Nothing can be read or kept.", labels=label)
        last = GaugeMetricFamily(names.ARCHIVE_LAST, "When lines were last kept.", labels=label)
        for source, counts in self._board.snapshot().items():
            for result, n in counts.lines.items():
                lines.add_metric((source, result), n)
            for name, family in counters.items():
                family.add_metric((source,), getattr(counts, name))
            if counts.lag is not None:
                lag.add_metric((source,), counts.lag)
            failing.add_metric((source,), float(bool(counts.problem)))
            if counts.last is not None:
                last.add_metric((source,), counts.last)
        damaged = GaugeMetricFamily(
            names.ARCHIVE_DAMAGED, "Logs that cannot be written.", value=self._board.damages()
        )
        refused = CounterMetricFamily(names.ARCHIVE_REFUSED, "Posts refused.", labels=("reason",))
        for reason, n in self._board.refusals().items():
            refused.add_metric((reason,), n)
        yield from (lines, *counters.values(), lag, failing, last, damaged, refused)


def build_app(
    archive: Archive,
    board: Board,
    alive: Callable[[], bool] = lambda: True,
    bodies: Bodies | None = None,
) -> Starlette:
    """The ASGI application. ``alive``: whether all that should run besides does."""
    bodies = bodies or Bodies()
    board.source(_SOURCE)
    registry = CollectorRegistry()
    registry.register(ArchiveCollector(board))  # pyright: ignore[reportArgumentType]

    async def metrics(request: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    async def status(request: Request) -> Response:
        return http.json({"sources": {name: vars(counts) for name, counts in board.snapshot().items()}})

    async def health(request: Request) -> Response:
        return http.json({"live": alive()}, status=200 if alive() else 503)

    def takes(kind: str, keep: Callable[[str, Sequence[bytes]], Taken]) -> Route:
        async def take(request: Request) -> Response:
            name = request.query_params.get("log", "")
            try:
                async with bodies.of(request) as body:
                    lines = [line for line in body.split(b"\n") if line.strip()]
                    taken = await asyncio.to_thread(keep, name, lines)
            except Unread as error:
                sender = f"{request.client.host}:{request.client.port}" if request.client else "a sender"
                board.refused(error.reason, f"{sender}, {name[:100]!r} ({kind})")
                return _refused(*_UNREAD[error.reason], close=True)
            except UnusableName as error:
                board.refused("name")
                return _refused(400, "SRN-ARCHIVE-010", f"?log={name!r:.100}: {error}")
            except GapAhead as error:
                board.refused("gap")
                what = f"{error}; send what comes before, or the same again"
                return _refused(503, "SRN-ARCHIVE-009", what)
            except SerinusError as error:
                board.refused("disk")
                board.problem(_SOURCE, str(error))
                return _refused(503, "SRN-ARCHIVE-009", f"{error}; send the same again")
            board.problem(_SOURCE, "")
            board.taken(_SOURCE, f"{name} ({kind})", taken)
            return http.json(
                {
                    "lines": len(lines),
                    "unreadable": taken.aside,
                    "kept": taken.kept,
                    "duplicate": taken.duplicate,
                    "missing": taken.missing,
                    "erased": taken.erased,
                }
            )

        return Route(f"/{kind}", take, methods=["POST"])

    return Starlette(
        routes=[
            Route("/metrics", metrics),
            Route("/prometheus", metrics),
            Route("/status", status),
            Route("/health/ready", health),
            Route("/health/live", health),
            takes("decisions", lambda name, lines: archive.take(name, lines, patience=_PATIENCE)),
            takes("feedback", archive.feedback),
        ]
    )


_UNREAD = {
    "large": (413, "SRN-ARCHIVE-008", f"the body exceeds {LARGEST} bytes; send it in parts"),
    "slow": (408, "SRN-ARCHIVE-011", "the body did not come in time; send the same again"),
    "busy": (503, "SRN-ARCHIVE-009", "too many are being kept; send the same again"),
    "gone": (400, "SRN-ARCHIVE-011", "the sender went before the body was whole"),
}


def _refused(status: int, code: str, what: str, *, close: bool = False) -> Response:
    answer = http.json({"code": code, "what": what}, status=status)
    if close:  # what is left of the body is not read
        answer.headers["connection"] = "close"
    return answer
