"""Whether live traffic goes where it was asked to: the VirtualService and the endpoints behind it. Pure.

Seldon's own ``status.state`` is not asked: it speaks of Deployments, and says
Available while the routes are still the old ones.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..ports import Readback
from ..status import Routes

Object = dict[str, Any]


class Split(NamedTuple):
    """Who gets what, by Service: shares of live traffic and of copies, in percent."""

    weights: dict[str, int]
    copies: dict[str, float]


def splits(service: Object) -> list[Split]:
    """The split of each route of a VirtualService; Seldon makes one for REST and one for gRPC."""
    found: list[Split] = []
    for route in (service.get("spec") or {}).get("http") or []:
        targets = route.get("route") or []
        weights: dict[str, int] = {}
        for target in targets:
            # A single destination may leave out its weight.
            weight = int(target.get("weight", 100 if len(targets) == 1 else 0))
            name = _service(target["destination"]["host"])
            weights[name] = weights.get(name, 0) + weight
        mirror = route.get("mirror")
        share = float((route.get("mirrorPercentage") or {}).get("value", 100))
        found.append(Split(weights, {_service(mirror["host"]): share} if mirror else {}))
    return found


def read_back(
    service: Object | None,
    ready: dict[str, int] | None,
    routes: Routes,
    services: dict[str, str],
    removed: str | None = None,
) -> Readback:
    """Compare the live routes with those that were asked for.

    Args:
        service: the VirtualService; None if there is none.
        ready: Service → endpoints that take requests; None: not asked.
        services: predictor → its Service, for the champion and the candidate.
        removed: predictor that no route may name and no endpoint answer for. Another
            one that is not in ``routes`` may stand by without traffic.
    """
    if service is None:
        return Readback(state="not_yet", detail="there is no VirtualService of that name")
    wanted = _wanted(routes, services)
    found = splits(service)
    if not found:
        return Readback(state="not_yet", detail="the VirtualService has no HTTP route")
    idle = {services[name] for name in services if name not in (routes.stable, routes.canary, removed)}
    for split in found:
        live = {name: weight for name, weight in split.weights.items() if weight or name in wanted.weights}
        copies = {name: share for name, share in split.copies.items() if name not in idle}
        if live != wanted.weights or copies != wanted.copies:
            return Readback(state="not_yet", detail=f"live routes: {_tell(split)}; wanted: {_tell(wanted)}")
    for name in [*(n for n, weight in wanted.weights.items() if weight), *wanted.copies]:
        if ready is not None and not ready.get(name):
            return Readback(state="not_yet", detail=f"service {name} has no ready endpoint")
    if removed is not None and (left := _left(found, ready or {}, services[removed])):
        return Readback(state="not_yet", detail=left)
    return Readback(state="verified", detail=f"live routes: {_tell(wanted)}")


def _left(found: list[Split], ready: dict[str, int], name: str) -> str | None:
    """Why a removed predictor may still answer someone."""
    for split in found:
        if name in split.weights or name in split.copies:
            return f"a route still names {name}: {_tell(split)}"
    if ready.get(name):
        return f"{ready[name]} endpoints of {name} still take requests"
    return None


def ready_endpoints(slices: list[Object]) -> dict[str, int]:
    """Service → endpoints that take requests."""
    found: dict[str, int] = {}
    for piece in slices:
        name = (piece["metadata"].get("labels") or {}).get("kubernetes.io/service-name", "")
        count = sum(
            len(endpoint.get("addresses") or [1])
            for endpoint in piece.get("endpoints") or []
            # Not said means ready, by the API's own rule.
            if (endpoint.get("conditions") or {}).get("ready", True) is not False
        )
        found[name] = found.get(name, 0) + count
    return found


def _wanted(routes: Routes, services: dict[str, str]) -> Split:
    stable = services[routes.stable]
    if routes.canary is None:
        return Split({stable: 100}, {})
    canary = services[routes.canary]
    if routes.shadow:
        return Split({stable: 100}, {canary: float(routes.weight)})
    return Split({stable: 100 - routes.weight, canary: routes.weight}, {})


def _service(host: str) -> str:
    return host.split(".", 1)[0]


def _tell(split: Split) -> str:
    parts = [f"{name} {weight} %" for name, weight in sorted(split.weights.items())]
    return ", ".join(parts + [f"copies of {share:g} % to {name}" for name, share in split.copies.items()])
