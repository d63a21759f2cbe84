"""What people say about a rollout: approvals and commands as objects of their own, and fields of the spec."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Sequence

from serinus.access import built_in, justified
from serinus.access.types import Override
from serinus.durations import parse_duration
from serinus.errors import SerinusError
from serinus.kube.about import mistaken, owner
from serinus.kube.api import Object
from serinus.registry.policy import check_approval, check_judgeable

from ..account import LIVE
from ..commands import PAUSABLE
from ..ports import ApprovalRecord, Command
from ..status import Phase, RolloutStatus
from .names import APPROVAL, COMMAND
from .resource import ApprovalSpec, CommandSpec, ModelRolloutSpec, read_spec
from .subject import Scene
from .view import seconds
from .watch import World

log = logging.getLogger(__name__)

# Kubernetes keeps whole seconds, rounded down, by the API server's clock: rounded up, and brought to ours,
# a word never seems to precede its question.
WITHIN = 1.0
BY_SPEC = "whoever edited the spec"
BY_DELETION = "whoever deleted the ModelRollout"

NO_BUILDER = "candidate.builtBy does not say who built it, so that is not held against whoever approves"
NO_BUILDER_STRICT = (
    "candidate.builtBy does not say who built it, so nobody's approval counts: start it again with it"
)

Refused = Callable[[Object, str], Awaitable[None]]


class ResourceApprovals:
    """RolloutApprovals, under the registry's policy: nobody approves what they built or are rolling out.

    That somebody has the role they approve in, the API server has seen to. One in the access policy's
    override role needs its justification, and stands for all that are missing for its time.

    ``created``: when the ModelRollout was made, by the API server. A word before that was about an earlier one
    of its name, which may have had another candidate. ``strict``: an access policy is in force, so a word counts
    only where it is stated who built the candidate.
    """

    def __init__(
        self,
        world: World,
        scene: Scene,
        refused: Refused,
        override: Override | None = None,
        now: Callable[[], float] = time.time,
        ahead: Callable[[], float] = lambda: 0.0,
        *,
        created: str,
        strict: bool = False,
    ) -> None:
        self._world = world
        self._strict = strict
        self._ahead = ahead  # by how many seconds the API server's clock is ahead of ours
        self._scene = scene
        self._refused = refused
        self._created = seconds(created)
        self._override = override or built_in().override
        self._now = now
        self._told: set[str] = set()

    @property
    def unsure(self) -> str:
        """That nobody said who built the candidate, and what follows from that."""
        if self._scene.spec.candidate.built_by.strip():
            return ""
        return NO_BUILDER_STRICT if self._strict else NO_BUILDER

    async def approvals(self) -> Sequence[ApprovalRecord]:
        """Those that the policy allows; a refused one is told once, on itself."""
        found: list[ApprovalRecord] = []
        for given in self._world.of(APPROVAL, self._scene.namespace, self._scene.name):
            metadata = given["metadata"]
            try:
                self._about_this(given)
                spec = read_spec(given["spec"], ApprovalSpec, f"rolloutapproval/{metadata['name']}")
                if self._strict:
                    check_judgeable(
                        f"rollout {self._scene.name}",
                        built_by=self._scene.spec.candidate.built_by,
                        started_by=self._scene.spec.started_by,
                    )
                check_approval(
                    f"rollout {self._scene.name}",
                    built_by=self._scene.spec.candidate.built_by,
                    started_by=self._scene.spec.started_by,
                    by=spec.by,
                    reason=spec.reason,
                )
                if spec.role == self._override.role:
                    justified(self._override, spec.reason, f"rolloutapproval/{metadata['name']}")
            except SerinusError as problem:
                if metadata["uid"] not in self._told:
                    self._told.add(metadata["uid"])
                    await self._refused(given, str(problem))
                continue
            at = seconds(metadata["creationTimestamp"]) + WITHIN - self._ahead()
            override = spec.role == self._override.role
            if override and self._now() >= at + parse_duration(self._override.lasts):
                continue
            found.append(
                ApprovalRecord(by=spec.by, role=spec.role, at=at, reason=spec.reason, override=override)
            )
        return found

    def _about_this(self, given: Object) -> None:
        """Whether a word can have been about this rollout. Raises ``SRN-ROLLOUT-008``."""
        if why := _mistaken(given, self._scene, self._created):
            raise SerinusError(
                "SRN-ROLLOUT-008",
                f"the approval counts for no rollout of now: {why}",
                where=f"rolloutapproval/{given['metadata']['name']}",
                hint="Look at what is rolled out now, and approve that: serinus rollout approve.",
            )


class ResourceInbox:
    """RolloutCommands, the spec's ``paused`` and ``abort``, and the rollout's deletion.

    ``created``: when the ModelRollout was made, by the API server. Words before that were about an earlier
    one of its name; those given while it waited to begin stand.
    """

    def __init__(
        self,
        world: World,
        scene: Scene,
        current: Callable[[], RolloutStatus],
        desired: Callable[[], ModelRolloutSpec],
        leaving: Callable[[], bool],
        now: Callable[[], float],
        *,
        created: str,
    ) -> None:
        self._world = world
        self._scene = scene
        self._created = seconds(created)
        self._unread: set[str] = set()
        self._current = current
        self._desired = desired
        self._leaving = leaving
        self._now = now

    async def commands(self) -> Sequence[Command]:
        """All that may still matter, in the order given."""
        given = [
            found
            for found in self._world.of(COMMAND, self._scene.namespace, self._scene.name)
            if not _mistaken(found, self._scene, self._created)
        ]
        given.sort(key=lambda found: (found["metadata"]["creationTimestamp"], found["metadata"]["name"]))
        return [*(read for found in given if (read := self._read(found))), *self._declared()]

    def _read(self, found: Object) -> Command | None:
        metadata = found["metadata"]
        try:
            spec = read_spec(found["spec"], CommandSpec, f"rolloutcommand/{metadata['name']}")
        except SerinusError as problem:
            # One word that cannot be read must not keep the judge from looking.
            if metadata["uid"] not in self._unread:
                self._unread.add(metadata["uid"])
                log.warning("rollout %s/%s: %s", self._scene.namespace, self._scene.name, problem)
            return None
        at = seconds(metadata["creationTimestamp"])
        return Command(id=metadata["uid"], kind=spec.command, by=spec.by, at=at, reason=spec.reason)

    def _declared(self) -> list[Command]:
        """What the spec asks for, as commands that are given once."""
        status, spec, now = self._current(), self._desired(), self._now()
        if self._leaving() and status.phase not in (Phase.PROMOTING, Phase.PROMOTED):
            why = "the ModelRollout is being deleted"
            return [Command(id="deleted", kind="abort", by=BY_DELETION, at=now, reason=why)]
        if spec.abort:
            return [Command(id="spec.abort", kind="abort", by=BY_SPEC, at=now, reason="spec.abort is true")]
        held = [name for name in status.handled if name.startswith("spec.paused=")]
        now_held = bool(held) and held[-1].startswith("spec.paused=true")
        wants = spec.paused
        turn = (
            int(held[-1].rpartition("#")[2]) + 1 if held else 0
        )  # counted on, though old ones are forgotten
        number = f"spec.paused={'true' if wants else 'false'}#{turn}"
        if wants and not now_held and status.phase in PAUSABLE and "user" not in status.pause:
            return [Command(id=number, kind="pause", by=BY_SPEC, at=now, reason="spec.paused is true")]
        if not wants and now_held and status.phase in LIVE:
            return [Command(id=number, kind="resume", by=BY_SPEC, at=now, reason="spec.paused is false")]
        return []


def _mistaken(word: Object, scene: Scene, created: float) -> str:
    metadata = word["metadata"]
    at = seconds(metadata["creationTimestamp"])
    return mistaken(at=at, belongs_to=owner(metadata), name=scene.name, uid=scene.uid, created=created)
