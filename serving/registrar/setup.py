"""What the command line says of callers, put together; and a keeper that follows no cluster."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from serinus.access import Access
from serinus.errors import SerinusError
from serinus.home import Home
from serinus.kube.api import Api
from serinus.registry import Registry
from serinus.registry.receiving import Receiver

from .callers import Callers, EitherOf, TokenFile, TokenReviews
from .follow import Desk, Follower
from .versions import Door

_ACCOUNT = re.compile(r"[a-z0-9][a-z0-9-]{0,62}/[a-z0-9][a-z0-9.-]{0,252}")


class Nobody(Follower):
    """Follows no cluster: its home gets versions, and no rollouts."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    async def start(self) -> None:
        """Nothing to begin."""

    async def stop(self) -> None:
        """Nothing to end."""

    @property
    def ready(self) -> bool:
        """There is nothing to wait for."""
        return True

    @property
    def alive(self) -> bool:
        """There is nothing to end."""
        return True

    def age(self) -> float:
        """No watch is silent."""
        return 0.0


def check_callers(accounts: Sequence[str], audience: str, token_file: Path | None) -> None:
    """Raises SerinusError: ``SRN-RECORDS-009`` what the command line says of callers is none."""
    for account in accounts:
        if not _ACCOUNT.fullmatch(account):
            raise _wrong("--caller", f"{account!r} is not NAMESPACE/NAME of a ServiceAccount")
    if audience and not accounts:
        raise _wrong("--token-audience", "it goes with --caller")
    if token_file is not None:
        TokenFile(token_file, "").check()


def door_of(
    home: Home,
    api: Api | None,
    *,
    accounts: Sequence[str] = (),
    audience: str = "",
    token_file: Path | None = None,
    token_caller: str = "pipeline",
    keys: Path | None = None,
    desk: Desk | None = None,
) -> Door | None:
    """The way in for versions; None where no caller is named, and so there is none. ``desk`` hears of each."""
    known: list[Callers] = []
    if token_file is not None:
        known.append(TokenFile(token_file, token_caller))
    if accounts and api is not None:
        known.append(TokenReviews(api, accounts, audience))
    if not known:
        return None

    async def arrived(digest: str) -> None:
        if desk is not None:
            await desk.do(partial(desk.keeper.arrived, digest))

    return Door(Receiver(Registry(home), keys or home.keys), EitherOf(known), Access(home), arrived)


def _wrong(flag: str, what: str) -> SerinusError:
    return SerinusError(
        "SRN-RECORDS-009",
        what,
        where=flag,
        hint="See python -m serving.registrar --help, and docs/registry.md.",
    )
