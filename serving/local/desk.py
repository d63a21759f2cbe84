"""The rollout side of the platform: begin one, give commands, approve, wait."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from serinus.access import Access
from serinus.bundle import Bundle
from serinus.errors import SerinusError
from serinus.home import Home
from serinus.registry import Registry
from serinus.registry.records import facts_of
from serving.rollout import spec as specs
from serving.rollout.adapters.envoy import EnvoyTraffic
from serving.rollout.commands import unasked
from serving.rollout.kept import Kept, entries, kept, none_yet
from serving.rollout.ports import Command
from serving.rollout.status import Entry, Phase, RolloutStatus

from .predictors import LocalPredictors, Target
from .rollouts import LocalRollout, Record
from .targets import distinct, resolve

log = logging.getLogger("serinus.platform")


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """Something worth telling whoever watches: a process lost, a turn of the rollout."""

    at: float
    source: str
    reason: str
    message: str


class RolloutDesk:
    """Rollouts over one Envoy and its scorers, one at a time."""

    def __init__(
        self,
        home: Home,
        traffic: EnvoyTraffic,
        predictors: LocalPredictors,
        *,
        interval: float,
        on_notice: Callable[[Notice], None] | None = None,
    ) -> None:
        self.home = home
        self.traffic = traffic
        self.predictors = predictors
        self.on_notice = on_notice or (lambda notice: None)
        self.champion: Target | None = None
        self.rollout: LocalRollout | None = None
        self._interval = interval

    async def start_rollout(
        self, spec: specs.RolloutSpec, *, by: str, candidate: Bundle | None = None
    ) -> RolloutStatus:
        """Begin a rollout; returns at once, the engine goes on by itself.

        ``candidate``: an opened bundle to use instead of resolving ``spec.candidate``.

        Raises:
            SerinusError: SRN-ROLLOUT-001 spec, -003 candidate or champion is not
                what it must be, -004 another rollout is in progress; SRN-ACCESS-005
                ``by`` may not start one.
        """
        specs.check(spec)
        access = Access(self.home)
        access.require(by, "rollout.start", f"{spec.model} {spec.candidate}")
        champion = self.champion
        assert champion is not None
        if self.rollout is not None and not self.rollout.status.ended:
            raise SerinusError(
                "SRN-ROLLOUT-004",
                f"rollout {self.rollout.record.id} is {self.rollout.status.phase.value}",
                where=f"model {champion.model}",
                hint="Wait for it, or end it: serinus rollout abort.",
            )
        target = resolve(self.home, candidate or spec.candidate, spec.model)
        self._check_pair(spec, champion, target)
        target = distinct(target, (champion,))
        version = Registry(self.home).by_digest(target.digest)
        tier = facts_of(Path(target.bundle)).tier if version is None else version.tier
        spec = specs.strengthened(spec, access.requirement(tier))
        self.predictors.targets[target.name] = target
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")[:-3]
        name = f"{target.model}-{target.name}-{stamp}"
        record = Record(id=name, spec=spec, champion=champion, candidate=target, started_by=by)
        await self._begin(record)
        return self.rollout_status()

    def rollout_status(self) -> RolloutStatus:
        """The status of the rollout that is in progress, or was last, under an earlier life of the platform too.

        Raises:
            SerinusError: SRN-ROLLOUT-005 if there has been none.
        """
        return self._latest().status

    def rollout_history(self) -> list[Entry]:
        """What happened in that rollout, oldest first. Raises as ``rollout_status``."""
        return self._latest().history

    async def wait_rollout(self, *phases: Phase, timeout: float, ended: bool = True) -> RolloutStatus:
        """Wait until the rollout is in one of ``phases``, or has ended.

        Raises:
            SerinusError: SRN-ROLLOUT-006 if it is neither in time.
        """
        rollout = self._current()
        end = time.monotonic() + timeout
        while True:
            status = rollout.status
            if status.phase in phases or (ended and status.ended):
                return status
            left = end - time.monotonic()
            if left <= 0:
                raise SerinusError(
                    "SRN-ROLLOUT-006",
                    f"rollout {status.id}: still {status.phase.value} after {timeout:g} s ({status.message})",
                    where=str(rollout.directory),
                    hint="serinus rollout status says what it waits for.",
                )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(rollout.changed.wait(), left)

    def approve(self, by: str, *, role: str = "approver", reason: str) -> None:
        """Record an approval of the candidate; the registry refuses one's own work.

        Raises:
            SerinusError: SRN-APPROVAL-001 own work or own rollout, -002 no
                reason; SRN-ACCESS-005 not their role; SRN-ROLLOUT-005 no rollout; -007 candidate not
                registered; -008 nobody is asked to approve at this moment.
        """
        rollout = self._current()
        if refusal := unasked(rollout.status):
            raise _refused(refusal)
        candidate = rollout.record.candidate
        if not candidate.registered:
            raise SerinusError(
                "SRN-ROLLOUT-007",
                f"candidate {candidate.name} is not registered, so no approval of it can be recorded",
                where=candidate.bundle,
                hint="Register the bundle first (the pipeline does), then start the rollout by its version.",
            )
        Registry(self.home).approve(
            candidate.model,
            candidate.version,
            by=by,
            role=role,
            reason=reason,
            started_by=rollout.record.started_by,
        )

    async def awaited(self) -> tuple[str, ...]:
        """Whose words are missing now, by role; none while nobody is asked."""
        return await self._current().awaited()

    def command(self, kind: str, *, by: str, reason: str = "") -> str:
        """Give ``pause``, ``resume``, ``abort`` or ``promote``; the history says whether it was obeyed.

        Returns the command's id.
        """
        self._may(by, kind)
        name = secrets.token_hex(4)
        made = {"id": name, "kind": kind, "by": by, "at": time.time(), "reason": reason}
        self._current().inbox.put(msgspec.convert(made, Command))
        return name

    async def obeyed(self, kind: str, *, by: str, reason: str = "", timeout: float = 15.0) -> RolloutStatus:
        """Give a command and wait until the engine has obeyed it.

        Raises:
            SerinusError: SRN-ROLLOUT-008 with the engine's reason if it refuses; -006 the engine has not
                taken it up in time; SRN-ACCESS-005 if the access policy refuses.
        """
        rollout = self._current()
        if rollout.status.ended:
            raise _refused(f"{kind} by {by} refused: the rollout is {rollout.status.phase.value}")
        name = self.command(kind, by=by, reason=reason)
        end = time.monotonic() + timeout
        while name not in rollout.status.handled and time.monotonic() < end:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(rollout.changed.wait(), 0.5)
        if name not in rollout.status.handled:
            if rollout.status.ended:
                raise _refused(f"{kind} by {by} refused: the rollout is {rollout.status.phase.value}")
            raise SerinusError(
                "SRN-ROLLOUT-006",
                f"the rollout engine has not taken up the {kind} within {timeout:g} s",
                where=str(rollout.directory),
                hint="It stays asked for; serinus rollout history tells when it is obeyed. If the engine hangs, its "
                "log says on what (serinus status names it).",
            )
        for entry in reversed(rollout.status.history):
            if entry.reason == "CommandRefused" and entry.message.startswith(f"{kind} by {by} refused"):
                raise _refused(entry.message)
            if entry.message.startswith(f"{kind} by {by}"):
                break
        return rollout.status

    def _may(self, by: str, kind: str) -> None:
        candidate = self._current().record.candidate
        Access(self.home).require(by, f"rollout.{kind}", f"{candidate.model}/{candidate.version}")

    def pause(self, *, by: str, reason: str = "") -> None:
        """Hold the weights; judging goes on."""
        self.command("pause", by=by, reason=reason)

    def resume(self, *, by: str, reason: str = "") -> None:
        """Go on after a pause."""
        self.command("resume", by=by, reason=reason)

    def abort(self, *, by: str, reason: str = "") -> None:
        """End the rollout with the champion at 100 %."""
        self.command("abort", by=by, reason=reason)

    def promote(self, *, by: str, reason: str = "") -> None:
        """Skip what is left of the analysis, but no approval."""
        self.command("promote", by=by, reason=reason)

    def _current(self) -> LocalRollout:
        if self.rollout is None:
            last = self._latest().status
            raise _refused(f"no rollout is under way; the last one, {last.id}, is {last.phase.value}")
        return self.rollout

    def _latest(self) -> Kept:
        if self.rollout is not None:
            return Kept(status=self.rollout.status, history=entries(self.rollout.events))
        found = kept(self.home)
        if not found:
            raise none_yet(self.home)
        return found[-1]

    def _check_pair(self, spec: specs.RolloutSpec, champion: Target, target: Target) -> None:
        def refuse(what: str, hint: str) -> SerinusError:
            return SerinusError("SRN-ROLLOUT-003", what, where=f"rollout of {spec.model}", hint=hint)

        if target.model != champion.model:
            what = f"the candidate is a {target.model} model, the champion a {champion.model} model"
            raise refuse(what, "Start the platform for that model.")
        if target.digest == champion.digest:
            raise refuse(f"the candidate is the champion ({champion.name}) itself", "Name another version.")
        if spec.champion != "champion" and spec.champion not in (str(champion.version), champion.name):
            what = f"the spec's champion is {spec.champion}, but {champion.name} is serving"
            raise refuse(what, "Leave `champion` out, or start the platform with that version.")

    async def _begin(self, record: Record) -> None:
        if self.rollout is not None:
            await self.rollout.close()
        self.rollout = rollout = LocalRollout(
            self.home,
            record,
            traffic=self.traffic,
            predictors=self.predictors,
            told=self._told,
            interval=self._interval,
        )
        await rollout.begin()
        if rollout.task is not None:
            # Until the end, the rollback window included, a candidate that dies is a finding.
            rollout.task.add_done_callback(self._ended)

    def _told(self, entry: Entry) -> None:
        rollout = self.rollout
        if rollout is None:
            return
        if entry.reason == "Promoted":
            self._crown(rollout.record.candidate)
        elif entry.reason in ("RolledBack", "Aborted"):
            self._crown(rollout.record.champion)
        self._notice("rollout", entry.reason, entry.message)

    def _crown(self, target: Target) -> None:
        """From now on ``target`` is what is kept alive, and what a restart begins with."""
        if self.champion == target:
            return
        self.champion = target
        self._crowned(target)

    def _ended(self, task: asyncio.Task[RolloutStatus]) -> None:
        if not task.cancelled() and self.champion is not None:
            self.predictors.keep(self.champion.name)

    def _crowned(self, target: Target) -> None:
        """What else follows from another champion."""

    def _notice(self, source: str, reason: str, message: str) -> None:
        if source != "rollout":
            log.warning("%s: %s", reason, message)
        self.on_notice(Notice(at=time.time(), source=source, reason=reason, message=message))


def _refused(what: str) -> SerinusError:
    return SerinusError(
        "SRN-ROLLOUT-008", what, where="rollout", hint="serinus rollout status says where it stands."
    )
