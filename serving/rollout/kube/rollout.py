"""One ModelRollout from its first sight to its end: wait until it may begin, then let the engine drive it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from pathlib import Path

import msgspec
from msgspec.structs import replace

from serinus.access import AccessPolicy, built_in, requirement, written
from serinus.errors import SerinusError
from serinus.kube.api import Api, ApiError, Object, UnreachableError

from ..adapters.webhook import Webhooks
from ..engine import Engine, Ports, new_status
from ..ports import SupersededError
from ..spec import RolloutSpec, strengthened
from ..status import Phase, RolloutStatus
from .beginning import Beginning, Turns, begun, ended
from .keeping import StatusStore, Teller, event, publish
from .names import APPROVAL, FINALIZER, ROLLOUT, SELDON
from .ports import Cluster, SeldonMetrics, SeldonPredictors
from .recovery import BY_HAND, EMPTIED, champion_beside, entered, recovered
from .recovery import REASON as UNREADABLE
from .resource import ModelRolloutSpec, read_rollout
from .subject import Scene, Subject, from_wire, tier_of
from .traffic import Pace, SeldonTraffic
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
    policy: AccessPolicy = msgspec.field(default_factory=built_in)


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


def told(resource: Object) -> bool:
    """Was all of its history told?"""
    status = resource.get("status") or {}
    history = status.get("history") or []
    return not history or int(status.get("told") or 0) >= int(history[-1]["seq"])


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
        turns: Turns | None = None,
    ) -> None:
        self.resource = resource
        self.gone = False  # deleted without waiting for us
        self.status: RolloutStatus | None = None
        self.clock = clock or WakingClock()
        self._api = api
        self._world = world
        self._settings = settings
        self._beginning = Beginning(
            api,
            self.clock,
            turns or Turns(),
            settings.patience,
            lambda: self.resource,
            lambda: self.leaving,
            self._vanished,
        )
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
            found = await self._taken_up()
        elif (left := await self._left_behind()) is not None:
            found = await self._emptied(left)
        else:
            found = await self._beginning.wait(self._take)
        if found is not None:
            await self._engine(*found)

    async def _take(self, spec: ModelRolloutSpec, subject: Subject) -> tuple[Scene, StatusStore]:
        """Make the target this rollout's own."""
        scene = self._scene(spec, subject)
        self._admit(scene)
        self.resource = await self._fresh()
        await self._hold()
        store = self._store(scene)
        status = new_status(
            self._rollout(scene),
            name=scene.name,
            champion=scene.champion,
            candidate=scene.candidate,
            by=scene.spec.started_by,
            now=self.clock.now(),
        )
        await store.begin(status, subject.to_wire())
        return scene, store

    async def _taken_up(self) -> tuple[Scene, StatusStore] | None:
        """Go on from the status; None if it does not even say who the champion was."""
        shown = self.resource["status"]
        try:
            subject = from_wire(shown["target"])
        except (KeyError, TypeError):
            why = f"status.target cannot be read, so {BY_HAND}"
            await self._beginning.say(Phase.FAILED, UNREADABLE, why)
            return None
        scene = self._scene(read_rollout(self.resource), subject)
        store = self._store(scene)
        try:
            await store.load()
        except SerinusError as problem:
            log.error("rollout %s/%s: %s", *self.place, problem)
            now = self.clock.now()
            status = recovered(self._rollout(scene), scene, shown, problem.what, now)
            await store.begin(status, subject.to_wire())
        return scene, store

    async def _left_behind(self) -> Object | None:
        """The target, if the candidate of this rollout is in it: its finalizer says that it had begun, though its
        status does not. Nobody else can begin beside that candidate; one who has begun put it there."""
        if not self._held:
            return None
        found = await self._api.find(SELDON, self.place[0], self.target)
        if not entered(found, read_rollout(self.resource).candidate.name):
            return None
        return None if await self._beginning.taken(self.target) else found

    async def _emptied(self, target: Object) -> tuple[Scene, StatusStore] | None:
        """Take a candidate that has lost its judge back out; None if who the champion was cannot be told."""
        spec = read_rollout(self.resource)
        champion = champion_beside(target, spec.candidate.name)
        if champion is None:
            why = f"{EMPTIED}, and who the champion was cannot be told, so {BY_HAND}"
            await self._beginning.say(Phase.FAILED, UNREADABLE, why)
            return None
        try:
            tier = tier_of(target)
        except SerinusError:
            tier = None  # nobody is asked any more: it only goes back
        subject = Subject(uid=target["metadata"]["uid"], champion=champion, tier=tier)
        scene = self._scene(spec, subject)
        store = self._store(scene)
        log.error("rollout %s/%s: %s", *self.place, EMPTIED)
        status = recovered(self._rollout(scene), scene, {}, EMPTIED, self.clock.now())
        await store.begin(status, subject.to_wire())
        return scene, store

    def _scene(self, spec: ModelRolloutSpec, subject: Subject) -> Scene:
        namespace, name = self.place
        uid = self.resource["metadata"]["uid"]
        return Scene(namespace=namespace, name=name, uid=uid, spec=spec, subject=subject)

    def _store(self, scene: Scene) -> StatusStore:
        store = StatusStore(self._api, self.resource, self.clock.now, self._settings.checkpoint)
        store.spec = self._rollout(scene)
        store.generation = lambda: int(self.resource["metadata"].get("generation") or 0)
        store.detached = lambda: self.gone
        store.vanished = self._vanished
        store.told = int((self.resource.get("status") or {}).get("told") or 0)
        self._last = scene.spec
        return store

    def _rollout(self, scene: Scene, spec: ModelRolloutSpec | None = None) -> RolloutSpec:
        """What the engine is asked to do: the spec, and what the access policy asks for at the model's tier."""
        given = scene.spec if spec is None else spec
        asked = requirement(self._settings.policy, scene.subject.tier)
        return strengthened(given.rollout(scene.champion), asked)

    def _admit(self, scene: Scene) -> None:
        """Whether the approvals that are asked for could be judged; asked once, before it begins. One that has begun
        under another policy goes on: its canary needs its judge, and its approvals wait.

        Raises:
            SerinusError: SRN-ROLLOUT-001 if nobody says who started it, or, under a policy that somebody wrote, who
                built the candidate.
        """
        given, policy = scene.spec, self._settings.policy
        asked = requirement(policy, scene.subject.tier).asks
        if asked and not given.started_by:
            raise SerinusError(
                "SRN-ROLLOUT-001",
                f"spec.startedBy is missing, and the model's tier ({scene.subject.tier}) asks for approvals",
                where=f"modelrollout/{scene.name}, startedBy",
                hint="Write your user name there (kubectl auth whoami): nobody approves their own rollout.",
            )
        asked = asked or any(step.approval is not None for step in given.steps)
        if asked and written(policy) and not given.candidate.built_by.strip():
            raise SerinusError(
                "SRN-ROLLOUT-001",
                "candidate.builtBy is missing, and an access policy is in force: of whoever approves it could not be "
                "said that they did not build it",
                where=f"modelrollout/{scene.name}, candidate",
                hint="Say who built it: candidate.builtBy, or serinus rollout start --built-by NAME.",
            )

    def _vanished(self) -> None:
        """The ModelRollout is not there any more, and nobody told: as if it had been deleted before our eyes."""
        log.warning("rollout %s/%s: it is not there any more", *self.place)
        self.gone = True

    # --- the engine -------------------------------------------------------------

    async def _engine(self, scene: Scene, store: StatusStore) -> None:
        api, clock, settings = self._api, self.clock, self._settings
        assert store.spec is not None

        def heard(seq: int) -> None:
            store.told = max(store.told, seq)

        webhooks = Webhooks(settings.channels, done=heard)
        cluster = Cluster(api, self._world, scene)
        metrics = SeldonMetrics(cluster, settings.prometheus, clock.now)
        ports = Ports(
            traffic=SeldonTraffic(cluster, lambda: store.current, settings.pace, clock.now),
            predictors=SeldonPredictors(cluster),
            metrics=metrics,
            approvals=ResourceApprovals(
                self._world,
                scene,
                self._refused,
                settings.policy.override,
                clock.now,
                ahead=lambda: api.ahead,
                created=str(self.resource["metadata"]["creationTimestamp"]),
                strict=written(settings.policy),
            ),
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
        engine.on_look = lambda status: self._looked(engine, store, scene, status)
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

    def _looked(self, engine: Engine, store: StatusStore, scene: Scene, status: RolloutStatus) -> None:
        self.status = status
        changed = self._rollout(scene, self._desired())
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

    @property
    def _held(self) -> bool:
        return FINALIZER in (self.resource["metadata"].get("finalizers") or [])

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
