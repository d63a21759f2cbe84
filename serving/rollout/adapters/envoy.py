"""The traffic port for Envoy: routes and clusters in files that it watches, read back from its admin port.

Two files, replaced by atomic renames in a watched directory: ``routes.json``
(RDS) splits every request at random by weight; ``clusters.json`` (CDS) says
where each predictor answers. A predictor's cluster exists before a route names
it and outlives the route, so no request meets a gap; a removed cluster lets its
requests in flight finish.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import httpx

from serinus.home import atomic_write

from ..ports import Readback
from ..status import Routes

ROUTE_NAME = "serinus"
PREDICTOR_HEADER = "x-serinus-predictor"
_TYPE = "type.googleapis.com/envoy"

# Below every server's keep-alive timeout (uvicorn: 5 s): otherwise Envoy may send a
# request on a connection that the server is closing, and without retries that is a 503.
UPSTREAM_IDLE = "2s"


def cluster(name: str, host: str, port: int) -> dict[str, Any]:
    """One predictor at one address."""
    address = {"socket_address": {"address": host, "port_value": port}}
    return {
        "@type": f"{_TYPE}.config.cluster.v3.Cluster",
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{_TYPE}.extensions.upstreams.http.v3.HttpProtocolOptions",
                "common_http_protocol_options": {"idle_timeout": UPSTREAM_IDLE},
                "explicit_http_config": {"http_protocol_options": {}},
            }
        },
    }


def route_configuration(routes: Routes, timeout: float) -> dict[str, Any]:
    """Weighted clusters and no retries: a retry would hide the candidate's errors.

    The predictor's name is set here too, so that an answer that Envoy makes itself
    (503 for a dead process, 504 for a late one) is put down to who failed.
    """
    split = list(_weights(routes).items())
    clusters = [
        {
            "name": name,
            "weight": weight,
            "response_headers_to_add": [
                {
                    "header": {"key": PREDICTOR_HEADER, "value": name},
                    "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
                }
            ],
        }
        for name, weight in split
    ]
    route: dict[str, Any] = {"weighted_clusters": {"clusters": clusters}, "timeout": f"{timeout:g}s"}
    if routes.canary and routes.shadow:
        share = {"default_value": {"numerator": routes.weight, "denominator": "HUNDRED"}}
        route["request_mirror_policies"] = [{"cluster": routes.canary, "runtime_fraction": share}]
    return {
        "@type": f"{_TYPE}.config.route.v3.RouteConfiguration",
        "name": ROUTE_NAME,
        "virtual_hosts": [
            {"name": "model", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": route}]}
        ],
    }


def bootstrap(directory: Path, *, host: str, port: int) -> dict[str, Any]:
    """Envoy's own configuration: one client port, the admin port on loopback, the watched files."""

    def watched(file: str) -> dict[str, Any]:
        path = {"path": str(directory / file), "watched_directory": {"path": str(directory)}}
        return {"path_config_source": path, "resource_api_version": "V3"}

    manager = {
        "@type": f"{_TYPE}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "clients",
        "rds": {"route_config_name": ROUTE_NAME, "config_source": watched("routes.json")},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {
                    "@type": f"{_TYPE}.extensions.filters.http.router.v3.Router",
                    "suppress_envoy_headers": True,
                },
            }
        ],
    }
    connections = "envoy.filters.network.http_connection_manager"
    listener = {
        "name": "clients",
        # With reuse_port a second platform would share the port silently.
        "enable_reuse_port": False,
        "address": {"socket_address": {"address": host, "port_value": port}},
        "filter_chains": [{"filters": [{"name": connections, "typed_config": manager}]}],
    }
    return {
        "node": {"id": "serinus", "cluster": "serinus"},
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
        "dynamic_resources": {"cds_config": watched("clusters.json")},
        "static_resources": {"listeners": [listener]},
    }


def write_resources(path: Path, resources: list[dict[str, Any]]) -> None:
    """Replace a watched file, if it would change. The version is the content's digest."""
    body = json.dumps(resources, sort_keys=True)
    version = hashlib.sha256(body.encode()).hexdigest()[:16]
    data = json.dumps({"version_info": version, "resources": resources}, sort_keys=True)
    if not path.exists() or path.read_text(encoding="utf-8") != data:
        atomic_write(path, data)


class EnvoyTraffic:
    """Traffic over one Envoy.

    ``endpoints`` maps a predictor to its (host, port) and is kept up to date by
    whoever runs the processes. ``timeout`` is the longest that a request may
    take, in seconds.
    """

    def __init__(
        self, directory: Path, client: httpx.AsyncClient | None = None, timeout: float = 2.0
    ) -> None:
        self.directory = directory
        self.timeout = timeout
        self.admin_url = ""
        self.endpoints: dict[str, tuple[str, int]] = {}
        self._client = client or httpx.AsyncClient(timeout=2.0, trust_env=False)

    async def close(self) -> None:
        """Close the HTTP connections."""
        await self._client.aclose()

    async def apply(self, routes: Routes) -> None:
        """Take the next step towards the routes: cluster first, then route, then remove what is unused."""
        needed = _names(routes)
        live = await self._live()
        in_use = needed | (live.names if live else set())
        self._write_clusters(in_use)
        if live is not None and not await self._active(needed):
            return  # the new cluster is not there yet; asked again at the next look
        write_resources(self.directory / "routes.json", [route_configuration(routes, self.timeout)])
        if live is not None and live.equals(routes):
            self._write_clusters(needed)

    async def read_back(self, routes: Routes) -> Readback:
        """Compare with what Envoy itself says that it does."""
        live = await self._live()
        if live is None:
            return Readback(
                state="cannot_tell", detail=f"Envoy's admin port {self.admin_url} does not answer"
            )
        if not live.equals(routes):
            return Readback(state="not_yet", detail=f"live routes: {live}")
        clusters = await self._clusters()
        wanted = {name: self.endpoints[name] for name in _names(routes) if name in self.endpoints}
        if clusters != wanted:
            return Readback(state="not_yet", detail=f"live clusters: {sorted(clusters)}")
        return Readback(state="verified", detail=f"live routes: {live}")

    def write(self, routes: Routes) -> None:
        """Write the files without asking Envoy: before it starts, or when an endpoint moved."""
        self._write_clusters(_names(routes))
        write_resources(self.directory / "routes.json", [route_configuration(routes, self.timeout)])

    def _write_clusters(self, names: set[str]) -> None:
        known = [cluster(name, *self.endpoints[name]) for name in sorted(names) if name in self.endpoints]
        write_resources(self.directory / "clusters.json", known)

    async def _active(self, names: set[str]) -> bool:
        clusters = await self._clusters()
        return all(clusters.get(name) == self.endpoints.get(name) for name in names)

    async def _live(self) -> _Live | None:
        dump = await self._dump("dynamic_route_configs")
        for entry in dump or []:
            config = entry.get("route_config", {})
            if config.get("name") == ROUTE_NAME:
                return _Live(config)
        return None

    async def _clusters(self) -> dict[str, tuple[str, int]]:
        found: dict[str, tuple[str, int]] = {}
        for entry in await self._dump("dynamic_active_clusters") or []:
            config = entry["cluster"]
            endpoint = config["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
            address = endpoint["address"]["socket_address"]
            found[config["name"]] = (address["address"], address["port_value"])
        return found

    async def _dump(self, resource: str) -> list[dict[str, Any]] | None:
        try:
            answer = await self._client.get(f"{self.admin_url}/config_dump", params={"resource": resource})
            return answer.json().get("configs", []) if answer.is_success else None
        except (httpx.HTTPError, httpx.InvalidURL, ValueError):
            return None


class _Live:
    """The split that Envoy reports."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.weights: dict[str, int] = {}
        self.copies: dict[str, int] = {}
        for host in config.get("virtual_hosts", []):
            for route in host.get("routes", []):
                for part in route.get("route", {}).get("weighted_clusters", {}).get("clusters", []):
                    # Protobuf's JSON leaves out a zero weight.
                    self.weights[part["name"]] = int(part.get("weight", 0))
                for mirror in route.get("route", {}).get("request_mirror_policies", []):
                    fraction = mirror.get("runtime_fraction", {}).get("default_value", {})
                    self.copies[mirror["cluster"]] = int(fraction.get("numerator", 0))

    def equals(self, routes: Routes) -> bool:
        """Are these the routes that were asked for?"""
        return self.weights == _weights(routes) and self.copies == _copies(routes)

    @property
    def names(self) -> set[str]:
        return set(self.weights) | set(self.copies)

    def __str__(self) -> str:
        parts = [f"{name} {weight} %" for name, weight in sorted(self.weights.items())]
        return ", ".join(parts + [f"{name} copies of {share} %" for name, share in self.copies.items()])


def _weights(routes: Routes) -> dict[str, int]:
    if routes.canary is None or routes.shadow:
        return {routes.stable: 100}
    return {routes.stable: 100 - routes.weight, routes.canary: routes.weight}


def _copies(routes: Routes) -> dict[str, int]:
    return {routes.canary: routes.weight} if routes.canary and routes.shadow else {}


def _names(routes: Routes) -> set[str]:
    return {routes.stable} | ({routes.canary} if routes.canary else set())
