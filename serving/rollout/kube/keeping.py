"""Where a rollout is kept and told: the status subresource, Events, and notifications."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from serinus.errors import SerinusError
from serinus.kube.api import Api, ApiError, Object, UnreachableError

from ..adapters.webhook import Webhooks
from ..ports import SupersededError
from ..spec import Notification, RolloutSpec
from ..status import ENDED, Entry, Phase, RolloutStatus
from .names import EVENT, REPORTER, ROLLOUT, Kind
from .subject import Scene
from .view import material, unpack, view

log = logging.getLogger(__name__)

CHECKPOINT = 15.0  # seconds between writes while only counts change
WARNINGS = ENDED | {Phase.ROLLING_BACK, Phase.PAUSED}
WARNED = frozenset({"RoutesChanged", "CommandRefused", "ApprovalRefused"})
NOTE = 1000  # bytes that an Event's note may have: the API server refuses more than 1024


class StatusStore:
    """The status subresource, written before anything is done.

    While only counts change it is written every ``checkpoint`` seconds; what the
    engine decides is written at once. Each write names the version that it
    follows: of two controllers one fails, and stops acting.
    """

    def __init__(
        self,
        api: Api,
        resource: Object,
        now: Callable[[], float],
        checkpoint: float = CHECKPOINT,
    ) -> None:
        metadata = resource["metadata"]
        self._api = api
        self._namespace, self._name, self._uid = metadata["namespace"], metadata["name"], metadata["uid"]
        self._now = now
        self._checkpoint = checkpoint
        self.spec: RolloutSpec | None = None
        self.generation: Callable[[], int] = lambda: 0
        self.detached: Callable[[], bool] = lambda: False  # the resource is gone; memory must do
        self.vanished: Callable[[], None] = lambda: None  # told that it is
        self.told = 0
        self._version = str(metadata["resourceVersion"])
        self._written: RolloutStatus | None = None
        status = resource.get("status") or {}
        self._engine = str(status.get("engine") or "")
        self._target = status.get("target")
        self._marks = (0, 0)
        self._at = float("-inf")
        self._current: RolloutStatus | None = None

    @property
    def current(self) -> RolloutStatus:
        """The status as of the last save."""
        assert self._current is not None
        return self._current

    async def load(self) -> RolloutStatus | None:
        """The status as last saved, by us or by the controller before us."""
        if self._current is None and self._engine:
            self._current = self._written = unpack(self._engine)
            self._at = self._now()
        return self._current

    async def save(self, status: RolloutStatus) -> None:
        """Keep the status; on the API server before anything is done that follows from it."""
        if self.detached():
            self._current = status
            return
        old = self._written
        due = self._now() - self._at >= self._checkpoint or self._marks != (self.generation(), self.told)
        if old is None or due or material(old) != material(status):
            await self._write(status)
        self._current = status

    async def flush(self) -> None:
        """Write what is not written yet."""
        if (
            not self.detached()
            and self._current is not None
            and (self._current != self._written or self._marks != (self.generation(), self.told))
        ):
            await self._write(self._current)

    async def begin(self, status: RolloutStatus, target: Object) -> None:
        """The first write, with what must outlive everything: the champion as it was."""
        self._target = target
        await self._write(status, target=target)
        self._current = status

    async def _write(self, status: RolloutStatus, **more: Object) -> None:
        assert self.spec is not None
        marks = self.generation(), self.told
        document = view(self.spec, status, generation=marks[0], told=marks[1]) | more
        await self.patch(document)
        self._written, self._engine, self._marks, self._at = (
            status,
            str(document["engine"]),
            marks,
            self._now(),
        )

    async def patch(self, document: Object) -> None:
        """Merge into the status, if nobody else wrote it since we did.

        A resource that is gone without a word, as in a gap of the watch, is told of by
        ``vanished``; one that another has taken the name of is not ours to write.
        """
        for attempt in range(3):
            body = {"metadata": {"resourceVersion": self._version, "uid": self._uid}, "status": document}
            try:
                answer = await self._api.merge(ROLLOUT, self._namespace, self._name, body, "status")
                self._version = str(answer["metadata"]["resourceVersion"])
                return
            except ApiError as problem:
                if not (problem.conflict or problem.gone) or attempt == 2:
                    raise
            # Someone edited the spec, or an earlier write of ours got through unheard, or we are not alone.
            found = await self._api.find(ROLLOUT, self._namespace, self._name)
            if found is None or found["metadata"]["uid"] != self._uid:
                self.vanished()
                return
            engine = str((found.get("status") or {}).get("engine") or "")
            if self._engine and not engine:
                # No controller empties a status: somebody else did, and what we know goes back in whole.
                log.error(
                    "rollout %s/%s: its status was emptied; writing it again", self._namespace, self._name
                )
                document = document | {"target": self._target}
            elif engine not in (self._engine, document.get("engine", "")):
                raise SupersededError(f"rollout {self._namespace}/{self._name}")
            self._version = str(found["metadata"]["resourceVersion"])

    @property
    def version(self) -> str:
        """The resource version of our last write."""
        return self._version

    @version.setter
    def version(self, version: str) -> None:
        self._version = version


def event(
    kind: Kind, about: Object, reason: str, note: str, *, name: str, at: float, warning: bool
) -> Object:
    """An Event about an object, as ``kubectl describe`` and ``kubectl events`` show it."""
    metadata = about["metadata"]
    return {
        "apiVersion": EVENT.api_version,
        "kind": EVENT.kind,
        "metadata": {"name": name, "namespace": metadata["namespace"]},
        "eventTime": datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingController": REPORTER,
        "reportingInstance": REPORTER,
        "action": "Rollout",
        "reason": reason,
        "note": note.encode()[:NOTE].decode(errors="ignore"),
        "type": "Warning" if warning else "Normal",
        "regarding": {
            "apiVersion": kind.api_version,
            "kind": kind.kind,
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
        },
    }


class Teller:
    """Tells each entry once: an Event with a name of its own, then the notifications.

    It works beside the engine, so that no rollback waits for a webhook or an Event.
    How far it has come is in the status; after a crash the last entries are told
    again, and their Events' names say that they exist.
    """

    def __init__(
        self,
        api: Api,
        scene: Scene,
        webhooks: Webhooks,
        told: int,
        notifications: Callable[[], Sequence[Notification]],
    ) -> None:
        self._api = api
        self._about: Object = {
            "metadata": {"namespace": scene.namespace, "name": scene.name, "uid": scene.uid}
        }
        self._scene = scene
        self._webhooks = webhooks
        self._last = told
        self._notifications = notifications
        webhooks.first = self._publish

    async def tell(self, status: RolloutStatus, entry: Entry) -> None:
        """Queue an entry, unless it was told."""
        if entry.seq > self._last:
            self._last = entry.seq
            log.info("rollout %s/%s: %s: %s", self._scene.namespace, status.id, entry.reason, entry.message)
            self._webhooks.send(self._notifications(), status, entry)

    async def _publish(self, status: RolloutStatus, entry: Entry) -> None:
        warning = entry.reason in WARNED or entry.phase in WARNINGS
        who = "" if entry.actor == "rollout engine" else f" [{entry.actor}]"
        body = event(
            ROLLOUT,
            self._about,
            entry.reason,
            f"{entry.message}{who}",
            name=f"{self._scene.name}.{self._scene.uid[:8]}.{entry.seq}",
            at=entry.at,
            warning=warning,
        )
        await publish(self._api, body)


async def publish(api: Api, body: Object, tries: int = 5) -> None:
    """Create an Event; one that exists was told. One that cannot be made is logged, and stops nothing."""
    wait = 0.5
    for attempt in range(tries):
        try:
            await api.create(EVENT, body["metadata"]["namespace"], body)
            return
        except ApiError as problem:
            if not problem.conflict:
                log.warning("event %s: %s", body["metadata"]["name"], problem)
            return
        except UnreachableError as problem:
            if attempt == tries - 1:
                log.warning("event %s: %s", body["metadata"]["name"], problem)
                return
            await asyncio.sleep(wait)
            wait *= 2


def invalid(problem: SerinusError) -> tuple[str, str]:
    """Reason and message of a rollout that cannot begin."""
    return ("InvalidSpec" if problem.code == "SRN-ROLLOUT-001" else "TargetUnfit"), str(problem)
