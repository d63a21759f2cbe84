"""Leader election by a Lease: of two replicas one acts, the other waits.

The rules are those of Kubernetes's own components: who holds the lease renews
it; who does not takes it once it has not been renewed for its whole duration,
by its own clock, so that clocks need not agree. A leader that cannot renew in
time stops acting before anyone else may begin.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from serinus.kube.api import Api, ApiError, Object, UnreachableError

from .names import LEASE

log = logging.getLogger(__name__)

DURATION = 15.0  # seconds without a renewal after which another may take over
RENEW = 3.0  # seconds between renewals
DEADLINE = 10.0  # seconds without a successful renewal after which the leader stops


class Election:
    """One candidate for one lease."""

    def __init__(
        self,
        api: Api,
        namespace: str,
        name: str,
        identity: str,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.leading = False
        self._renewed = float("-inf")
        self._api = api
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._monotonic = monotonic
        self._sleep = sleep
        self._seen: tuple[object, object] = (None, None)  # holder and renewal as last seen
        self._seen_at = float("-inf")

    async def win(self) -> None:
        """Return once we lead."""
        while not await self._try():
            await self._sleep(RENEW)
        self.leading = True
        log.info("leading: %s holds lease %s/%s", self._identity, self._namespace, self._name)

    @property
    def holds(self) -> bool:
        """Do we lead, and can nobody else lead yet?"""
        return self.leading and self._monotonic() - self._renewed < DURATION

    async def keep(self) -> None:
        """Renew; return once the lease is lost, or may be."""
        while self._monotonic() - self._renewed < DEADLINE:
            await self._sleep(RENEW)
            if not await self._try() and self._seen[0] != self._identity:
                break
        self.leading = False
        log.error("leading no more: the lease %s/%s is lost", self._namespace, self._name)

    async def resign(self) -> None:
        """Let another take over at once."""
        if not self.leading:
            return
        self.leading = False
        try:
            lease = await self._api.get(LEASE, self._namespace, self._name)
            if lease["spec"].get("holderIdentity") == self._identity:
                lease["spec"] |= {"holderIdentity": "", "renewTime": _now(), "leaseDurationSeconds": 1}
                await self._api.replace(LEASE, self._namespace, self._name, lease)
        except (ApiError, UnreachableError) as problem:
            log.warning("the lease could not be given back: %s", problem)

    async def _try(self) -> bool:
        began = self._monotonic()
        try:
            lease = await self._api.find(LEASE, self._namespace, self._name)
            if lease is None:
                body = {
                    "apiVersion": LEASE.api_version,
                    "kind": LEASE.kind,
                    "metadata": {"name": self._name, "namespace": self._namespace},
                    "spec": self._spec({}),
                }
                await self._api.create(LEASE, self._namespace, body)
                self._renewed = began
                return True
            if not self._free(lease["spec"]):
                return False
            lease["spec"] = self._spec(lease["spec"])
            await self._api.replace(LEASE, self._namespace, self._name, lease)
        except ApiError as problem:
            if not problem.conflict:
                log.warning("lease %s/%s: %s", self._namespace, self._name, problem)
            return False
        except UnreachableError as problem:
            log.warning("lease %s/%s: %s", self._namespace, self._name, problem)
            return False
        self._seen = self._identity, None
        self._renewed = began
        return True

    def _free(self, spec: Object) -> bool:
        """Ours, nobody's, or not renewed for as long as it lasts, by our clock."""
        holder = spec.get("holderIdentity")
        if not holder or holder == self._identity:
            return True
        seen = holder, spec.get("renewTime")
        if seen != self._seen:
            self._seen, self._seen_at = seen, self._monotonic()
        lasts = float(spec.get("leaseDurationSeconds") or DURATION)
        return self._monotonic() - self._seen_at >= lasts

    def _spec(self, old: Object) -> Object:
        mine = old.get("holderIdentity") == self._identity
        changes = int(old.get("leaseTransitions") or 0)
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": int(DURATION),
            "acquireTime": old.get("acquireTime") if mine else _now(),
            "renewTime": _now(),
            "leaseTransitions": changes if mine or not old else changes + 1,
        }


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
