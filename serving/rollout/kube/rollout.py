"""One ModelRollout from its first sight to its end: wait until it may begin, then let the engine drive it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from pathlib import Path

import msgspec
from msgspec.structs import replace

from serinus.errors import SerinusError

from ..adapters.webhook import Webhooks
from ..engine import Engine, Ports, new_status
from ..ports import SupersededError
from ..status import Phase, RolloutStatus
from .api import Api, ApiError, Object, UnreachableError
from .keeping import StatusStore, Teller, event, invalid, publish
from .names import APPROVAL, FINALIZER, ROLLOUT, SELDON
from .ports import Cluster, SeldonMetrics, SeldonPredictors
from .resource import ModelRolloutSpec, read_rollout
from .seldon import candidate_predictor, champion_of
from .subject import Scene, Subject, from_wire
from .traffic import Pace, SeldonTraffic
from .view import outlook
from .watch import World
from .words import ResourceApprovals, ResourceInbox

log = logging.getLogger(__name__)

LAST_WORD = 3.0  # seconds that a last write may take
LEAST = 0.2  # seconds between looks that changes have woken


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the controller is run with."""

    interval: float = 5.0
    quick: float = 0.5  # between looks while routes take effect: each is a call to the API server
    patience: float = 5.0  # between looks at what a rollout waits for before it begins, and after a failure
    checkpoint: float = 15.0
    pace: Pace = Pace()
    prometheus: str | None = None
    channels: Path | None = None


class WakingClock:
    """The machine's clock; a sleep ends early when something changed."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()

    def now(self) -> float:
        """Unix seconds."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Wait, at most ``seconds``."""
        least = min(LEAST, seconds)
        await asyncio.sleep(least)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.changed.wait(), max(seconds - least, 0.0))
        self.changed.clear()


def ended(resource: Object) -> bool:
    """Has this rollout ended, by its status?"""
    conditions = (resource.get("status") or {}).get("conditions") or []
    return any(c["type"] == "Ended" and c["status"] == "True" for c in conditions)


def told(resource: Object) -> bool:
    """Was all of its history told?"""
    status = resource.get("status") or {}
    history = status.get("history") or []
    return not history or int(status.get("told") or 0) >= int(history[-1]["seq"])


def begun(resource: Object) -> bool:
    """Has its engine begun, so that the target is its own?"""
    return bool((resource.get("status") or {}).get("engine"))


class RolloutTask:
    """Drives one ModelRollout. ``resource`` is kept current by whoever watches the resource."""

    def __init__(
        self,
        api: Api,
        world: World,
        resource: Object,
        settings: Settings,
        *,
        clock: WakingClock | None = None,
    ) -> None:
        self.resource = resource
        self.gone = False  # deleted without waiting for us
        self.status: RolloutStatus | None = None
        self.clock = clock or WakingClock()
        self._api = api
        self._world = world
        self._settings = settings
        self._told: tuple[str, str, int] | None = None
        self._last: ModelRolloutSpec

    @property
    def place(self) -> tuple[str, str]:
        """Namespace and name."""
        metadata = self.resource["metadata"]
        return metadata["namespace"], metadata["name"]

    @property
    def target(self) -> str:
        """The SeldonDeployment it is about."""
        return str((self.resource.get("spec") or {}).get("target") or "")

    @property
    def leaving(self) -> bool:
        """Is the ModelRollout being deleted?"""
        return self.gone or bool(self.resource["metadata"].get("deletionTimestamp"))

    def update(self, resource: Object) -> None:
        """The resource changed."""
        self.resource = resource
        self.clock.changed.set()

    async def run(self) -> None:
        """Until it has ended. Whatever fails is tried again: a canary is never left without a judge."""
        while True:
            try:
                if not ended(self.resource) or not told(self.resource):
                    await self._drive()
                await self._release()
                return
            except SupersededError as problem:
                log.error("%s: another controller has written its status; looking again", problem)
            except ApiError as problem:
                if problem.gone and self._is_gone(problem):
                    return
                log.warning("rollout %s/%s: %s; trying again", *self.place, problem)
            except UnreachableError as problem:
                log.warning("rollout %s/%s: %s; trying again", *self.place, problem)
            except Exception:
                log.exception("rollout %s/%s: failed, trying again", *self.place)
            await self.clock.sleep(self._settings.patience)
            if not self.gone:
                self.resource = await self._fresh()

    def _is_gone(self, problem: ApiError) -> bool:
        return self.gone or "modelrollouts" in problem.message

    async def _fresh(self) -> Object:
        try:
            found = await self._api.find(ROLLOUT, *self.place)
        except (ApiError, UnreachableError):
            return self.resource
        if found is None or found["metadata"]["uid"] != self.resource["metadata"]["uid"]:
            self.gone = True
            return self.resource
        return found

    async def _drive(self) -> None:
        if begun(self.resource):
            scene = self._scene(read_rollout(self.resource))
            begin = None
        else:
            first = await self._until_it_may_begin()
            if first is None:
                return
            scene, begin = first
        await self._engine(scene, begin)

    def _scene(self, spec: ModelRolloutSpec, subject: Subject | None = None) -> Scene:
        namespace, name = self.place
        return Scene(
            namespace=namespace,
            name=name,
            uid=self.resource["metadata"]["uid"],
            spec=spec,
            subject=subject or from_wire(self.resource["status"]["target"]),
        )

    # --- before it begins -----------------------------------------------------

    async def _until_it_may_begin(self) -> tuple[Scene, Subject] | None:
        """Wait for a free target; None if it cannot begin, or is deleted before."""
        while not self.leaving:
            try:
                spec = read_rollout(self.resource)
                waits = await self._waits(spec)
                if waits is None:
                    found = await self._api.find(SELDON, self.place[0], spec.target)
                    if found is not None:
                        champion = champion_of(found, spec.candidate.name)
                        candidate_predictor(spec.target, champion, spec.candidate)
                        subject = Subject(uid=found["metadata"]["uid"], champion=champion)
                        return self._scene(spec, subject), subject
                    waits = "TargetAbsent", f"there is no SeldonDeployment {spec.target} yet"
            except SerinusError as problem:
                await self._say(Phase.FAILED, *invalid(problem))
                return None
            await self._say(Phase.PENDING, *waits)
            await self.clock.sleep(self._settings.patience)
        return None

    async def _waits(self, spec: ModelRolloutSpec) -> tuple[str, str] | None:
        if spec.paused:
            return "PausedBySpec", "spec.paused is true: it has not begun"
        if spec.abort:
            raise SerinusError(
                "SRN-ROLLOUT-008",
                "spec.abort is true, so it never began",
                where=f"modelrollout/{self.place[1]}",
                hint="Start another rollout.",
            )
        for rival in await self._of_target(spec.target):
            metadata = rival["metadata"]
            if metadata["uid"] == self.resource["metadata"]["uid"] or ended(rival):
                continue
            if (rival.get("spec") or {}).get("target") != spec.target:
                continue
            older = (metadata["creationTimestamp"], metadata["uid"]) < (
                self.resource["metadata"]["creationTimestamp"],
                self.resource["metadata"]["uid"],
            )
            if begun(rival) or (older and not rival["spec"].get("paused")):
                return "AnotherRollout", f"rollout {metadata['name']} of {spec.target} goes first"
        return None

    async def _of_target(self, target: str) -> list[Object]:
        try:
            listed = await self._api.list(ROLLOUT, self.place[0], fields=f"spec.target={target}")
        except ApiError as problem:
            if problem.code != 400:
                raise
            listed = await self._api.list(ROLLOUT, self.place[0])  # before Kubernetes 1.31
        return listed["items"]

    async def _say(self, phase: Phase, reason: str, message: str) -> None:
        """Put a status that no engine wrote, and an Event, once."""
        generation = int(self.resource["metadata"].get("generation") or 0)
        told = (reason, message, generation)
        if told == self._told:
            return
        status = self.resource.get("status") or {}
        if (status.get("reason"), status.get("message")) != (reason, message):
            now = self.clock.now()
            store = StatusStore(self._api, self.resource, self.clock.now)
            await store.patch(outlook(phase, reason, message, now=now, generation=generation))
            metadata = self.resource["metadata"]
            name = f"{metadata['name']}.{metadata['uid'][:8]}.{reason.lower()}"
            warning = phase is Phase.FAILED
            await publish(
                self._api, event(ROLLOUT, self.resource, reason, message, name=name, at=now, warning=warning)
            )
        self._told = told

    # --- the engine -------------------------------------------------------------

    async def _engine(self, scene: Scene, begin: Subject | None) -> None:
        api, clock, settings = self._api, self.clock, self._settings
        store = StatusStore(api, self.resource, clock.now, settings.checkpoint)
        store.spec = scene.spec.rollout(scene.champion)
        store.generation = lambda: int(self.resource["metadata"].get("generation") or 0)
        store.detached = lambda: self.gone
        self._last = scene.spec
        store.told = int((self.resource.get("status") or {}).get("told") or 0)
        if begin is not None:
            self.resource = await self._fresh()
            await self._hold()
            store.version = str(self.resource["metadata"]["resourceVersion"])
            status = new_status(
                store.spec,
                name=scene.name,
                champion=scene.champion,
                candidate=scene.candidate,
                by=scene.spec.started_by,
                now=clock.now(),
            )
            await store.begin(status, begin.to_wire())

        def heard(seq: int) -> None:
            store.told = max(store.told, seq)

        webhooks = Webhooks(settings.channels, done=heard)
        cluster = Cluster(api, self._world, scene)
        metrics = SeldonMetrics(cluster, settings.prometheus, clock.now)
        ports = Ports(
            traffic=SeldonTraffic(cluster, lambda: store.current, settings.pace, clock.now),
            predictors=SeldonPredictors(cluster),
            metrics=metrics,
            approvals=ResourceApprovals(self._world, scene, self._refused),
            inbox=ResourceInbox(
                self._world,
                scene,
                lambda: store.current,
                self._desired,
                lambda: self.leaving,
                clock.now,
                created=str(self.resource["metadata"]["creationTimestamp"]),
            ),
            journal=Teller(api, scene, webhooks, store.told, lambda: self._last.notifications),
            store=store,
            clock=clock,
        )
        engine = Engine(store.spec, ports, settings.interval, settings.quick)
        engine.on_look = lambda status: self._looked(engine, store, status)
        try:
            await engine.run()
            await webhooks.drain()
            await store.flush()
        except asyncio.CancelledError:
            # Asked to stop: the successor then goes on from this moment's counts.
            with contextlib.suppress(ApiError, UnreachableError, SupersededError, TimeoutError):
                await asyncio.wait_for(store.flush(), LAST_WORD)
            raise
        finally:
            await webhooks.close()
            await metrics.close()

    def _looked(self, engine: Engine, store: StatusStore, status: RolloutStatus) -> None:
        self.status = status
        desired = self._desired()
        changed = desired.rollout(status.champion)
        if self.leaving:
            # Nobody waits for the end of a window of what is being deleted.
            changed = replace(changed, rollback_window="0s")
        engine.spec = store.spec = changed

    def _desired(self) -> ModelRolloutSpec:
        """The spec as it is now; what evidence was gathered under cannot change, the rest may."""
        try:
            self._last = read_rollout(self.resource)
        except SerinusError as problem:
            log.warning("rollout %s/%s: %s; going on with the spec before", *self.place, problem)
        return self._last

    async def _refused(self, approval: Object, why: str) -> None:
        name = f"{approval['metadata']['name']}.{approval['metadata']['uid'][:8]}.refused"
        now = self.clock.now()
        await publish(
            self._api, event(APPROVAL, approval, "ApprovalRefused", why, name=name, at=now, warning=True), 1
        )

    # --- the finalizer ------------------------------------------------------------

    async def _hold(self) -> None:
        """From now on a deletion waits until the champion has everything."""
        finalizers = list(self.resource["metadata"].get("finalizers") or [])
        if FINALIZER not in finalizers:
            await self._finalizers([*finalizers, FINALIZER])

    async def _release(self) -> None:
        finalizers = list(self.resource["metadata"].get("finalizers") or [])
        if not self.gone and FINALIZER in finalizers:
            self.resource = await self._fresh()
            finalizers = list(self.resource["metadata"].get("finalizers") or [])
            if not self.gone and FINALIZER in finalizers:
                await self._finalizers([f for f in finalizers if f != FINALIZER])

    async def _finalizers(self, finalizers: list[str]) -> None:
        metadata = self.resource["metadata"]
        body = {"metadata": {"finalizers": finalizers, "resourceVersion": metadata["resourceVersion"]}}
        self.resource = await self._api.merge(ROLLOUT, *self.place, body)


def finished(resource: Object) -> bool:
    """Has it ended, was all told, and did it let go, so that no task is needed?"""
    held = FINALIZER in (resource["metadata"].get("finalizers") or [])
    return ended(resource) and told(resource) and not held
