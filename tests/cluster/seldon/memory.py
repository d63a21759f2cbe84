"""An API server in memory, as far as the stand-in sees one. No controllers: tests write the Deployments' statuses."""

from __future__ import annotations

import itertools
from copy import deepcopy

from tests.cluster.kube import ApiError, Obj

from .recordings import Id, by_id


class Memory:
    """Keeps objects, counts generations, fills in the API server's defaults, deletes in the foreground."""

    def __init__(self, objects: list[Obj]) -> None:
        self.objects: dict[Id, Obj] = by_id(deepcopy(objects))
        self.calls: list[str] = []
        self._versions = itertools.count(1)

    def get(self, kind: str, namespace: str | None, name: str) -> Obj | None:
        return deepcopy(self.objects.get((kind, name)))

    def create(self, obj: Obj) -> Obj:
        if (obj["kind"], obj["metadata"]["name"]) in self.objects:
            raise ApiError(409, "POST", obj["metadata"]["name"], "exists")
        return self._keep("create", obj, generation=1)

    def replace(self, obj: Obj) -> Obj:
        old = self.objects[obj["kind"], obj["metadata"]["name"]]
        kept = {"status": old["status"]} if "status" in old else {}
        changed = _defaulted(obj)["spec"] != old["spec"]
        return self._keep("replace", obj | kept, generation=old["metadata"].get("generation", 0) + changed)

    def replace_status(self, obj: Obj) -> Obj:
        live = self.objects[obj["kind"], obj["metadata"]["name"]]
        live["status"] = deepcopy(obj["status"])
        self.calls.append(f"status {obj['kind']} {obj['metadata']['name']}")
        return deepcopy(live)

    def delete(self, kind: str, namespace: str | None, name: str, propagation: str = "Background") -> bool:
        obj = self.objects.get((kind, name))
        if obj is None:
            return False
        if "deletionTimestamp" in obj["metadata"]:
            return True
        self.calls.append(f"delete {kind} {name}")
        if propagation != "Foreground":
            del self.objects[kind, name]
        else:
            obj["metadata"] |= {
                "deletionTimestamp": "now",
                "deletionGracePeriodSeconds": 0,
                "finalizers": ["foregroundDeletion"],
                "generation": obj["metadata"]["generation"] + 1,
            }
        return True

    def finish_deletions(self) -> None:
        """What the garbage collector does once the pods are gone."""
        self.objects = {
            key: obj for key, obj in self.objects.items() if "deletionTimestamp" not in obj["metadata"]
        }

    def _keep(self, verb: str, obj: Obj, generation: int) -> Obj:
        kept = _defaulted(obj)
        if obj["kind"] != "Service":
            kept["metadata"]["generation"] = generation
        self.objects[obj["kind"], obj["metadata"]["name"]] = kept
        self.calls.append(f"{verb} {obj['kind']} {obj['metadata']['name']}")
        return deepcopy(kept)


def _defaulted(obj: Obj) -> Obj:
    made = deepcopy(obj)
    spec = made["spec"]
    if obj["kind"] == "Service":
        for key, value in (
            ("internalTrafficPolicy", "Cluster"),
            ("ipFamilies", ["IPv4"]),
            ("ipFamilyPolicy", "SingleStack"),
            ("sessionAffinity", "None"),
        ):
            spec.setdefault(key, value)
        made.setdefault("status", {"loadBalancer": {}})
    elif obj["kind"] == "Deployment":
        spec.setdefault("progressDeadlineSeconds", 600)
        spec.setdefault("revisionHistoryLimit", 10)
        spec["strategy"]["rollingUpdate"].setdefault("maxSurge", "25%")
        for container in spec["template"]["spec"]["containers"]:
            container.setdefault("terminationMessagePath", "/dev/termination-log")
            container.setdefault("terminationMessagePolicy", "File")
    return made
