"""Where the command line's wishes go: the platform of this machine here, a cluster's ModelRollouts in ``kube.desk``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import msgspec
import typer
from msgspec.structs import replace

from serinus.access import Access
from serinus.access.roles import holders
from serinus.access.types import EVERYONE
from serinus.errors import SerinusError
from serinus.home import Home
from serinus.identity import current_identity

from .kept import Kept, kept, none_yet
from .remote import call
from .spec import RolloutSpec, Step, check, load_spec
from .status import ENDED, Entry, Phase, RolloutStatus


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What ``start`` was asked for. ``target``, ``digest``, ``name``, ``built_by``: on a cluster only."""

    candidate: str | None = None
    file: Path | None = None
    steps: tuple[Step, ...] | None = None
    target: str | None = None
    digest: str | None = None
    name: str | None = None
    built_by: str | None = None


class Desk(Protocol):
    """Starts, tells of and commands rollouts. Every verb may raise ``SerinusError``."""

    def start(self, wish: Wish) -> RolloutStatus:
        """Begin a rollout; returns at once."""
        ...

    def status(self) -> RolloutStatus:
        """Where it stands."""
        ...

    def history(self) -> list[Entry]:
        """What happened, oldest first."""
        ...

    def approve(self, role: str, reason: str) -> tuple[str, RolloutStatus]:
        """Approve the next step; returns who did, and where the rollout stands: ``awaits`` is what is missing still."""
        ...

    def command(self, kind: str, reason: str) -> RolloutStatus:
        """Give a command, and wait until it was obeyed."""
        ...

    def who_has(self, role: str, found: RolloutStatus) -> str:
        """Whose word in that role could count, in words; empty where this side does not know."""
        ...


class LocalDesk:
    """The embedded platform of one home."""

    def __init__(self, home: Home, acting: str | None) -> None:
        self._home = home
        self._by = acting

    def start(self, wish: Wish) -> RolloutStatus:
        """Begin a rollout over the champion that serves."""
        given = ("--target", wish.target), ("--digest", wish.digest), ("--name", wish.name)
        for flag, value in (*given, ("--built-by", wish.built_by)):
            if value is not None:
                raise typer.BadParameter(f"{flag} belongs to a cluster: add --namespace or --context")
        model = call(self._home, "status")["champion"]["model"]
        if wish.file is not None:
            spec = load_spec(wish.file)
            spec = replace(spec, candidate=wish.candidate) if wish.candidate else spec
        elif wish.candidate is not None:
            spec = RolloutSpec(model=model, candidate=wish.candidate)
        else:
            raise typer.BadParameter("name a CANDIDATE, or a spec with --file")
        if Path(spec.candidate).is_dir():
            spec = replace(spec, candidate=str(Path(spec.candidate).absolute()))
        if wish.steps is not None:
            spec = replace(spec, steps=wish.steps)
        check(spec)
        return self._call("rollout.start", spec=msgspec.to_builtins(spec), by=self._who())

    def status(self) -> RolloutStatus:
        """The rollout in progress, or the last one; without a platform one that has ended."""
        try:
            return self._call("rollout.status")
        except SerinusError as error:
            last = self._last(error)
            # One that was left unfinished goes on, or ends, once a platform is there: it stands nowhere now.
            if last.status.phase not in (*ENDED, Phase.PROMOTED):
                raise
            return last.status

    def history(self) -> list[Entry]:
        """From the journal's file, also where no platform runs."""
        try:
            return msgspec.convert(call(self._home, "rollout.history"), list[Entry])
        except SerinusError as error:
            if error.code != "SRN-PLATFORM-009" or not self._home.root.is_dir():
                raise
            found = kept(self._home)
            if not found:
                raise none_yet(self._home) from None
            return found[-1].history

    def approve(self, role: str, reason: str) -> tuple[str, RolloutStatus]:
        """Recorded in the registry, which refuses one's own work."""
        by = self._who()
        return by, self._call("rollout.approve", by=by, role=role, reason=reason)

    def command(self, kind: str, reason: str) -> RolloutStatus:
        """Given to the engine in the platform's process."""
        return self._call("rollout.command", kind=kind, by=self._who(), reason=reason)

    def who_has(self, role: str, found: RolloutStatus) -> str:
        """By the access policy of the home, without who started the rollout; roles that are lent are not looked at."""
        try:
            people = holders(Access(self._home).policy(), [role])
        except SerinusError:  # said by whoever has to go by the policy
            return ""
        if EVERYONE in people:
            return "anybody but who built it or started this rollout"
        return ", ".join(one for one in people if one != found.started_by)

    def _last(self, error: SerinusError) -> Kept:
        """The last rollout that the home keeps, if ``error`` is that no platform runs; else raises it."""
        found = kept(self._home) if error.code == "SRN-PLATFORM-009" else []
        if not found:
            raise error
        return found[-1]

    def _who(self) -> str:
        return current_identity(self._by)

    def _call(self, do: str, **args: Any) -> RolloutStatus:
        return msgspec.convert(call(self._home, do, **args), RolloutStatus)
