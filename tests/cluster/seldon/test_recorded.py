"""The stand-in makes, object by object, what the real operator made.

One world goes through the nine states: it takes each SeldonDeployment's new spec, and is told the
Deployments' statuses that Kubernetes wrote meanwhile.
"""

from __future__ import annotations

from copy import deepcopy
from functools import cache

import pytest

from tests.cluster.kube import Obj

from .memory import Memory
from .reconcile import reconcile
from .recordings import STATES, Id, differences, normal, recorded

# Kept by the Deployment controller, which is not here.
_OTHERS = "deployment.kubernetes.io/revision"


def settle(memory: Memory) -> None:
    """Passes until one changes nothing."""
    for _ in range(8):
        before = len(memory.calls)
        one_pass(memory)
        if len(memory.calls) == before:
            return
    raise AssertionError(f"it does not come to rest: {memory.calls[-10:]}")


def one_pass(memory: Memory) -> None:
    reconcile(memory, "default", "fraud", lambda: "now")


def kubernetes_writes(memory: Memory, state: dict[Id, Obj]) -> None:
    """The Deployments' statuses, as they were recorded."""
    for key, obj in memory.objects.items():
        if key[0] == "Deployment" and key in state:
            obj["status"] = deepcopy(state[key]["status"])


def edit(memory: Memory, state: dict[Id, Obj]) -> None:
    """Someone writes the SeldonDeployment's spec, if it is another one."""
    live, wanted = memory.objects["SeldonDeployment", "fraud"], state["SeldonDeployment", "fraud"]
    if live["spec"] != wanted["spec"]:
        live["spec"] = deepcopy(wanted["spec"])
        live["metadata"]["generation"] += 1


@cache
def worlds() -> dict[str, dict[Id, Obj]]:
    """What the stand-in made in each state."""
    first = deepcopy(recorded(STATES[0])["SeldonDeployment", "fraud"])
    first["status"] = {}
    memory = Memory([first])
    made: dict[str, dict[Id, Obj]] = {}
    for state in STATES:
        wanted = recorded(state)
        edit(memory, wanted)
        one_pass(memory)
        if state.startswith("7"):
            # The canary of before was still ending when the new one was asked for.
            memory.finish_deletions()
            one_pass(memory)
        kubernetes_writes(memory, wanted)
        if state.startswith("6"):
            # Recorded while the removed canary was ending, before its Services went.
            one_pass(memory)
        else:
            settle(memory)
            memory.finish_deletions()
            settle(memory)
        made[state] = deepcopy(memory.objects)
    return made


def comparable(obj: Obj) -> Obj:
    made = normal(obj)
    made["metadata"].get("annotations", {}).pop(_OTHERS, None)
    return made


@pytest.mark.parametrize("state", STATES)
def test_the_objects_are_those_that_the_real_operator_made(state: str) -> None:
    made, wanted = worlds()[state], recorded(state)
    assert sorted(made) == sorted(wanted)
    lines = [
        f"{'/'.join(key)} {line}"
        for key in wanted
        for line in differences(comparable(wanted[key]), comparable(made[key]))
    ]
    assert not lines, "\n".join(lines)
