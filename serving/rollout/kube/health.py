"""How a predictor is, from its Deployments and pods: never from metrics, never from Seldon's status. Pure."""

from __future__ import annotations

from typing import Any

from ..ports import Health

Object = dict[str, Any]

STUCK = frozenset({"CrashLoopBackOff", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})


def belongs(found: Object, service: str, version: str) -> bool:
    """Is this Deployment or pod one of the predictor's? Seldon labels both."""
    labels = found["metadata"].get("labels") or {}
    return labels.get("seldon-app") == service or (
        "seldon-app" not in labels and labels.get("version") == version
    )


def health(deployments: list[Object], pods: list[Object]) -> Health:
    """The state of one predictor.

    ``crashed`` is what needs no patience: a crash loop, an image that is not
    there, as many evictions as there are replicas, a Deployment past its deadline.
    (One evicted pod of several is what a node that is drained does to anybody.) A
    Deployment counts only once its controller has seen its latest generation: right
    after a change its status still speaks of what was before.
    """
    answering = bool(deployments) and all(_available(d) >= 1 for d in deployments)
    stuck = next((text for pod in pods if (text := _stuck(pod))), None)
    evicted = [text for pod in pods if (text := _evicted(pod))]
    if stuck is None and evicted and len(evicted) >= sum(map(_wanted, deployments)):
        stuck = evicted[0]
    if stuck is None:
        stuck = next((text for d in deployments if (text := _past_deadline(d))), None)
    if stuck is not None:
        return Health(state="crashed", detail=stuck, answering=answering)
    if not deployments:
        return Health(state="starting", detail="its Deployment is not there yet")
    waiting = next((text for d in deployments if (text := _waiting(d))), None)
    if waiting is None:
        return Health(state="ready", answering=True)
    why = next((text for pod in pods if (text := _why(pod))), None)
    return Health(state="starting", detail=f"{waiting}{f' ({why})' if why else ''}", answering=answering)


def routable(deployments: list[Object]) -> bool:
    """Would Seldon rewrite the routes now, as far as these Deployments of one predictor go?

    It waits for every pod of every predictor. One that it has not made yet is waited for as well.
    """
    return bool(deployments) and all(_all_there(deployment) for deployment in deployments)


def _all_there(deployment: Object) -> bool:
    status = deployment.get("status") or {}
    seen = int(status.get("observedGeneration") or 0) == int(deployment["metadata"].get("generation") or 0)
    if _wanted(deployment) == 0:
        return seen
    ready, missing = status.get("readyReplicas") or 0, status.get("unavailableReplicas") or 0
    return bool(seen and ready > 0 and missing == 0)


def _available(deployment: Object) -> int:
    return int((deployment.get("status") or {}).get("availableReplicas") or 0)


def _wanted(deployment: Object) -> int:
    return int((deployment.get("spec") or {}).get("replicas", 1))


def _waiting(deployment: Object) -> str | None:
    """What a Deployment still waits for; one that was complete once and only scales is ready."""
    name = deployment["metadata"]["name"]
    status = deployment.get("status") or {}
    if int(status.get("observedGeneration") or 0) != int(deployment["metadata"].get("generation") or 0):
        return f"deployment {name} has not been looked at since its last change"
    wanted = _wanted(deployment)
    available = _available(deployment)
    progress = _condition(deployment, "Progressing")
    complete = progress is None or progress.get("reason") == "NewReplicaSetAvailable"
    enough = available >= 1 if progress is not None else available >= wanted
    if complete and enough:
        return None
    return f"{available} of {wanted} replicas of {name} are available"


def _past_deadline(deployment: Object) -> str | None:
    progress = _condition(deployment, "Progressing")
    if progress and progress.get("reason") == "ProgressDeadlineExceeded" and _available(deployment) == 0:
        return f"deployment {deployment['metadata']['name']}: {progress.get('message')}"
    return None


def _condition(found: Object, kind: str) -> Object | None:
    conditions = (found.get("status") or {}).get("conditions") or []
    return next((c for c in conditions if c.get("type") == kind), None)


def _containers(pod: Object) -> list[Object]:
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


def _leaving(pod: Object) -> bool:
    return bool(pod["metadata"].get("deletionTimestamp"))


def _stuck(pod: Object) -> str | None:
    """Why a pod will not come up by waiting; None for one that is on its way out."""
    name = pod["metadata"]["name"]
    if _leaving(pod):
        return None
    for container in _containers(pod):
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in STUCK:
            last = ((container.get("lastState") or {}).get("terminated")) or {}
            ended = (
                f", last exit code {last['exitCode']} ({last.get('reason')})" if "exitCode" in last else ""
            )
            said = f": {waiting['message']}" if waiting.get("message") and not ended else ""
            restarts = container.get("restartCount") or 0
            return (
                f"container {container['name']} of pod {name}: {waiting['reason']}"
                f" after {restarts} restarts{ended}{said}"
            )
    return None


def _evicted(pod: Object) -> str | None:
    """That a pod was evicted, and why; None for one that was not."""
    name, status = pod["metadata"]["name"], pod.get("status") or {}
    if status.get("phase") == "Failed" and status.get("reason") == "Evicted":
        return f"pod {name} was evicted: {status.get('message') or 'no reason given'}"
    if status.get("phase") == "Succeeded" and not _leaving(pod):
        # A Deployment's pods never end by themselves. One that exits with 0 when the kubelet evicts it,
        # as the scorer does after its drain, is left without the reason.
        return f"pod {name} was ended by its node, as by an eviction, and exited in order"
    return None


def _why(pod: Object) -> str | None:
    """What an unready pod says of itself."""
    if _leaving(pod):
        return None
    name = pod["metadata"]["name"]
    scheduled = _condition(pod, "PodScheduled")
    if scheduled and scheduled.get("status") == "False":
        return f"pod {name} is not scheduled: {scheduled.get('message')}"
    for container in _containers(pod):
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") and waiting["reason"] != "PodInitializing":
            return f"container {container['name']} of pod {name}: {waiting['reason']}"
        if not container.get("ready") and "running" in (container.get("state") or {}):
            return f"container {container['name']} of pod {name} runs and is not ready"
    return None
