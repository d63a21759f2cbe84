"""The port: one request to the API server, and its answer."""

from __future__ import annotations

import secrets
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec

from serinus.errors import SerinusError
from serinus.tls import check_url, client_context

_API = "/apis/v2beta1"


class Answer(msgspec.Struct, frozen=True):
    """An HTTP answer: status and decoded JSON body."""

    status: int
    body: dict[str, Any]


class Server(Protocol):
    """The KFP API server."""

    def call(self, method: str, path: str, body: Mapping[str, Any] | bytes | None = None) -> Answer:
        """One request below ``/apis/v2beta1``. Bytes are uploaded as a file.

        Raises OSError if no answer came.
        """
        ...


class HttpServer:
    """A KFP API server at a URL.

    Args:
        url: for example ``http://ml-pipeline.kubeflow:8888``.
        token: file with a bearer token, read anew for each request, since
            Kubernetes renews projected tokens in place.
        flag: the command line's name for the URL, for the error.

    Raises:
        SerinusError: ``SRN-KFP-001`` it is not the URL of a server; ``SRN-TLS-003`` it is plain and that is refused.
    """

    def __init__(
        self, url: str, token: Path | None = None, timeout: float = 30.0, *, flag: str = "--host"
    ) -> None:
        try:
            parts = urllib.parse.urlsplit(url)
            sound = parts.port != 0
        except ValueError:
            parts, sound = urllib.parse.urlsplit(""), False
        if (
            not sound
            or parts.scheme not in ("http", "https")
            or not parts.hostname
            or parts.query
            or parts.fragment
        ):
            raise SerinusError(
                "SRN-KFP-001",
                f"{url!r} is not the URL of a KFP server",
                where=flag,
                hint="Give its API server, for example http://ml-pipeline.kubeflow:8888.",
            )
        if "@" in parts.netloc:
            raise SerinusError(
                "SRN-KFP-001",
                "a user or password stands in the URL, which KFP does not ask for and others can read",
                where=f"{flag} {parts.hostname}",
                hint=f"Leave it out. A token goes into a file: {flag.replace('host', 'token')} FILE.",
            )
        check_url(url, flag)
        self._base = url.rstrip("/") + _API
        self._token = token
        self._timeout = timeout
        self._tls = client_context()

    def call(self, method: str, path: str, body: Mapping[str, Any] | bytes | None = None) -> Answer:
        """One request; see ``Server``."""
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        data = None
        if isinstance(body, bytes):
            headers["Content-Type"], data = _form(body)
        elif body is not None:
            data = msgspec.json.encode(body)
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token.read_text(encoding='utf-8').strip()}"
        request = urllib.request.Request(self._base + path, data=data, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=self._timeout, context=self._tls) as answer:
                return Answer(answer.status, _object(answer.read()))
        except urllib.error.HTTPError as error:
            return Answer(error.code, _object(error.read()))


class MemoryServer:
    """A KFP server of answers prepared by a function, for tests; remembers what was asked."""

    def __init__(self, answer: Callable[[str, str, Mapping[str, Any] | bytes | None], Answer]) -> None:
        self._answer = answer
        self.asked: list[tuple[str, str, Mapping[str, Any] | bytes | None]] = []

    def call(self, method: str, path: str, body: Mapping[str, Any] | bytes | None = None) -> Answer:
        """The prepared answer."""
        self.asked.append((method, path, body))
        return self._answer(method, path, body)


def _form(content: bytes) -> tuple[str, bytes]:
    """A form with one file, ``uploadfile`` (RFC 7578), as the upload endpoints want it."""
    boundary = f"serinus-{secrets.token_hex(16)}"
    head = (
        f"--{boundary}\r\n"
        'Content-Disposition: form-data; name="uploadfile"; filename="pipeline.yaml"\r\n'
        "Content-Type: application/yaml\r\n\r\n"
    )
    return (
        f"multipart/form-data; boundary={boundary}",
        head.encode() + content + f"\r\n--{boundary}--\r\n".encode(),
    )


def _object(raw: bytes) -> dict[str, Any]:
    try:
        body = msgspec.json.decode(raw) if raw else {}
    except msgspec.DecodeError:
        return {"message": raw[:200].decode("utf-8", "replace")}
    return body if isinstance(body, dict) else {"message": str(body)[:200]}
