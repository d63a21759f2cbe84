"""The VirtualService and the DestinationRules of a SeldonDeployment. Pure."""

from __future__ import annotations

from tests.cluster.kube import Obj

from .model import Predictor, Target

GATEWAY = "istio-system/seldon-gateway"
_API = "networking.istio.io/v1"


def _annotation(target: Target, name: str, default: str) -> str:
    return target.annotations.get(name, default)


def _object(target: Target, kind: str, name: str, spec: Obj) -> Obj:
    metadata = {"name": name, "namespace": target.namespace, "ownerReferences": [target.owner]}
    return {"apiVersion": _API, "kind": kind, "metadata": metadata, "spec": spec}


def _host(target: Target, predictor: Predictor) -> str:
    return f"{predictor.service}.{target.namespace}.svc.cluster.local"


def virtual_service(target: Target) -> Obj:
    """One route for REST by path, one for gRPC by headers. The weights are taken as they are given."""
    name, namespace = target.name, target.namespace
    by_path = {
        "match": [{"uri": {"prefix": f"/seldon/{namespace}/{name}/"}}],
        "rewrite": {"uri": "/"},
    }
    by_header = {
        "match": [
            {
                "uri": {"regex": ".*tensorflow.*|.*seldon.protos.*|.*inference.*"},
                "headers": {"namespace": {"exact": namespace}, "seldon": {"exact": name}},
            }
        ]
    }
    spec = {
        "hosts": _annotation(target, "seldon.io/istio-host", "*").split(","),
        "gateways": [_annotation(target, "seldon.io/istio-gateway", GATEWAY)],
        "http": [by_path | _to(target, 0), by_header | _to(target, 1)],
    }
    return _object(target, "VirtualService", name, spec)


def _to(target: Target, which: int) -> Obj:
    def destination(predictor: Predictor) -> Obj:
        port = {"number": predictor.ports[which]}
        return {"host": _host(target, predictor), "port": port, "subset": predictor.name}

    made: Obj = {"route": []}
    for predictor in target.predictors:
        if predictor.shadow:
            made["mirror"] = destination(predictor)
            if predictor.traffic > 0:
                made["mirrorPercentage"] = {"value": predictor.traffic}
        else:
            # Istio's types leave a zero out.
            weight = {"weight": predictor.traffic} if predictor.traffic else {}
            made["route"].append({"destination": destination(predictor)} | weight)
    retries = int(_annotation(target, "seldon.io/istio-retries", "0"))
    if retries:
        timeout = _annotation(target, "seldon.io/istio-retries-timeout", "60")
        made["retries"] = {
            "attempts": retries,
            "perTryTimeout": f"{timeout}s",
            "retryOn": "gateway-error,connect-failure,refused-stream",
        }
    return made


def destination_rules(target: Target) -> list[Obj]:
    """One for each predictor, with the one subset that the VirtualService names."""
    return [
        _object(
            target,
            "DestinationRule",
            predictor.service,
            {
                "host": _host(target, predictor),
                "subsets": [{"name": predictor.name, "labels": {"version": predictor.labels["version"]}}],
                "trafficPolicy": {"connectionPool": {"http": {"idleTimeout": "60s"}}},
            },
        )
        for predictor in target.predictors
    ]
