"""The Kubernetes API, as far as our programs need it: JSON over HTTP, authenticated as kubectl or a pod is.

The client library reads kubeconfigs and service accounts and renews tokens;
requests go through httpx, since the library's own are neither asynchronous nor
cheap (it builds an object tree of every pod).
"""

from __future__ import annotations

import contextlib
import json
import logging
import ssl
import time
from collections.abc import AsyncGenerator, Callable
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
from kubernetes import client as kubernetes_client
from kubernetes import config as kubernetes_config

from serinus.errors import SerinusError
from serinus.kube.kinds import FIELD_MANAGER, Kind

log = logging.getLogger(__name__)

Object = dict[str, Any]
MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"


class ApiError(Exception):
    """The API server said no. ``code`` is the HTTP status, ``reason`` Kubernetes's word for it."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(f"{code} {reason}: {message}")
        self.code = code
        self.reason = reason
        self.message = message

    @property
    def gone(self) -> bool:
        """The object, or its kind, is not there."""
        return self.code == 404

    @property
    def conflict(self) -> bool:
        """Someone else was faster, or it exists already."""
        return self.code == 409


class UnreachableError(OSError):
    """The API server does not answer. That says nothing about what it holds."""


def configuration(kubeconfig: str | None = None, context: str | None = None) -> Any:
    """How to reach the API server: a kubeconfig if one is named or found, else the pod's service account.

    Raises:
        SerinusError: SRN-ROLLOUT-009 if there is neither.
    """
    found = kubernetes_client.Configuration()
    try:
        if kubeconfig is None and context is None:
            try:
                kubernetes_config.load_incluster_config(client_configuration=found)
                return found
            except kubernetes_config.ConfigException:
                pass
        kubernetes_config.load_kube_config(
            config_file=kubeconfig, context=context, client_configuration=found
        )
    except (kubernetes_config.ConfigException, OSError) as problem:
        raise SerinusError(
            "SRN-ROLLOUT-009",
            f"no way to the Kubernetes API: {problem}",
            where=kubeconfig or "kubeconfig",
            hint="Set KUBECONFIG or --kubeconfig and --context; kubectl config get-contexts lists them.",
        ) from None
    return found


def current_namespace(kubeconfig: str | None = None, context: str | None = None) -> str:
    """The namespace of a context, as kubectl takes it."""
    try:
        listed: Any = kubernetes_config.list_kube_config_contexts(config_file=kubeconfig)
        contexts, active = listed
    except (kubernetes_config.ConfigException, OSError):
        return "default"
    chosen = next((c for c in contexts if c["name"] == context), active)
    return str((chosen or {}).get("context", {}).get("namespace") or "default")


class Api:
    """One API server. Every method may raise ``ApiError`` and ``UnreachableError``.

    ``may_write`` is asked before everything that changes something, leases apart: a
    replica that was held up for longer than its lease lasts must not act on waking.
    """

    def __init__(
        self, config: Any, transport: httpx.AsyncBaseTransport | None = None, acting: str | None = None
    ) -> None:
        self._acting = acting  # whom to impersonate, as kubectl --as does
        self._config = config
        self.server = str(config.host).rstrip("/")
        self.calls = 0
        self.ahead = 0.0  # seconds by which the server's clock is ahead of ours, at least
        self.may_write: Callable[[], bool] = lambda: True
        verify: ssl.SSLContext | bool = bool(config.verify_ssl)
        if self.server.startswith("https") and config.verify_ssl:
            verify = ssl.create_default_context(cafile=config.ssl_ca_cert)
            if config.cert_file:
                verify.load_cert_chain(config.cert_file, config.key_file)
        self._client = httpx.AsyncClient(
            base_url=self.server,
            verify=verify,
            timeout=httpx.Timeout(10.0),
            trust_env=False,
            transport=transport,
            limits=httpx.Limits(max_connections=100, max_keepalive_connections=20),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def get(self, kind: Kind, namespace: str | None, name: str) -> Object:
        """One object, as the API server has it now."""
        return await self._call("GET", kind.path(namespace, name))

    async def find(self, kind: Kind, namespace: str | None, name: str) -> Object | None:
        """The same, or None if it is not there."""
        try:
            return await self.get(kind, namespace, name)
        except ApiError as problem:
            if problem.gone:
                return None
            raise

    async def list(self, kind: Kind, namespace: str | None, selector: str = "", fields: str = "") -> Object:
        """All objects of a kind, with the resource version from which to watch."""
        params = {"labelSelector": selector, "fieldSelector": fields}
        return await self._call("GET", kind.path(namespace), params={k: v for k, v in params.items() if v})

    async def create(self, kind: Kind, namespace: str | None, body: Object) -> Object:
        """Make an object; a conflict if it exists."""
        return await self._call(
            "POST", kind.path(namespace), body=body, params={"fieldManager": FIELD_MANAGER}
        )

    async def replace(self, kind: Kind, namespace: str, name: str, body: Object) -> Object:
        """Replace an object; a conflict if it changed since ``body`` was read."""
        return await self._call("PUT", kind.path(namespace, name), body=body)

    async def merge(
        self, kind: Kind, namespace: str, name: str, body: Object, subresource: str = ""
    ) -> Object:
        """Change some fields; with ``metadata.resourceVersion`` only if nobody else did since."""
        path = kind.path(namespace, name, subresource)
        return await self._call(
            "PATCH", path, body=body, content=MERGE, params={"fieldManager": FIELD_MANAGER}
        )

    async def apply(self, kind: Kind, namespace: str, name: str, body: Object) -> Object:
        """Server-side apply under our field manager; what ``body`` names becomes ours."""
        params = {"fieldManager": FIELD_MANAGER, "force": "true"}
        return await self._call("PATCH", kind.path(namespace, name), body=body, content=APPLY, params=params)

    async def watch(
        self, kind: Kind, namespace: str | None, selector: str, since: str, seconds: int
    ) -> AsyncGenerator[tuple[str, Object]]:
        """Changes since a resource version, as (type, object), until the server ends the stream."""
        params = {
            "watch": "true",
            "labelSelector": selector,
            "resourceVersion": since,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(seconds),
        }
        self.calls += 1
        timeout = httpx.Timeout(10.0, read=seconds + 15.0)
        try:
            async with self._client.stream(
                "GET", kind.path(namespace), params=params, headers=self._headers(), timeout=timeout
            ) as answer:
                if not answer.is_success:
                    await answer.aread()
                    raise _error(answer)
                async for line in answer.aiter_lines():
                    if line:
                        event = json.loads(line)
                        yield event["type"], event["object"]
        except (httpx.HTTPError, ValueError) as problem:
            raise UnreachableError(f"{self.server}: {problem or type(problem).__name__}") from None

    async def who_am_i(self) -> str:
        """The user name that the API server knows us by."""
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        answer = await self._call("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body=body)
        return str(answer["status"]["userInfo"]["username"])

    def _compare_clocks(self, answer: httpx.Response) -> None:
        """From the Date header, which has whole seconds, rounded down, and is older than its arrival."""
        with contextlib.suppress(KeyError, TypeError, ValueError):
            said = parsedate_to_datetime(answer.headers["date"]).timestamp()
            self.ahead = said - time.time()

    def _headers(self) -> dict[str, str]:
        token = self._config.get_api_key_with_prefix("authorization")  # renews it when it is due
        headers = {"Authorization": token} if token else {}
        return headers | ({"Impersonate-User": self._acting} if self._acting else {})

    async def _call(
        self,
        method: str,
        path: str,
        *,
        body: Object | None = None,
        content: str = "application/json",
        params: dict[str, str] | None = None,
    ) -> Object:
        if method in ("PATCH", "POST", "PUT") and not self.may_write() and "/leases" not in path:
            raise UnreachableError("not written: this replica does not lead, or may not any more")
        self.calls += 1
        headers = self._headers() | ({"Content-Type": content} if body is not None else {})
        data = json.dumps(body).encode() if body is not None else None
        try:
            answer = await self._client.request(method, path, content=data, params=params, headers=headers)
        except httpx.HTTPError as problem:
            raise UnreachableError(f"{self.server}: {str(problem) or type(problem).__name__}") from None
        self._compare_clocks(answer)
        if not answer.is_success:
            if answer.status_code >= 500 or answer.status_code == 429:
                raise UnreachableError(f"{self.server}: HTTP {answer.status_code}")
            raise _error(answer)
        return answer.json()


def _error(answer: httpx.Response) -> ApiError:
    try:
        said = answer.json()
        return ApiError(answer.status_code, said.get("reason") or "", said.get("message") or "")
    except ValueError:
        return ApiError(answer.status_code, "", answer.text[:200])
