"""One kind of object followed for ever: listed once, then changes only; what breaks is made good by itself."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time

from serinus.kube.api import Api, ApiError, Object, UnreachableError
from serinus.kube.kinds import Kind

log = logging.getLogger(__name__)

SESSION = 240  # seconds until the server ends a watch, and it is begun anew where it ended
BACKOFF = (0.2, 10.0)
HEALTHY = 5.0  # seconds that a watch lasts where nothing is wrong

pause = asyncio.sleep


class Following:
    """All objects of one kind in one namespace (None: in all). What becomes of them is up to ``_listed`` and
    ``_heard``; one that raises is told everything again, by another listing."""

    def __init__(self, api: Api, kind: Kind, namespace: str | None, selector: str = "") -> None:
        self.kind = kind
        self.synced = asyncio.Event()
        self.seen_at = float("-inf")  # monotonic; when the server last told us anything
        self._api = api
        self._namespace = namespace
        self._selector = selector

    async def _listed(self, items: list[Object]) -> None:
        """These are all that there are now."""

    async def _heard(self, what: str, found: Object) -> None:
        """One was ``ADDED``, ``MODIFIED`` or ``DELETED``."""

    async def run(self) -> None:
        """Keep up for ever. Lost connections and expired versions are made good by themselves."""
        wait = BACKOFF[0]
        while True:
            try:
                since = await self._list()
                while True:
                    began = time.monotonic()
                    since = await self._follow(since)
                    if time.monotonic() - began >= HEALTHY:
                        wait = BACKOFF[0]
                    else:  # a server, or a proxy before it, that ends every watch at once
                        await pause(wait * random.uniform(0.5, 1.0))
                        wait = min(wait * 2, BACKOFF[1])
            except Exception as problem:
                # A watch that ended would leave whoever relies on it with a memory that grows old unsaid.
                if isinstance(problem, ApiError) and problem.gone:
                    log.warning("watch of %s: this cluster has no such kind yet", self.kind.plural)
                elif not isinstance(problem, ApiError | UnreachableError):
                    log.exception("watch of %s: failed, trying again", self.kind.plural)
                elif not (isinstance(problem, ApiError) and problem.code == 410):
                    log.warning("watch of %s: %s", self.kind.plural, problem)
                await pause(wait * random.uniform(0.5, 1.0))  # so that replicas do not call in step
                wait = min(wait * 2, BACKOFF[1])

    async def _list(self) -> str:
        listed = await self._api.list(self.kind, self._namespace, self._selector)
        await self._listed(listed["items"])
        self.seen_at = time.monotonic()
        self.synced.set()
        return str(listed["metadata"]["resourceVersion"])

    async def _follow(self, since: str) -> str:
        async with contextlib.aclosing(
            self._api.watch(self.kind, self._namespace, self._selector, since, SESSION)
        ) as events:
            async for what, found in events:
                self.seen_at = time.monotonic()
                if what == "ERROR":
                    raise ApiError(
                        found.get("code") or 0, found.get("reason") or "", found.get("message") or ""
                    )
                since = str(found["metadata"]["resourceVersion"])
                if what != "BOOKMARK":
                    await self._heard(what, found)
        return since
