"""Telling a record keeper of a version: in bounded time, and without costing the registration that is here."""

from __future__ import annotations

import http.client
import os
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import msgspec

from serinus.errors import SerinusError
from serinus.registry.registration import PATH, Receipt, Registration
from serinus.timed import timed_handlers
from serinus.tls import CA, check_url, client_context

URL, TOKEN, SECRETS = "SERINUS_REGISTRAR", "SERINUS_REGISTRAR_TOKEN_FILE", "SERINUS_REGISTRAR_SECRETS"
"""Variables: the record keeper's URL; a file with the token to show; a directory with ``ca.crt`` and ``token``, as a
mounted Secret has them, each where it is needed."""
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
"""The token of a pod's own ServiceAccount."""
PATIENCE = 120.0
"""Seconds for all tries together."""
_ONCE = 25.0  # seconds of one try
_FIRST, _SLOWEST = 0.5, 10.0  # seconds between two tries
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_LARGEST_ANSWER = 1 << 16


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a record keeper said."""

    status: int
    body: bytes


class Unreached(Exception):  # noqa: N818  what happened, not a fault of ours
    """No answer came; the message says why. ``final`` where trying again would not help."""

    def __init__(self, why: str, *, final: bool = False) -> None:
        super().__init__(why)
        self.final = final


class Channel(Protocol):
    """The way to a record keeper. ``url`` is for people."""

    url: str

    def post(self, body: bytes, timeout: float) -> Answer:
        """Send a registration; ``timeout`` (s) is for all of it. Raises ``Unreached``."""
        ...


class MemoryChannel:
    """Answers as it was told to, one after the other, the last for ever; keeps what was sent."""

    def __init__(self, *answers: Answer | Unreached, url: str = "https://records") -> None:
        self.url = url
        self.sent: list[bytes] = []
        self._answers = answers

    def post(self, body: bytes, timeout: float) -> Answer:
        """The next answer; see ``Channel``."""
        answer = self._answers[min(len(self.sent), len(self._answers) - 1)]
        self.sent.append(body)
        if isinstance(answer, Unreached):
            raise answer
        return answer


class HttpChannel:
    """Posts to ``URL/v1/versions`` with a bearer token that is read anew for each try, since Kubernetes renews it.

    A redirect is not followed: it would carry the token to where nobody named.

    Args:
        url: of the record keeper; ``flag``: who named it.
        token: file of the token.
        tls: what servers are verified by.

    Raises:
        SerinusError: ``SRN-RECORDS-010`` the URL is none; ``SRN-TLS-003`` it is plain and that is refused.
    """

    def __init__(self, url: str, token: Path, tls: ssl.SSLContext, *, flag: str = URL) -> None:
        self.url = _checked(url, flag).rstrip("/")
        check_url(url, "the record keeper")
        self._token = token
        self._opener = urllib.request.build_opener(*timed_handlers(tls), _Stays())

    def post(self, body: bytes, timeout: float) -> Answer:
        """Send; see ``Channel``. Raises also SerinusError: ``SRN-RECORDS-010`` the token cannot be read."""
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {_read(self._token)}"}
        request = urllib.request.Request(self.url + PATH, data=body, headers=headers, method="POST")
        try:
            with self._opener.open(request, timeout=timeout) as answer:
                return Answer(status=answer.status, body=answer.read(_LARGEST_ANSWER))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(status=error.code, body=_said(error))
        except urllib.error.URLError as error:
            final = isinstance(error.reason, ssl.SSLCertVerificationError)
            raise Unreached(str(error.reason) or type(error).__name__, final=final) from error
        except (OSError, http.client.HTTPException) as error:
            raise Unreached(str(error) or type(error).__name__) from error


def channel_to(
    url: str = "",
    token: Path | None = None,
    *,
    flag: str = URL,
    environment: Mapping[str, str] | None = None,
    account: Path = ACCOUNT,
) -> HttpChannel | None:
    """The way to the record keeper that is named, or that the environment names; None if neither does.

    The token is the one named, else ``$SERINUS_REGISTRAR_TOKEN_FILE``, the Secret's ``token``, or that of the pod's
    ServiceAccount; the authority is the Secret's ``ca.crt``, else ``$SERINUS_TLS_CA``, or the system's.

    Raises:
        SerinusError: ``SRN-RECORDS-010`` the URL is none, or there is no token; ``SRN-TLS-001`` and ``-002`` of
            ``client_context``; ``SRN-TLS-003`` it is plain HTTP and that is refused.
    """
    env = dict(os.environ if environment is None else environment)
    place = url or env.get(URL, "")
    if not place:
        return None
    secrets = Path(env[SECRETS]) if env.get(SECRETS) else None
    if secrets is not None and (secrets / "ca.crt").is_file():
        env[CA] = str(secrets / "ca.crt")
    named = token or (Path(env[TOKEN]) if env.get(TOKEN) else None)
    found = [path for path in (secrets / "token" if secrets else None, account) if path and path.is_file()]
    if named is None and not found:
        raise _unusable(
            "there is no token to show to it",
            flag,
            f"Name a file with --token, or in {TOKEN}; a pod has that of its ServiceAccount.",
        )
    file = named or found[0]
    _read(file)
    return HttpChannel(place, file, client_context(env), flag=flag)


def send(
    told: Registration,
    channel: Channel,
    *,
    patience: float = PATIENCE,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Receipt:
    """Have a version entered by a record keeper. It may be sent as often as one likes.

    Args:
        told: as ``registration_of`` made it.
        patience: seconds in which it is tried again, while nobody answers or the keeper cannot take it now.
        clock, sleep: monotonic seconds, and how they are passed.

    Raises:
        SerinusError: ``SRN-RECORDS-011`` it could not be handed over in that time; ``-012`` it is refused, or who
            answers is no record keeper. What is registered here stays so.
    """
    body, pause = msgspec.json.encode(told), _FIRST
    end = clock() + patience
    while True:
        try:
            answer = channel.post(body, max(0.1, min(_ONCE, end - clock())))
            if answer.status not in _AGAIN:
                return _receipt(told, channel, answer)
            why, final = f"{answer.status}, {_words(answer)}", False
        except Unreached as error:
            why, final = str(error), error.final
        left = end - clock()
        if final or left <= 0:
            raise _not_handed_over(told, channel, why)
        sleep(min(pause, left))
        pause = min(_SLOWEST, pause * 2)


def _receipt(told: Registration, channel: Channel, answer: Answer) -> Receipt:
    if answer.status not in (200, 201):
        raise SerinusError(
            "SRN-RECORDS-012",
            f"the record keeper refuses {told.subject} ({answer.status}, {_words(answer)})",
            where=channel.url,
            hint=f"It stays registered here. Mend what it says, then: {_by_hand(told, channel)}.",
        )
    try:
        receipt = msgspec.json.decode(answer.body, type=Receipt)
    except msgspec.DecodeError:
        receipt = None
    if receipt is None or receipt.digest != told.manifest.digest():
        raise SerinusError(
            "SRN-RECORDS-012",
            f"who answers is no record keeper: it did not confirm the digest of {told.subject}",
            where=channel.url,
            hint="Give the URL of python -m serving.registrar (the chart's Service serinus-records).",
        )
    return receipt


def _words(answer: Answer) -> str:
    try:
        said: Any = msgspec.json.decode(answer.body)
        return f"{said['code']}: {said['what']}. {said['hint']}".rstrip(".")
    except (msgspec.DecodeError, LookupError, TypeError):
        return " ".join(answer.body[:200].decode(errors="replace").split()) or "without a word"


def _not_handed_over(told: Registration, channel: Channel, why: str) -> SerinusError:
    return SerinusError(
        "SRN-RECORDS-011",
        f"the record keeper could not be told of {told.subject} ({why})",
        where=channel.url,
        hint=f"It stays registered here. Once the keeper can be reached: {_by_hand(told, channel)}, "
        "or run the pipeline again.",
    )


def _by_hand(told: Registration, channel: Channel) -> str:
    return f"serinus registry send {told.manifest.name} {told.manifest.version} --to {channel.url}"


def _said(error: urllib.error.HTTPError) -> bytes:
    try:
        return error.read(_LARGEST_ANSWER)
    except (OSError, http.client.HTTPException):
        return b""


def _checked(url: str, flag: str) -> str:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        raise _no_url(url, flag) from None
    if not good or parts.query or parts.fragment or parts.username is not None:
        raise _no_url(url, flag)
    return url


def _no_url(url: str, flag: str) -> SerinusError:
    return _unusable(
        f"{url!r} is not http(s)://host[:port]",
        flag,
        "Give the record keeper's, such as https://serinus-records:8080.",
    )


def _read(token: Path) -> str:
    try:
        found = token.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise _unusable(
            f"the token cannot be read ({error})", str(token), "Name another file with --token."
        ) from error
    if not found or not found.isascii() or any(c.isspace() for c in found):
        raise _unusable("the file holds no token", str(token), "A token is one word of ASCII characters.")
    return found


def _unusable(what: str, where: str, hint: str) -> SerinusError:
    return SerinusError("SRN-RECORDS-010", what, where=where, hint=hint)


class _Stays(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> None:
        """None: the redirect is the answer."""
