"""A predictor's health from its Deployments and pods."""

from __future__ import annotations

from typing import Any

import pytest

from serving.rollout.kube.health import belongs, health, routable

Object = dict[str, Any]


def deployment(
    available: int = 1,
    wanted: int = 1,
    *,
    generation: int = 2,
    observed: int = 2,
    reason: str | None = "NewReplicaSetAvailable",
    message: str = "",
) -> Object:
    conditions = [{"type": "Progressing", "reason": reason, "message": message}] if reason else []
    return {
        "metadata": {"name": "fraud-a", "generation": generation},
        "spec": {"replicas": wanted},
        "status": {"observedGeneration": observed, "availableReplicas": available, "conditions": conditions},
    }


def pod(state: Object | None = None, **more: Any) -> Object:
    status: Object = {"phase": "Running"} | more.pop("status", {})
    if state is not None:
        container = {"name": "scorer", "ready": False, "restartCount": 4, "state": state} | more.pop(
            "container", {}
        )
        status["containerStatuses"] = [container]
    return {"metadata": {"name": "fraud-a-x"} | more, "status": status}


def waiting(reason: str, message: str = "") -> Object:
    return {"waiting": {"reason": reason, "message": message}}


EVICTED: Object = {"phase": "Failed", "reason": "Evicted", "message": "low on memory"}

CASES: list[tuple[str, list[Object], list[Object], str, bool, str]] = [
    ("complete", [deployment()], [], "ready", True, ""),
    ("no Deployment yet", [], [], "starting", False, "not there yet"),
    ("not yet looked at", [deployment(observed=1)], [], "starting", True, "not been looked at"),
    ("rolling", [deployment(0, reason="ReplicaSetUpdated")], [], "starting", False, "0 of 1 replicas"),
    ("scaling up once complete", [deployment(1, 3)], [], "ready", True, ""),
    ("complete, and all pods lost", [deployment(0)], [], "starting", False, "0 of 1"),
    ("no conditions, some replicas", [deployment(1, 3, reason=None)], [], "starting", True, "1 of 3"),
    ("no conditions, all replicas", [deployment(3, 3, reason=None)], [], "ready", True, ""),
    ("scaled to nothing", [deployment(0, 0)], [], "starting", False, "0 of 0"),
    ("crash loop", [deployment(0)], [pod(waiting("CrashLoopBackOff"))], "crashed", False, "after 4 restarts"),
    (
        "crash loop, with its last end",
        [deployment(0)],
        [
            pod(
                waiting("CrashLoopBackOff"),
                container={"lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}},
            )
        ],
        "crashed",
        False,
        "last exit code 137 (OOMKilled)",
    ),
    (
        "no image",
        [deployment(0)],
        [pod(waiting("ImagePullBackOff", "not found"))],
        "crashed",
        False,
        "ImagePullBackOff after 4 restarts: not found",
    ),
    (
        "a first failed pull is given time",
        [deployment(0, reason="ReplicaSetUpdated")],
        [pod(waiting("ErrImagePull"))],
        "starting",
        False,
        "(container scorer of pod fraud-a-x: ErrImagePull)",
    ),
    ("evicted", [deployment(1)], [pod(status=EVICTED)], "crashed", True, "was evicted: low on memory"),
    (
        "evicted, and exited with 0",
        [deployment(1)],
        [pod(status={"phase": "Succeeded"})],
        "crashed",
        True,
        "as by an eviction",
    ),
    ("one evicted of three", [deployment(2, 3)], [pod(status=EVICTED)], "ready", True, ""),
    ("three evicted of three", [deployment(2, 3)], [pod(status=EVICTED)] * 3, "crashed", True, "was evicted"),
    (
        "one in a crash loop of three",
        [deployment(2, 3)],
        [pod(waiting("CrashLoopBackOff"))],
        "crashed",
        True,
        "CrashLoopBackOff",
    ),
    (
        "exited with 0 on its way out",
        [deployment(1)],
        [pod(status={"phase": "Succeeded"}, deletionTimestamp="now")],
        "ready",
        True,
        "",
    ),
    (
        "a crash loop on its way out",
        [deployment(1)],
        [pod(waiting("CrashLoopBackOff"), deletionTimestamp="now")],
        "ready",
        True,
        "",
    ),
    (
        "past its deadline",
        [deployment(0, reason="ProgressDeadlineExceeded", message="timed out")],
        [],
        "crashed",
        False,
        "timed out",
    ),
    (
        "running and not ready",
        [deployment(0, reason="ReplicaSetUpdated")],
        [pod({"running": {}})],
        "starting",
        False,
        "runs and is not ready",
    ),
    (
        "not scheduled",
        [deployment(0, reason="ReplicaSetUpdated")],
        [
            pod(
                status={
                    "phase": "Pending",
                    "conditions": [{"type": "PodScheduled", "status": "False", "message": "no node"}],
                }
            )
        ],
        "starting",
        False,
        "not scheduled: no node",
    ),
    (
        "one of two parts is missing",
        [deployment(), deployment(0, reason="x")],
        [],
        "starting",
        False,
        "0 of 1",
    ),
]


@pytest.mark.parametrize(
    ("what", "deployments", "pods", "state", "answering", "words"), CASES, ids=[case[0] for case in CASES]
)
def test_health(
    what: str, deployments: list[Object], pods: list[Object], state: str, answering: bool, words: str
) -> None:
    found = health(deployments, pods)
    assert (found.state, found.answering) == (state, answering)
    assert words in found.detail


ALL_THERE = {"observedGeneration": 2, "readyReplicas": 1}


@pytest.mark.parametrize(
    ("what", "statuses", "spec", "moves"),
    [
        ("all pods are there", [ALL_THERE], {}, True),
        ("one is missing", [ALL_THERE | {"unavailableReplicas": 1}], {}, False),
        ("none is ready", [{"observedGeneration": 2}], {}, False),
        ("not looked at since the last change", [ALL_THERE | {"observedGeneration": 1}], {}, False),
        ("not made yet", [], {}, False),
        ("scaled to nothing", [{"observedGeneration": 2}], {"replicas": 0}, True),
        ("one part of two", [ALL_THERE, {"observedGeneration": 2}], {}, False),
    ],
)
def test_seldon_moves_weights_only_while_every_pod_is_there(
    what: str, statuses: list[Object], spec: Object, moves: bool
) -> None:
    made = [{"metadata": {"generation": 2}, "spec": spec, "status": status} for status in statuses]
    assert routable(made) == moves


def test_what_belongs_to_a_predictor_carries_its_service_or_version() -> None:
    def labelled(**labels: str) -> Object:
        return {"metadata": {"labels": labels}}

    assert belongs(labelled(**{"seldon-app": "fraud-a", "version": "x"}), "fraud-a", "a")
    assert belongs(labelled(version="a"), "fraud-a", "a")
    assert not belongs(labelled(**{"seldon-app": "fraud-b", "version": "a"}), "fraud-a", "a")
    assert not belongs({"metadata": {}}, "fraud-a", "a")
