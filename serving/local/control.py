"""The control port: other shells ask the running platform (see ``serving.rollout.remote``)."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import os
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from serinus.errors import SerinusError
from serving.rollout.remote import CONTROL, Control, Reply, Request
from serving.rollout.spec import RolloutSpec
from serving.rollout.status import RolloutStatus

from .platform import Platform
from .scraping import targets

log = logging.getLogger("serinus.platform")

Handler = Callable[[dict[str, Any]], Awaitable[Any]]


class ControlServer:
    """Answers calls for one platform. ``down`` is set when someone asked for its end."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.down = asyncio.Event()
        self._token = secrets.token_urlsafe(24)
        self._server: asyncio.Server | None = None
        self._path = platform.directory / CONTROL
        self._handlers: dict[str, Handler] = {
            "status": self._status,
            "down": self._down,
            "rollout.start": self._start,
            "rollout.status": self._rollout,
            "rollout.history": self._history,
            "rollout.approve": self._approve,
            "rollout.command": self._command,
        }

    async def start(self) -> None:
        """Listen on a port of loopback and say where, to the owner only."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 20)
        port = self._server.sockets[0].getsockname()[1]
        temporary = self._path.with_suffix(".new")
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(Control(port=port, token=self._token, pid=os.getpid())))
        temporary.replace(self._path)

    async def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            # Only what we wrote: another platform of this home may be the reason why we stop.
            self._path.unlink(missing_ok=True)
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError, ValueError):
            line = await asyncio.wait_for(reader.readline(), 10.0)
            writer.write(msgspec.json.encode(await self._answer(line)) + b"\n")
            await writer.drain()
        writer.close()

    async def _answer(self, line: bytes) -> Reply:
        try:
            request = msgspec.json.decode(line, type=Request)
            if not hmac.compare_digest(request.token.encode(), self._token.encode()):
                raise SerinusError(
                    "SRN-PLATFORM-010",
                    "wrong token",
                    where=str(self._path),
                    hint="Run the command as the user who started the platform.",
                )
            handler = self._handlers.get(request.do)
            if handler is None:
                raise msgspec.ValidationError(f"unknown call {request.do!r}")
            return Reply(result=await handler(request.args))
        except SerinusError as error:
            return Reply(error=error.to_dict())
        except (msgspec.DecodeError, KeyError, TypeError) as problem:
            error = SerinusError(
                "SRN-PLATFORM-011",
                f"the call was not understood: {problem}",
                where="control port",
                hint="The platform may be of another version: serinus down, then serinus up.",
            )
            return Reply(error=error.to_dict())

    async def _status(self, args: dict[str, Any]) -> Any:
        platform = self.platform
        champion = platform.champion
        rollout = platform.rollout.status if platform.rollout else None
        sidecars = {s.name: s for s in platform.sidecars()}
        return {
            "url": platform.url,
            "admin_url": platform.admin_url,
            "home": str(platform.home.root),
            "logs": str(platform.logs),
            "pid": os.getpid(),
            "up_seconds": round(time.time() - platform.started_at, 1),
            "champion": champion,
            "predictors": {
                name: (await platform.predictors.health(name)).state
                for name in platform.predictors.processes()
            },
            "processes": platform.processes(),
            "metrics": f"http://{platform.page.address}/metrics",
            "pages": [
                {"program": page.program, "url": f"http://{page.address}{page.path}"}
                for page in targets(platform)
            ],
            "sidecars": {name: {"url": s.url, "ready": s.ready} for name, s in sidecars.items()},
            "rollout": _brief(rollout) if rollout else None,
        }

    async def _down(self, args: dict[str, Any]) -> Any:
        self.down.set()
        return {"stopping": True}

    async def _start(self, args: dict[str, Any]) -> Any:
        spec = msgspec.convert(args["spec"], RolloutSpec)
        return await self.platform.start_rollout(spec, by=args["by"])

    async def _rollout(self, args: dict[str, Any]) -> Any:
        return self.platform.rollout_status()

    async def _history(self, args: dict[str, Any]) -> Any:
        return self.platform.rollout_history()

    async def _approve(self, args: dict[str, Any]) -> Any:
        self.platform.approve(args["by"], role=args["role"], reason=args["reason"])
        missing = await self.platform.awaited()
        return msgspec.structs.replace(self.platform.rollout_status(), awaits=missing)

    async def _command(self, args: dict[str, Any]) -> Any:
        status = await self.platform.obeyed(args["kind"], by=args["by"], reason=args.get("reason", ""))
        return status


def _brief(status: RolloutStatus) -> dict[str, Any]:
    keys = ("id", "phase", "reason", "message", "weight", "candidate")
    return {key: getattr(status, key) for key in keys}
