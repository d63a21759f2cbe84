"""What every small HTTP program of ours does alike: bind, say that it is ready, serve, end.

The scorer has a server of its own; these programs answer a few requests a minute.
uvicorn and starlette are imported by whoever serves, so the kernel stays free of them.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from serinus.errors import SerinusError
from serinus.tls import ServerFiles, check_plain, rotating

if TYPE_CHECKING:
    from starlette.responses import Response


def bind(host: str, port: int, code: str) -> socket.socket:
    """A listening socket; port 0 lets the kernel choose.

    Raises:
        SerinusError: ``code`` if the address cannot be had.
    """
    try:
        return socket.create_server((host, port), backlog=1024)
    except OSError as error:
        raise SerinusError(
            code,
            f"cannot listen here ({error.strerror or error})",
            where=f"{host}:{port}",
            hint="Choose another --port; 0 lets the kernel choose one, and the ready line names it.",
        ) from error


def serve(
    app: Any,
    listener: socket.socket,
    extra: Mapping[str, object] | None = None,
    tls: ServerFiles | None = None,
    read_timeout: float = 30.0,
) -> None:
    """Serve an ASGI application until SIGTERM or SIGINT, then return or exit with 0.

    One JSON line goes to stdout once the port answers: ``ready``, ``port`` and ``extra``.

    Args:
        read_timeout: seconds in which a request's head must come; then the connection is closed.

    Raises:
        SerinusError: ``SRN-TLS-001`` the TLS files cannot be used; ``-003`` plain HTTP beyond this machine is refused.
    """
    import uvicorn

    # Longer than a poster may be idle: whoever pools connections should be the one to close them.
    config = uvicorn.Config(
        app,
        http=_timely(read_timeout),
        log_level="warning",
        access_log=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=5,
    )
    if tls is None:
        check_plain(str(listener.getsockname()[0]), "this server")
    else:
        context = rotating(tls)  # before uvicorn, which does not say which of the files is at fault
        config.ssl_certfile, config.ssl_keyfile = str(tls.cert), str(tls.key)
        config.load()
        config.ssl = context  # uvicorn's own would serve its first certificate for ever
    # Connections are queued by the kernel from here on, so the line may be written before the loop runs.
    line = {"ready": True, "port": listener.getsockname()[1], **(extra or {})}
    sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
    sys.stdout.flush()
    uvicorn.Server(config).run(sockets=[listener])


def _timely(seconds: float) -> type[asyncio.Protocol]:
    """The protocol of uvicorn, with a limit for what it waits for without one: the head of a request."""
    from uvicorn.protocols.http.auto import AutoHTTPProtocol

    base: Any = AutoHTTPProtocol  # one of two classes that have the same attributes

    class Timely(base):
        _late: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            self._late = self.loop.call_later(seconds, transport.close)

        def data_received(self, data: bytes) -> None:
            before = self.cycle
            super().data_received(data)
            if self.cycle is not before:
                self._unset()
            elif self._late is None and (before is None or before.response_complete):
                self._late = self.loop.call_later(seconds, self.transport.close)

        def connection_lost(self, exc: Exception | None) -> None:
            self._unset()
            super().connection_lost(exc)

        def _unset(self) -> None:
            if self._late is not None:
                self._late.cancel()
                self._late = None

    return Timely


def end_with_zero() -> None:
    """A drained exit is a success, although the server re-raises the signal that ended it."""
    for ending in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ending, lambda number, frame: sys.exit(0))


def json(value: object, status: int = 200) -> Response:
    """A JSON answer."""
    from starlette.responses import Response

    return Response(msgspec.json.encode(value), status_code=status, media_type="application/json")
