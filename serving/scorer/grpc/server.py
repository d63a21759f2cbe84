"""The listener: grpc.aio on the scorer's event loop, started ready and drained with HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio

from serinus.errors import SerinusError
from serinus.tls import ServerFiles
from serving.scorer.grpc.calls import Calls
from serving.scorer.service import Service

# Beyond this many calls that wait (for a disk, a store, a thread) a new one is refused by grpcio.
_CONCURRENT = 4096
pause = asyncio.sleep


class GrpcServer:
    """One started gRPC listener.

    Attributes:
        port: the port it listens on.
    """

    def __init__(self, server: grpc.aio.Server, calls: Calls, port: int) -> None:
        self._server = server
        self._calls = calls
        self.port = port

    @classmethod
    async def start(
        cls,
        service: Service,
        ready: Callable[[], bool],
        *,
        host: str,
        port: int,
        max_message: int,
        tls: ServerFiles | None = None,
    ) -> GrpcServer:
        """Listen and answer.

        Args:
            ready: whether new requests should be sent here.
            port: 0 asks the kernel.
            max_message: bytes a message may have (RESOURCE_EXHAUSTED beyond).
            tls: the server's certificate, read again when it changes; None for plain text.

        Raises:
            SerinusError: ``SRN-SCORER-020`` if the address cannot be used.
        """
        server = grpc.aio.server(
            options=(
                ("grpc.max_receive_message_length", max_message),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", 0),  # else a second scorer would quietly share the port
            ),
            maximum_concurrent_rpcs=_CONCURRENT,
        )
        calls = Calls(service, ready)
        _register(server, calls)
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            secure = None if tls is None else _credentials(tls)
            bound = (
                server.add_insecure_port(where) if secure is None else server.add_secure_port(where, secure)
            )
        except RuntimeError as error:
            raise SerinusError(
                "SRN-SCORER-020",
                "cannot listen for gRPC there: the port is in use, or the address is not of this machine",
                where=where,
                hint="Choose another --grpc-port, 0 to have a free one chosen, or off.",
            ) from error
        await server.start()
        return cls(server, calls, bound)

    def draining(self) -> None:
        """Tell health watchers that readiness has changed."""
        self._calls.changed()

    async def stop(self, grace: float, timeout: float) -> None:
        """Answer for ``grace`` seconds more, then take no new call and wait for the open ones.

        The first part lets those who watch the health go elsewhere; the second
        tells every client, by GOAWAY, to do so.
        """
        await pause(grace)
        await self._server.stop(timeout)


def _credentials(tls: ServerFiles) -> grpc.ServerCredentials:
    tls.context()  # grpcio itself says nothing of files that do not fit
    served = tls.stamp()

    def read() -> Any:
        cert, key, authorities = tls.read()
        return grpc.ssl_server_certificate_configuration([(key, cert)], root_certificates=authorities)

    def fetch() -> Any:
        """Asked at each handshake; None: what was served before."""
        nonlocal served
        try:
            stamp = tls.stamp()
            if stamp == served:
                return None
            tls.context()
            found = read()
        except (OSError, SerinusError):
            return None
        served = stamp
        return found

    return grpc.dynamic_ssl_server_credentials(
        read(), fetch, require_client_authentication=tls.client_ca is not None
    )


def _register(server: grpc.aio.Server, calls: Calls) -> None:
    handlers = [
        grpc.method_handlers_generic_handler(
            service, {name: grpc.unary_unary_rpc_method_handler(call) for name, call in methods.items()}
        )
        for service, methods in calls.services().items()
    ]
    health = {
        "Check": grpc.unary_unary_rpc_method_handler(calls.health),
        "Watch": grpc.unary_stream_rpc_method_handler(calls.watch),
    }
    handlers.append(grpc.method_handlers_generic_handler("grpc.health.v1.Health", health))
    server.add_generic_rpc_handlers(handlers)
