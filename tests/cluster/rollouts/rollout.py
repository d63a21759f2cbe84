"""A ModelRollout that lives, as tests see it."""

from __future__ import annotations

from typing import Any

from tests.cluster.kube import Kube, Obj
from tests.cluster.waiting import eventually

QUICK_STEPS: list[Obj] = [
    {"weight": 10, "minRequests": 30, "minSeconds": 3},
    {"weight": 50, "minRequests": 100, "minSeconds": 3},
    {"weight": 100, "minSeconds": 3},
]
ENDED = ("Promoted", "RolledBack", "Aborted", "Failed")


class Rollout:
    """One ModelRollout by name."""

    def __init__(self, kube: Kube, namespace: str, name: str) -> None:
        self.kube, self.namespace, self.name = kube, namespace, name

    def start(self, target: str, candidate: Obj, steps: list[Obj] | None = None, **more: Any) -> None:
        """Ask for it; ``candidate`` as the resource has it."""
        limits = {"readyTimeout": "4m", "noDataTimeout": "30s", "maxDuration": "10m"} | more.pop("limits", {})
        spec = {
            "target": target,
            "candidate": candidate,
            "steps": steps or QUICK_STEPS,
            "limits": limits,
        } | more
        self.kube.create(
            {
                "apiVersion": "serinus.io/v1alpha1",
                "kind": "ModelRollout",
                "metadata": {"name": self.name, "namespace": self.namespace},
                "spec": spec,
            }
        )

    @property
    def status(self) -> Obj:
        """As it is now."""
        return self.kube.must("ModelRollout", self.namespace, self.name).get("status") or {}

    @property
    def phase(self) -> str:
        """In one word; empty before anyone looked at it."""
        return self.status.get("phase", "")

    @property
    def said(self) -> str:
        """Everything it says of itself: reason, message, conditions, history."""
        status = self.status
        lines = [f"{status.get('phase')}: {status.get('reason')}: {status.get('message')}"]
        lines += [
            f"{c['type']}={c['status']} {c['reason']}: {c.get('message')}"
            for c in status.get("conditions", [])
        ]
        lines += [f"{e['seq']} {e['phase']} {e['reason']}: {e['message']}" for e in status.get("history", [])]
        return "\n".join(lines)

    def conditions(self) -> dict[str, str]:
        """Type → status."""
        return {c["type"]: c["status"] for c in self.status.get("conditions", [])}

    def events(self) -> list[str]:
        """``Reason: message`` of the Events about it."""
        found = self.kube.list("Event", self.namespace)
        mine = [event for event in found if event["involvedObject"].get("name") == self.name]
        return [f"{event['reason']}: {event.get('message', '')}" for event in mine]

    def until(self, *phases: str, seconds: float = 300.0) -> str:
        """Wait for one of the phases; which one came."""

        def reached() -> str:
            phase = self.phase
            assert phase in phases, self.said
            return phase

        return eventually(reached, seconds, what=f"{self.name} is {' or '.join(phases)}")

    def until_ended(self, seconds: float = 300.0) -> str:
        """Wait for its end; how it ended."""
        return self.until(*ENDED, seconds=seconds)
