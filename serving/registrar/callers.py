"""Who calls: by a token that the cluster gave, or by one that both sides have in a file."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from serinus.errors import SerinusError
from serinus.kube.api import Api, ApiError, UnreachableError
from serinus.kube.kinds import Kind

TOKEN_REVIEW = Kind("authentication.k8s.io", "v1", "tokenreviews", "TokenReview")
LONGEST = 16 << 10
"""Characters of a token; a ServiceAccount's has about a thousand."""
SHORTEST = 16
"""Of a token in a file: fewer can be guessed."""
_ACCOUNT = "system:serviceaccount:"


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who calls. ``name`` is what the audit log calls them; ``why_not`` is empty where they may tell of versions."""

    name: str
    why_not: str = ""


class CannotAsk(Exception):  # noqa: N818  what happened, not a fault of the caller's
    """Who calls cannot be found out now; the message says why."""


class Callers(Protocol):
    """Finds out who calls."""

    async def who(self, token: str) -> Caller | None:
        """Whose token it is; None if nobody's. Raises ``CannotAsk``."""
        ...


class MemoryCallers:
    """Tokens and their owners, in memory; ``down`` makes it fail."""

    def __init__(self, owners: Mapping[str, Caller]) -> None:
        self._owners = dict(owners)
        self.down = False

    async def who(self, token: str) -> Caller | None:
        """Whose token it is; see ``Callers``."""
        if self.down:
            raise CannotAsk("nobody there")
        return self._owners.get(token)


class TokenFile:
    """One token, in a file that both sides have; read anew for each call, so that it may be replaced.

    Args:
        file: of the token.
        name: whose it is, as the audit log shall name them.
    """

    def __init__(self, file: Path, name: str) -> None:
        self._file = file
        self._name = name

    def check(self) -> None:
        """Raises SerinusError: ``SRN-RECORDS-009`` there is no token, or one that is too short."""
        try:
            self._token()
        except CannotAsk as error:
            raise SerinusError(
                "SRN-RECORDS-009",
                str(error),
                where=str(self._file),
                hint=f"Put a random text of at least {SHORTEST} characters there, say by openssl rand -hex 32.",
            ) from error

    async def who(self, token: str) -> Caller | None:
        """Whose token it is; see ``Callers``."""
        # In the same time whatever of it is right.
        same = hmac.compare_digest(token.encode(), self._token().encode())
        return Caller(name=self._name) if same else None

    def _token(self) -> str:
        try:
            found = self._file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise CannotAsk(f"the file of the callers' token cannot be read ({error})") from error
        if len(found) < SHORTEST:
            raise CannotAsk(f"the callers' token has {len(found)} characters, fewer than {SHORTEST}")
        return found


class TokenReviews:
    """Asks the API server, which knows the tokens of ServiceAccounts (``authentication.k8s.io/v1``).

    Args:
        api: as an account that may create tokenreviews.
        allowed: ``NAMESPACE/NAME`` of the ServiceAccounts that may tell of versions.
        audience: what tokens must be for; empty: the API server's own.
    """

    def __init__(self, api: Api, allowed: Sequence[str], audience: str = "") -> None:
        self._api = api
        self._allowed = {_ACCOUNT + account.replace("/", ":") for account in allowed}
        self._audience = audience

    async def who(self, token: str) -> Caller | None:
        """Whose token it is; see ``Callers``."""
        spec = {"token": token} | ({"audiences": [self._audience]} if self._audience else {})
        body = {"apiVersion": TOKEN_REVIEW.api_version, "kind": TOKEN_REVIEW.kind, "spec": spec}
        try:
            answer = await self._api.create(TOKEN_REVIEW, None, body)
        except (ApiError, UnreachableError) as error:
            raise CannotAsk(f"the API server does not review tokens: {error}") from error
        status = answer.get("status") or {}
        if not status.get("authenticated"):
            return None
        # An authenticator that knows nothing of audiences returns none, and would let any token pass.
        if self._audience and self._audience not in (status.get("audiences") or ()):
            return None
        name = str((status.get("user") or {}).get("username") or "")
        if not name:
            return None
        why = "" if name in self._allowed else f"{name} is not among the callers that --caller names"
        return Caller(name=name, why_not=why)


class EitherOf:
    """Asks one after the other; the first that knows the token says whose it is.

    One that cannot be asked keeps nobody out whom another knows. Where none knows the token it is not said to be
    nobody's: it could be known to that one.
    """

    def __init__(self, callers: Sequence[Callers]) -> None:
        self._callers = tuple(callers)

    async def who(self, token: str) -> Caller | None:
        """Whose token it is; see ``Callers``."""
        unasked: list[str] = []
        for one in self._callers:
            try:
                found = await one.who(token)
            except CannotAsk as why:
                unasked.append(str(why))
                continue
            if found is not None:
                return found
        if unasked:
            raise CannotAsk("; ".join(unasked))
        return None
