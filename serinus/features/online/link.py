"""One connection to Redis that many requests share: commands go out as they come, answers
return in the same order.

The library's pool would give each command a connection of its own for its
time and costs four times the CPU (docs/decisions/scorer-online-store.md). Its ``Connection`` still
does what is hard: URLs, TLS, authentication, the protocol.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import Mapping, Sequence
from hashlib import sha1
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio.connection import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError, ResponseError

from serinus.errors import SerinusError
from serinus.tls import CA, CERT, KEY

Argument = str | bytes | int | float
_CONNECT_SECONDS = 1.0
_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 2.0
_SILENT_LIMIT = 5


class Script:
    """A Lua script and the digest by which Redis knows it."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.sha = sha1(source.encode(), usedforsecurity=False).hexdigest()


class Link:
    """A connection that comes back by itself.

    While Redis cannot be reached, calls fail at once but for one attempt after
    each pause (50 ms, doubling up to 2 s); a server that accepts and
    is silent counts as unreachable after five calls in a row.

    Args:
        url: ``redis://``, ``rediss://`` (TLS) or ``unix://``.
        password: overrides the URL's.
        deadline: seconds that a call may take in all.

    Raises:
        SerinusError: ``SRN-FEATURES-007`` if the URL is not one.
    """

    def __init__(self, url: str, *, password: str | None = None, deadline: float = 0.1) -> None:
        self.url = redacted(url)
        self.deadline = deadline
        try:
            given: dict[str, Any] = {"password": password} if password else {}
            given |= tls_of(url, os.environ)
            pool = ConnectionPool.from_url(url)
            # What the URL says stands; a password given apart comes before it.
            pool.connection_kwargs.update(
                socket_timeout=None,
                socket_connect_timeout=_CONNECT_SECONDS,
                retry=Retry(NoBackoff(), 0),
                protocol=2,
                **given,
            )
        except (ValueError, TypeError, RedisError) as error:
            raise SerinusError(
                "SRN-FEATURES-007",
                f"this is not the URL of a Redis ({str(error).replace(url, self.url)})",
                where=self.url,
                hint="Give redis://host:6379/0, rediss://… for TLS or unix:///path/of.sock.",
            ) from None
        self._pool = pool
        self._connection: Any = None
        self._connecting: asyncio.Task[Any] | None = None
        self._reading: asyncio.Task[None] | None = None
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._silent = 0
        self._pause = _FIRST_PAUSE
        self._not_before = 0.0
        self._cause: Exception | None = None

    async def run(self, script: Script, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
        """One script call; its answer as bytes, integers and lists. Raises ``SRN-FEATURES-008``."""
        return (await self.run_many([(script, keys, arguments)]))[0]

    async def run_many(self, calls: Sequence[tuple[Script, Sequence[str], Sequence[Argument]]]) -> list[Any]:
        """Several, sent together.

        Raises:
            SerinusError: ``SRN-FEATURES-008`` if an answer is an error or does not come in time;
                some of the scripts may have run then.
        """
        try:
            async with asyncio.timeout(self.deadline):
                try:
                    return await self._send([self._by_digest(*call) for call in calls])
                except NoScriptError:
                    # A restarted server does not know them; who runs twice is told a duplicate.
                    sources = {call[0].sha: call[0] for call in calls}
                    await self._send([("SCRIPT", "LOAD", s.source) for s in sources.values()])
                    return await self._send([self._by_digest(*call) for call in calls])
        except TimeoutError as error:
            self._silent += 1
            if self._silent >= _SILENT_LIMIT:
                await self._drop(error)
            raise self._failed(f"no answer within {self.deadline:g} s") from error
        except (RedisError, OSError) as error:
            raise self._failed(str(error)) from error

    async def command(self, *arguments: Argument) -> Any:
        """One plain command. Raises as ``run``."""
        try:
            async with asyncio.timeout(self.deadline):
                return (await self._send([arguments]))[0]
        except TimeoutError as error:
            raise self._failed(f"no answer within {self.deadline:g} s") from error
        except (RedisError, OSError) as error:
            raise self._failed(str(error)) from error

    @staticmethod
    def _by_digest(
        script: Script, keys: Sequence[str], arguments: Sequence[Argument]
    ) -> tuple[Argument, ...]:
        return ("EVALSHA", script.sha, len(keys), *keys, *arguments)

    async def _send(self, commands: Sequence[Sequence[Argument]]) -> list[Any]:
        connection = self._connection
        if connection is None:
            connection = await self._connected()
        loop = asyncio.get_running_loop()
        futures = [loop.create_future() for _ in commands]
        packed = (
            connection.pack_commands(commands) if len(commands) > 1 else connection.pack_command(*commands[0])
        )
        # Nothing may come between these two, or answers would go to the wrong call.
        self._waiting.extend(futures)
        await connection.send_packed_command(packed, check_health=False)
        found: list[Any] = []
        errors: list[Exception] = []
        for future in futures:
            try:
                found.append(await future)
            except ResponseError as error:
                errors.append(error)
        if errors:
            raise errors[0]
        return found

    # ---- the connection

    async def _connected(self) -> Any:
        loop = asyncio.get_running_loop()
        if self._connecting is None:
            if self._cause is not None and loop.time() < self._not_before:
                raise self._cause
            self._connecting = loop.create_task(self._connect())
        # Shielded: who gives up waiting does not take the attempt from the others.
        return await asyncio.shield(self._connecting)

    async def _connect(self) -> Any:
        connection: Any = self._pool.make_connection()
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                await connection.connect()
        except (RedisError, OSError, TimeoutError) as error:
            with contextlib.suppress(Exception):
                await connection.disconnect(nowait=True)
            self._fell(error if str(error) else TimeoutError("no answer to the first words"))
            raise ConnectionError(str(self._cause)) from error
        else:
            self._connection = connection
            self._cause = None
            self._silent = 0
            self._reading = asyncio.get_running_loop().create_task(self._read(connection))
            return connection
        finally:
            self._connecting = None

    async def _read(self, connection: Any) -> None:
        try:
            while True:
                try:
                    answer: Any = await connection.read_response(disable_decoding=True)
                except ResponseError as error:
                    answer = error
                self._silent = 0
                self._pause = _FIRST_PAUSE
                future = self._waiting.popleft()
                if future.done():
                    continue
                if isinstance(answer, Exception):
                    _fail(future, answer)
                else:
                    future.set_result(answer)
        except (RedisError, OSError, IndexError) as error:
            self._reading = None
            await self._drop(error)

    def _fell(self, cause: Exception) -> None:
        self._cause = cause
        self._not_before = asyncio.get_running_loop().time() + self._pause
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    async def _drop(self, cause: Exception) -> None:
        """Give the connection up; whoever waits for it is told."""
        connection, self._connection = self._connection, None
        reading, self._reading = self._reading, None
        waiting, self._waiting = self._waiting, deque()
        self._silent = 0
        self._fell(ConnectionError(str(cause) or "the server is silent"))
        for future in waiting:
            if not future.done():
                _fail(future, ConnectionError(str(self._cause)))
        if reading is not None:
            reading.cancel()
        if connection is not None:
            with contextlib.suppress(Exception):
                await connection.disconnect(nowait=True)

    async def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        for task in (self._connecting, self._reading):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await task
        if connection is not None:
            with contextlib.suppress(Exception):
                await connection.disconnect(nowait=True)

    def _failed(self, why: str) -> SerinusError:
        return SerinusError(
            "SRN-FEATURES-008",
            f"the online store does not answer ({why})",
            where=self.url,
            hint="See that Redis runs, can be reached from here and is not overloaded; calls go on as soon as it does.",
        )


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    future.set_exception(error)
    future.exception()  # whoever gave up waiting need not hear of it


def tls_of(url: str, environment: Mapping[str, str]) -> dict[str, Any]:
    """What ``rediss://`` is verified by and shows of itself, where the URL does not say so itself."""
    if not url.startswith("rediss://"):
        return {}
    names = {"ssl_ca_certs": CA, "ssl_certfile": CERT, "ssl_keyfile": KEY}
    return {
        name: value
        for name, variable in names.items()
        if f"{name}=" not in url and (value := environment.get(variable))
    }


def redacted(url: str) -> str:
    """The URL without its password and options, as it may be logged."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "redis://…"
    user = f"{parts.username}@" if parts.username else ""
    return f"{parts.scheme}://{user}{host}{port}{parts.path}"


def password_from(environment: Mapping[str, str]) -> str | None:
    """``SERINUS_REDIS_PASSWORD``, or the first line of the file that ``SERINUS_REDIS_PASSWORD_FILE`` names.

    Raises:
        SerinusError: ``SRN-FEATURES-007`` if that file cannot be read.
    """
    given = environment.get("SERINUS_REDIS_PASSWORD")
    file = environment.get("SERINUS_REDIS_PASSWORD_FILE")
    if given or not file:
        return given or None
    try:
        return Path(file).read_text(encoding="utf-8").splitlines()[0].strip()
    except (OSError, IndexError, UnicodeDecodeError) as error:
        why = (
            os.strerror(error.errno)
            if isinstance(error, OSError) and error.errno
            else "it is empty or no text"
        )
        raise SerinusError(
            "SRN-FEATURES-007",
            f"the file of Redis's password cannot be read ({why})",
            where=file,
            hint="Mount the secret where SERINUS_REDIS_PASSWORD_FILE says, readable for the scorer.",
        ) from error
