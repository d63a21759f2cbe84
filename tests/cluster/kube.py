"""The few verbs of the Kubernetes API that the tests and the stand-in use, over plain objects."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import kubernetes.client
import kubernetes.config
import urllib3

Obj = dict[str, Any]


class Kind(NamedTuple):
    """Where a kind lives in the API."""

    api_version: str
    plural: str
    namespaced: bool = True

    def path(self, namespace: str | None = None, name: str | None = None, sub: str | None = None) -> str:
        root = f"/api/{self.api_version}" if "/" not in self.api_version else f"/apis/{self.api_version}"
        parts = [root]
        if self.namespaced and namespace is not None:
            parts.append(f"namespaces/{namespace}")
        parts += [part for part in (self.plural, name, sub) if part]
        return "/".join(parts)


KINDS = {
    "Namespace": Kind("v1", "namespaces", False),
    "Node": Kind("v1", "nodes", False),
    "Pod": Kind("v1", "pods"),
    "Event": Kind("v1", "events"),
    "Service": Kind("v1", "services"),
    "ServiceAccount": Kind("v1", "serviceaccounts"),
    "Secret": Kind("v1", "secrets"),
    "ConfigMap": Kind("v1", "configmaps"),
    "Deployment": Kind("apps/v1", "deployments"),
    "ReplicaSet": Kind("apps/v1", "replicasets"),
    "EndpointSlice": Kind("discovery.k8s.io/v1", "endpointslices"),
    "Lease": Kind("coordination.k8s.io/v1", "leases"),
    "Role": Kind("rbac.authorization.k8s.io/v1", "roles"),
    "RoleBinding": Kind("rbac.authorization.k8s.io/v1", "rolebindings"),
    "ClusterRole": Kind("rbac.authorization.k8s.io/v1", "clusterroles", False),
    "ClusterRoleBinding": Kind("rbac.authorization.k8s.io/v1", "clusterrolebindings", False),
    "HorizontalPodAutoscaler": Kind("autoscaling/v2", "horizontalpodautoscalers"),
    "PodDisruptionBudget": Kind("policy/v1", "poddisruptionbudgets"),
    "NetworkPolicy": Kind("networking.k8s.io/v1", "networkpolicies"),
    "CustomResourceDefinition": Kind("apiextensions.k8s.io/v1", "customresourcedefinitions", False),
    "VirtualService": Kind("networking.istio.io/v1", "virtualservices"),
    "DestinationRule": Kind("networking.istio.io/v1", "destinationrules"),
    "SeldonDeployment": Kind("machinelearning.seldon.io/v1", "seldondeployments"),
    "ModelRollout": Kind("serinus.io/v1alpha1", "modelrollouts"),
}


class ApiError(Exception):
    """What the API server refused, with its own words."""

    def __init__(self, code: int, method: str, path: str, message: str) -> None:
        super().__init__(f"{method} {path}: {code} {message}")
        self.code = code


class BusyError(ApiError):
    """The API server did not answer in time, or said that it cannot now. That says nothing about what it holds."""


class Kube:
    """One API server, as a kubeconfig names it.

    Args:
        kubeconfig: the file; None takes ``KUBECONFIG`` or ``~/.kube/config``.
        context: a context of it, if not the current one.
    """

    def __init__(self, kubeconfig: str | None = None, context: str | None = None) -> None:
        self._client: Any = kubernetes.config.new_client_from_config(kubeconfig, context)

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        query: dict[str, str] | None = None,
        content_type: str = "application/json",
        timeout: float | None = 30,
        stream: bool = False,
    ) -> Any:
        """Ask; the answer's JSON, or the raw response if ``stream``.

        Raises:
            ApiError: for every answer that is not a success.
        """
        headers = {"Accept": "application/json", "Content-Type": content_type}
        try:
            response = self._client.call_api(
                path,
                method,
                query_params=list((query or {}).items()),
                header_params=headers,
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,
                _return_http_data_only=True,
                _request_timeout=timeout,
            )
        except kubernetes.client.ApiException as error:
            text = error.body.decode() if isinstance(error.body, bytes) else (error.body or "")
            with contextlib.suppress(ValueError):
                text = json.loads(text).get("message", text)
            code = int(error.status or 0)
            raise (BusyError if code >= 500 or code in (0, 429) else ApiError)(
                code, method, path, text
            ) from None
        except urllib3.exceptions.HTTPError as error:
            raise BusyError(0, method, path, str(error)) from None
        if stream:
            return response
        return json.loads(response.data)

    def get(self, kind: str, namespace: str | None, name: str) -> Obj | None:
        """The object, or None where there is none."""
        try:
            return self.call("GET", KINDS[kind].path(namespace, name))
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    def must(self, kind: str, namespace: str | None, name: str) -> Obj:
        """The object, which must be there."""
        return self.call("GET", KINDS[kind].path(namespace, name))

    def list(self, kind: str, namespace: str | None = None, selector: str = "") -> list[Obj]:
        """All of a kind, in a namespace or everywhere; the items say what they are."""
        answer = self.call(
            "GET", KINDS[kind].path(namespace), query={"labelSelector": selector} if selector else {}
        )
        return [{"apiVersion": KINDS[kind].api_version, "kind": kind} | item for item in answer["items"]]

    def create(self, obj: Obj) -> Obj:
        """Create it as given."""
        return self.call("POST", KINDS[obj["kind"]].path(obj["metadata"].get("namespace")), obj)

    def replace(self, obj: Obj) -> Obj:
        """Put it in place of the one of the same resource version."""
        meta = obj["metadata"]
        return self.call("PUT", KINDS[obj["kind"]].path(meta.get("namespace"), meta["name"]), obj)

    def replace_status(self, obj: Obj) -> Obj:
        """Put its status only."""
        meta = obj["metadata"]
        return self.call("PUT", KINDS[obj["kind"]].path(meta.get("namespace"), meta["name"], "status"), obj)

    def patch(self, kind: str, namespace: str | None, name: str, patch: Any) -> Obj:
        """A merge patch (a mapping) or a JSON patch (a list)."""
        form = "application/json-patch+json" if isinstance(patch, list) else "application/merge-patch+json"
        return self.call("PATCH", KINDS[kind].path(namespace, name), patch, content_type=form)

    def apply(self, obj: Obj, manager: str = "serinus-tests", force: bool = True) -> Obj:
        """Server-side apply."""
        meta = obj["metadata"]
        return self.call(
            "PATCH",
            KINDS[obj["kind"]].path(meta.get("namespace"), meta["name"]),
            obj,
            query={"fieldManager": manager, "force": "true" if force else "false"},
            content_type="application/apply-patch+yaml",
        )

    def delete(self, kind: str, namespace: str | None, name: str, propagation: str = "Background") -> bool:
        """Delete it; False where there was none."""
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        try:
            self.call("DELETE", KINDS[kind].path(namespace, name), options)
        except ApiError as error:
            if error.code == 404:
                return False
            raise
        return True

    def watch(self, kind: str, stop: threading.Event) -> Iterator[tuple[str, Obj]]:
        """Everything of a kind, everywhere: first what is there (as ADDED), then each change, until ``stop``.

        A lost connection or an expired version starts again from a list, so an event may come twice.
        """
        while not stop.is_set():
            try:
                answer = self.call("GET", KINDS[kind].path())
                for item in answer["items"]:
                    yield "ADDED", item
                version = answer["metadata"]["resourceVersion"]
                yield from self._changes(kind, version, stop)
            except (ApiError, urllib3.exceptions.HTTPError, OSError, ValueError):
                stop.wait(0.5)

    def _changes(self, kind: str, version: str, stop: threading.Event) -> Iterator[tuple[str, Obj]]:
        query = {
            "watch": "1",
            "resourceVersion": version,
            "timeoutSeconds": "300",
            "allowWatchBookmarks": "true",
        }
        response = self.call("GET", KINDS[kind].path(), query=query, timeout=320, stream=True)
        try:
            left = b""
            for chunk in response.stream(amt=None, decode_content=False):
                if stop.is_set():
                    return
                *lines, left = (left + chunk).split(b"\n")
                for line in filter(None, lines):
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        return
                    if event["type"] != "BOOKMARK":
                        yield event["type"], event["object"]
        finally:
            response.close()
