"""Notifications: a rollout's turns as HTTP POSTs, in a form of our own or as Slack reads it.

They are sent from a queue beside the engine: an address that does not answer
delays no rollback. A POST that failed is tried again a few times, under the same
``Idempotency-Key``, and then given up with a line in the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from serinus.errors import SerinusError
from serinus.tls import check_url, client_context

from ..ports import Journal
from ..spec import Notification
from ..status import Entry, RolloutStatus

log = logging.getLogger(__name__)

TRIES = 5
FIRST_WAIT = 1.0  # seconds before the second try; doubled each time
PATIENCE = 5.0  # seconds that a closing program waits for what is still queued


def payload(how: Notification, status: RolloutStatus, entry: Entry) -> dict[str, Any]:
    """The body of one POST."""
    if how.format == "slack":
        what = f"*{status.model}*: {entry.phase} at {entry.weight} %, {entry.reason}"
        return {"text": f"{what}\n{entry.message}\nrollout {status.id}, entry {entry.seq}, by {entry.actor}"}
    return {
        "rollout": status.id,
        "model": status.model,
        "champion": status.champion,
        "candidate": status.candidate,
        "seq": entry.seq,
        "at": datetime.fromtimestamp(entry.at, UTC).isoformat(timespec="milliseconds"),
        "phase": entry.phase,
        "reason": entry.reason,
        "message": entry.message,
        "actor": entry.actor,
        "weight": entry.weight,
    }


async def _nothing(status: RolloutStatus, entry: Entry) -> None:
    """What comes before the notifications, unless something else is set."""


class Webhooks:
    """Sends entries to everyone who asked to be told. ``first`` is done before an entry's notifications.

    Args:
        channels: directory with one file per channel, holding its URL.
        done: called with an entry's number once all of its POSTs were taken or given up.
        sleep: how to wait between two tries.
    """

    def __init__(
        self,
        channels: Path | None,
        *,
        client: httpx.AsyncClient | None = None,
        done: Callable[[int], None] = lambda seq: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._channels = channels
        self._client = client or httpx.AsyncClient(timeout=5.0, verify=client_context())
        self._done = done
        self._sleep = sleep
        self.first: Callable[[RolloutStatus, Entry], Awaitable[None]] = _nothing
        self._queue: asyncio.Queue[tuple[Sequence[Notification], RolloutStatus, Entry]] = asyncio.Queue()
        self._worker: asyncio.Task[None] | None = None

    def send(self, notifications: Sequence[Notification], status: RolloutStatus, entry: Entry) -> None:
        """Queue an entry for those who want to hear of its phase; returns at once."""
        wanted = [n for n in notifications if not n.phases or entry.phase in n.phases]
        self._queue.put_nowait((wanted, status, entry))
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())

    async def drain(self) -> None:
        """Wait a moment for what is queued."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._queue.join(), PATIENCE)

    async def close(self) -> None:
        """Wait a moment for what is queued, then give up."""
        await self.drain()
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)
        await self._client.aclose()

    async def _work(self) -> None:
        while True:
            wanted, status, entry = await self._queue.get()
            await self.first(status, entry)
            for how in wanted:
                await self._post(how, status, entry)
            self._done(entry.seq)
            self._queue.task_done()

    async def _post(self, how: Notification, status: RolloutStatus, entry: Entry) -> None:
        wait = FIRST_WAIT
        to = how.channel or _host(how.url or "")
        try:
            # Of a channel not even the host is told.
            check_url(self._url(how), "", tell=lambda error: log.warning("notification %s: %s", to, _PLAIN))
        except SerinusError:
            log.error("notification %s of %s not sent: %s", to, status.id, _PLAIN)
            return
        except (OSError, ValueError):
            pass  # told below, with each try
        for attempt in range(1, TRIES + 1):
            try:
                answer = await self._client.post(
                    self._url(how),
                    json=payload(how, status, entry),
                    headers={"Idempotency-Key": f"{status.id}-{entry.seq}"},
                )
                answer.raise_for_status()
                return
            except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as problem:
                # The URL may be a secret: the channel or host is told, never the path, nor what quotes it.
                said = type(problem).__name__
                if isinstance(problem, httpx.HTTPStatusError):
                    said = f"HTTP {problem.response.status_code}"
                log.warning("notification %s of %s, try %d: %s", to, status.id, attempt, said)
            if attempt < TRIES:
                await self._sleep(wait)
                wait *= 2
        log.error("notification %s of %s given up: entry %d, %s", to, status.id, entry.seq, entry.reason)

    def _url(self, how: Notification) -> str:
        if how.url is not None:
            return how.url
        if self._channels is None or how.channel is None:
            raise FileNotFoundError("no directory of channels is set")
        return (self._channels / how.channel).read_text(encoding="utf-8").strip()


_PLAIN = "SRN-TLS-003 its address is plain HTTP beyond this machine"


def _host(url: str) -> str:
    """As much of a URL as may be told."""
    try:
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.hostname or ''}/…"
    except ValueError:
        return "…"


class NotifyingJournal:
    """A journal that also notifies, of entries numbered above ``told``."""

    def __init__(
        self, inner: Journal, notifications: Sequence[Notification], webhooks: Webhooks, told: int = 0
    ) -> None:
        self._inner = inner
        self._notifications = notifications
        self._webhooks = webhooks
        self._last = told

    async def tell(self, status: RolloutStatus, entry: Entry) -> None:
        """Tell the entry, then queue its notifications, once."""
        await self._inner.tell(status, entry)
        if entry.seq > self._last:
            self._webhooks.send(self._notifications, status, entry)
            self._last = entry.seq
