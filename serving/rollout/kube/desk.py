"""``serinus rollout`` on a cluster: ModelRollouts, approvals and commands through the Kubernetes API."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import typer

from serinus.documents import UnreadableError, read_yaml
from serinus.errors import SerinusError
from serinus.kube.api import Api, ApiError, Object, UnreachableError, configuration, current_namespace
from serinus.registry.policy import check_approval

from ..commands import unasked
from ..desk import Wish
from ..status import Entry, Phase, RolloutStatus, Routes
from .beginning import ended
from .names import APPROVAL, COMMAND, ROLLOUT, Kind, predictor_of
from .resource import to_wire
from .view import seconds, unpack

PATIENCE = 30.0  # seconds that a command may take to be obeyed: two controllers may be changing places
MOMENT = 5.0
POLL = 0.3


class KubeDesk:
    """One namespace of a cluster, and one rollout in it.

    ``rollout``: its name; left out, the only one that has not ended, or else the
    one begun last.
    """

    def __init__(
        self,
        *,
        namespace: str | None,
        context: str | None,
        kubeconfig: str | None,
        rollout: str | None,
        acting: str | None,
        transport: Any = None,
    ) -> None:
        self._config = configuration(kubeconfig, context)
        self._namespace = namespace or current_namespace(kubeconfig, context)
        self._rollout = rollout
        self._acting = acting
        self._transport = transport

    # --- the verbs --------------------------------------------------------------

    def start(self, wish: Wish) -> RolloutStatus:
        """Create a ModelRollout in our name."""

        async def work(api: Api) -> RolloutStatus:
            body = self._document(wish)
            body["spec"]["startedBy"] = await api.who_am_i()
            self._rollout = body["metadata"]["name"]
            return read(await api.create(ROLLOUT, self._namespace, body))

        return self._do(work)

    def status(self) -> RolloutStatus:
        """Where the rollout stands; counts may be some seconds old."""

        async def work(api: Api) -> RolloutStatus:
            return read(await self._find(api))

        return self._do(work)

    def history(self) -> list[Entry]:
        """What happened, as the status keeps it."""
        return list(self.status().history)

    def approve(self, role: str, reason: str) -> tuple[str, RolloutStatus]:
        """Create a RolloutApproval in our name, under the same policy as the controller's."""

        async def work(api: Api) -> tuple[str, RolloutStatus]:
            found = await self._find(api)
            spec, name = found["spec"], found["metadata"]["name"]
            if refusal := unasked(before := read(found)):
                raise _refused(refusal, name)
            by = await api.who_am_i()
            check_approval(
                f"rollout {name}",
                built_by=spec["candidate"].get("builtBy") or "",
                started_by=spec.get("startedBy") or None,
                by=by,
                reason=reason,
            )
            said = {"rollout": name, "by": by, "role": role, "reason": reason}
            await api.create(APPROVAL, self._namespace, self._word(APPROVAL, found, said))
            return by, await self._taken(api, name, role, before.awaits)

        return self._do(work)

    def command(self, kind: str, reason: str) -> RolloutStatus:
        """Create a RolloutCommand in our name, and wait until the controller has obeyed or refused it."""

        async def work(api: Api) -> RolloutStatus:
            found = await self._find(api)
            name = found["metadata"]["name"]
            if ended(found):
                phase = found["status"]["phase"]
                raise _refused(f"{kind} refused: the rollout is {phase}", name)
            by = await api.who_am_i()
            said = {"rollout": name, "by": by, "command": kind, "reason": reason}
            made = await api.create(COMMAND, self._namespace, self._word(COMMAND, found, said))
            return await self._obeyed(api, name, made["metadata"]["uid"], kind, by)

        return self._do(work)

    # --- how ----------------------------------------------------------------------

    async def _taken(self, api: Api, name: str, role: str, before: tuple[str, ...]) -> RolloutStatus:
        """Give the controller a moment, so that a script's next look sees what followed; others may be missing.

        ``before``: whose words were missing before this one, in ``role``.
        """
        for _ in range(round(MOMENT / POLL)):
            status = read(await api.get(ROLLOUT, self._namespace, name))
            counted = role not in status.awaits if role in before else status.awaits != before
            if status.phase is not Phase.AWAITING_APPROVAL or counted:
                return status
            await asyncio.sleep(POLL)
        return read(await api.get(ROLLOUT, self._namespace, name))

    def who_has(self, role: str, found: RolloutStatus) -> str:
        """Nobody can tell from here: RBAC says who may approve in which role, and answers for one person at a time."""
        return ""

    async def _obeyed(self, api: Api, name: str, uid: str, kind: str, by: str) -> RolloutStatus:
        for _ in range(round(PATIENCE / POLL)):
            status = read(await api.get(ROLLOUT, self._namespace, name))
            if uid in status.handled:
                for entry in reversed(status.history):
                    if entry.message.startswith(f"{kind} by {by}"):
                        if entry.reason == "CommandRefused":
                            raise _refused(entry.message, name)
                        break
                return status
            await asyncio.sleep(POLL)
        raise SerinusError(
            "SRN-ROLLOUT-006",
            f"no controller has taken up the {kind} within {PATIENCE:g} s",
            where=f"modelrollout/{name}",
            hint="It stays asked for. Is the controller running? kubectl get lease -A says who leads.",
        )

    def _word(self, kind: Kind, about: Object, spec: Object) -> Object:
        """An approval or command that goes with its rollout."""
        metadata = about["metadata"]
        owner = {
            "apiVersion": ROLLOUT.api_version,
            "kind": ROLLOUT.kind,
            "name": metadata["name"],
            "uid": metadata["uid"],
        }
        name = f"{metadata['name']}-{secrets.token_hex(4)}"
        return {
            "apiVersion": kind.api_version,
            "kind": kind.kind,
            "metadata": {"name": name, "ownerReferences": [owner]},
            "spec": spec,
        }

    def _document(self, wish: Wish) -> Object:
        body = _manifest(wish.file) if wish.file else {"metadata": {}, "spec": {}}
        spec, metadata = body["spec"], body["metadata"]
        if wish.target:
            spec["target"] = wish.target
        if wish.candidate:
            if not wish.digest:
                raise typer.BadParameter("--digest sha256:… goes with a CANDIDATE that is a bundle's address")
            spec["candidate"] = {"bundle": {"uri": wish.candidate, "digest": wish.digest}}
        if wish.built_by and "candidate" in spec:
            spec["candidate"]["builtBy"] = wish.built_by
        if wish.steps is not None:
            spec["steps"] = to_wire(wish.steps)
        for field, flag in (
            ("target", "--target SELDONDEPLOYMENT"),
            ("candidate", "a CANDIDATE with --digest"),
        ):
            if field not in spec:
                raise typer.BadParameter(f"name {flag}, or a manifest with --file")
        if wish.name or "name" not in metadata:
            bundle = (spec["candidate"] or {}).get("bundle") or {}
            made = bundle.get("digest") or (spec["candidate"].get("predictor") or {}).get("name") or "rollout"
            metadata["name"] = wish.name or f"{spec['target']}-{predictor_of(made).removeprefix('p-')}"
        metadata["namespace"] = self._namespace
        return {"apiVersion": ROLLOUT.api_version, "kind": ROLLOUT.kind, "metadata": metadata, "spec": spec}

    async def _find(self, api: Api) -> Object:
        if self._rollout is not None:
            found = await api.find(ROLLOUT, self._namespace, self._rollout)
            if found is None:
                raise self._none(f"there is no ModelRollout {self._rollout}")
            return found
        listed = (await api.list(ROLLOUT, self._namespace))["items"]
        if not listed:
            raise self._none("there is no ModelRollout")
        under_way = [found for found in listed if not ended(found)]
        if len(under_way) > 1:
            names = ", ".join(found["metadata"]["name"] for found in under_way)
            raise self._none(f"several rollouts are under way: {names}", "Name one: --rollout NAME.")
        chosen = max(under_way or listed, key=lambda found: found["metadata"]["creationTimestamp"])
        self._rollout = chosen["metadata"]["name"]
        return chosen

    def _none(self, what: str, hint: str = "kubectl get modelrollouts -A lists them.") -> SerinusError:
        return SerinusError("SRN-ROLLOUT-005", what, where=f"namespace {self._namespace}", hint=hint)

    def _do[T](self, work: Callable[[Api], Awaitable[T]]) -> T:
        return asyncio.run(self._connected(work))

    async def _connected[T](self, work: Callable[[Api], Awaitable[T]]) -> T:
        api = Api(self._config, self._transport, acting=self._acting)
        try:
            return await work(api)
        except ApiError as problem:
            raise _explained(problem, self._namespace) from None
        except UnreachableError as problem:
            raise SerinusError(
                "SRN-ROLLOUT-009",
                f"the Kubernetes API does not answer: {problem}",
                where=api.server,
                hint="Check --context and --kubeconfig with kubectl cluster-info.",
            ) from None
        finally:
            await api.close()


def read(resource: Object) -> RolloutStatus:
    """A ModelRollout's status as the command line shows it; one whose engine has not begun says why."""
    status = resource.get("status") or {}
    if status.get("engine"):
        return unpack(status["engine"])
    spec, metadata = resource["spec"], resource["metadata"]
    candidate = spec["candidate"]
    bundle = candidate.get("bundle")
    phase = Phase(status.get("phase") or Phase.PENDING)
    at = seconds(metadata["creationTimestamp"])
    return RolloutStatus(
        id=metadata["name"],
        model=spec["target"],
        champion="the champion",
        candidate=predictor_of(bundle["digest"]) if bundle else candidate["predictor"]["name"],
        started_by=spec.get("startedBy") or "",
        started_at=at,
        phase=phase,
        phase_since=at,
        reason=status.get("reason") or "Created",
        message=status.get("message") or "no controller has looked at it yet",
        desired=Routes(stable="the champion"),
        old_stopped=phase is Phase.FAILED,
    )


def _manifest(path: Path) -> Object:
    """A ModelRollout's manifest, or its spec alone."""
    try:
        raw = read_yaml(path)
    except UnreadableError as problem:
        raise _wrong(path, f"{problem.where}: {problem.what}") from None
    if not isinstance(raw, dict):
        raise _wrong(path, "it is no mapping")
    if "model" in raw and "kind" not in raw:
        raise _wrong(path, "it is a spec of the platform on one machine: its keys are written otherwise")
    if "kind" not in raw:
        return {"metadata": {}, "spec": raw}
    if raw["kind"] != ROLLOUT.kind or not isinstance(raw.get("spec"), dict):
        raise _wrong(path, f"it is a {raw['kind']} document without the spec of a ModelRollout")
    return {"metadata": dict(raw.get("metadata") or {}), "spec": raw["spec"]}


def _wrong(path: Path, what: str) -> SerinusError:
    return SerinusError(
        "SRN-ROLLOUT-001", what, where=str(path), hint="See the ModelRollout in docs/kubernetes.md."
    )


def _refused(what: str, name: str) -> SerinusError:
    return SerinusError(
        "SRN-ROLLOUT-008",
        what,
        where=f"modelrollout/{name}",
        hint="serinus rollout status says where it stands.",
    )


def _explained(problem: ApiError, namespace: str) -> SerinusError:
    where = f"namespace {namespace}"
    if problem.code == 422 or problem.code == 400:
        hint = "See docs/kubernetes.md for the fields; kubectl explain modelrollout.spec lists them."
        return SerinusError("SRN-ROLLOUT-001", problem.message.rstrip("."), where=where, hint=hint)
    if problem.gone:
        hint = "Install them: helm install serinus charts/serinus. Then name the right --namespace."
        what = f"this cluster has no ModelRollouts, or not this namespace ({problem.message or problem.code})"
        return SerinusError("SRN-ROLLOUT-011", what, where=where, hint=hint)
    if problem.conflict:
        hint = "Choose another --name, or look at that one: serinus rollout status --rollout NAME."
        return SerinusError("SRN-ROLLOUT-004", problem.message, where=where, hint=hint)
    hint = "Ask for the right, or act as someone who has it; docs/kubernetes.md lists the roles."
    return SerinusError("SRN-ROLLOUT-011", problem.message or str(problem), where=where, hint=hint)
