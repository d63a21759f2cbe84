"""The nine recorded states once more, with real pods: what an API server, its controllers and a kubelet make of it.

The recorded SeldonDeployment has Seldon's executor in its pods; here an image of that name only says that it is ready.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest

from .conftest import PREFIX, make_namespace
from .kube import ApiError, Kube, Obj
from .node import REAL_SELDON
from .seldon.recordings import STATES, Id, by_id, differences, normal, recorded
from .waiting import eventually

KINDS = ("SeldonDeployment", "Deployment", "Service", "VirtualService", "DestinationRule")


@pytest.fixture(scope="module")
def models(kube: Kube, seldon: None) -> Iterator[str]:
    """One namespace for all nine; the recorded pods were not made for the restricted standard."""
    name = f"{PREFIX}-recorded"
    make_namespace(kube, name, enforce="baseline")
    yield name
    kube.delete("Namespace", None, name)


def edit(kube: Kube, namespace: str, spec: Obj) -> None:
    """Write the spec of a state; the operator may write its status at the same time."""

    def written() -> bool:
        live = kube.get("SeldonDeployment", namespace, "fraud")
        meta = {"name": "fraud", "namespace": namespace}
        if live is None:
            api = "machinelearning.seldon.io/v1"
            kube.create({"apiVersion": api, "kind": "SeldonDeployment", "metadata": meta, "spec": spec})
        elif live["spec"] != spec:
            try:
                kube.replace(live | {"spec": spec})
            except ApiError as error:
                if error.code != 409:
                    raise
                return False
        return True

    eventually(written, 60, every=0.1)


def world(kube: Kube, namespace: str) -> dict[Id, Obj]:
    """All that there is of it."""
    return by_id([obj for kind in KINDS for obj in kube.list(kind, namespace)])


def comparable(state: str, obj: Obj, namespace: str) -> Any:
    """The normal form; of what moves while one looks, only that it is there."""
    made = normal(obj, namespace)
    if "deletionTimestamp" in obj["metadata"]:
        # How far an end has come is a matter of milliseconds.
        del made["status"]
    if state.startswith("7") and obj["kind"] == "Deployment":
        # The wait for the canary's predecessor may count as an edit of it.
        del made["metadata"]["generation"]
    return made


@pytest.mark.slow
@pytest.mark.skipif(REAL_SELDON, reason="the recordings are of one version with its executor")
@pytest.mark.parametrize("state", STATES)
def test_the_world_becomes_what_was_recorded(kube: Kube, models: str, state: str) -> None:
    wanted = recorded(state)
    edit(kube, models, deepcopy(wanted["SeldonDeployment", "fraud"]["spec"]))

    def same() -> bool:
        made = world(kube, models)
        assert sorted(made) == sorted(wanted)
        lines = [
            f"{'/'.join(key)} {line}"
            for key in wanted
            for line in differences(
                comparable(state, wanted[key], "default"), comparable(state, made[key], models)
            )
        ]
        assert not lines, "\n".join(lines)
        return True

    eventually(same, 240, every=0.25)
