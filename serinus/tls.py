"""TLS between our programs where they talk over a network: one way to serve it, one way to ask it.

A server is given its certificate, its key and, for mutual TLS, whose clients it lets in.
Files are looked at again at each handshake, so a rotated certificate is served without a
restart. Clients read ``SERINUS_TLS_CA``, ``SERINUS_TLS_CERT`` and ``SERINUS_TLS_KEY``, the same
for all of them; host names are checked always.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from serinus.errors import SerinusError

CA, CERT, KEY, PLAIN = "SERINUS_TLS_CA", "SERINUS_TLS_CERT", "SERINUS_TLS_KEY", "SERINUS_PLAIN_HTTP"
Tell = Callable[[SerinusError], None]


def _to_stderr(error: SerinusError) -> None:
    sys.stderr.write(f"serinus: {error}\n")


class ServerFiles(NamedTuple):
    """PEM files of a server: its certificate (with the chain), its key, and the authorities of its clients."""

    cert: Path
    key: Path
    client_ca: Path | None = None

    def stamp(self) -> tuple[tuple[int, int, int], ...]:
        """What changes when one of them is replaced. Raises OSError."""
        stats = [path.stat() for path in self if path is not None]
        return tuple((found.st_ino, found.st_mtime_ns, found.st_size) for found in stats)

    def context(self) -> ssl.SSLContext:
        """TLS 1.2 and later, by these files as they are now.

        Raises:
            SerinusError: ``SRN-TLS-001`` one cannot be read or they do not belong together.
        """
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        made.set_alpn_protocols(["http/1.1"])
        try:
            made.load_cert_chain(self.cert, self.key)
            if self.client_ca is not None:
                made.load_verify_locations(self.client_ca)
                made.verify_mode = ssl.CERT_REQUIRED
        except (OSError, ValueError) as error:
            raise _unusable(", ".join(str(path) for path in self if path is not None), error) from error
        return made

    def read(self) -> tuple[bytes, bytes, bytes | None]:
        """Their content: certificate, key, authorities. Raises OSError."""
        authorities = None if self.client_ca is None else self.client_ca.read_bytes()
        return self.cert.read_bytes(), self.key.read_bytes(), authorities


def server_files(cert: Path | None, key: Path | None, client_ca: Path | None) -> ServerFiles | None:
    """The files that the flags name; None for plain HTTP.

    Raises:
        SerinusError: ``SRN-TLS-002`` only some of them are given.
    """
    if cert is None and key is None and client_ca is None:
        return None
    if cert is None or key is None:
        raise SerinusError(
            "SRN-TLS-002",
            "a server needs --tls-cert and --tls-key together"
            + ("" if client_ca is None else " for --tls-client-ca"),
            where="command line",
            hint="Give both files, or none of the three for plain HTTP.",
        )
    return ServerFiles(cert, key, client_ca)


def rotating(files: ServerFiles, report: Tell = _to_stderr) -> ssl.SSLContext:
    """A context that serves what the files hold at each handshake.

    Files that do not fit each other, as they may while they are being replaced, change nothing; that is
    reported once until they do.

    Raises:
        SerinusError: ``SRN-TLS-001`` they cannot be used now.
    """
    try:
        stamp = files.stamp()  # first: what is replaced while it is read is read again at a handshake
    except OSError as error:
        raise _unusable(str(error.filename), error) from error
    outer = files.context()
    state = {"stamp": stamp, "current": outer, "failed": None}

    def choose(handshake: ssl.SSLObject | ssl.SSLSocket, name: str | None, before: ssl.SSLContext) -> None:
        try:
            stamp = files.stamp()
            if stamp != state["stamp"] and stamp != state["failed"]:
                state["failed"] = stamp
                state["current"] = files.context()
                state["stamp"], state["failed"] = stamp, None
        except SerinusError as error:
            report(error)
        except OSError as error:
            if state["failed"] != ():
                state["failed"] = ()
                report(_unusable(str(error.filename), error))
        if state["current"] is not before:
            handshake.context = state["current"]  # type: ignore[assignment]

    outer.sni_callback = choose
    return outer


def client_context(environment: Mapping[str, str] | None = None) -> ssl.SSLContext:
    """What our clients verify servers by, and present of themselves.

    Raises:
        SerinusError: ``SRN-TLS-001`` a file that the environment names cannot be used; ``-002`` a key without its
            certificate.
    """
    environment = os.environ if environment is None else environment
    ca = environment.get(CA) or None
    cert, key = client_files(environment)
    try:
        made = ssl.create_default_context(cafile=ca)
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        if cert is not None:
            made.load_cert_chain(cert, key)
    except (OSError, ValueError) as error:
        raise _unusable(", ".join(path for path in (ca, cert, key) if path), error) from error
    return made


def client_files(environment: Mapping[str, str]) -> tuple[str | None, str | None]:
    """Our client certificate and its key, if any. Raises ``SRN-TLS-002`` a key without its certificate."""
    cert, key = (environment.get(name) or None for name in (CERT, KEY))
    if key is not None and cert is None:
        raise SerinusError(
            "SRN-TLS-002",
            f"{KEY} names a key and {CERT} no certificate: no server would learn who asks",
            where="environment",
            hint=f"Set both, or neither; {CERT} alone where its file holds the key too.",
        )
    return cert, key


def check_plain(
    host: str,
    what: str,
    environment: Mapping[str, str] | None = None,
    tell: Tell = _to_stderr,
    *,
    how: str = "plain HTTP",
) -> None:
    """Say, or refuse, that something leaves this machine without TLS.

    ``SERINUS_PLAIN_HTTP``: ``warn`` (default), ``refuse``, or ``allow`` where a mesh encrypts; ``how``
    says what is spoken instead.

    Raises:
        SerinusError: ``SRN-TLS-003`` it is refused, or the variable is none of these words.
    """
    policy = (os.environ if environment is None else environment).get(PLAIN) or "warn"
    if policy == "allow" or is_loopback(host):
        return
    refused = policy != "warn"
    said = "" if policy in ("warn", "refuse") else f"; {PLAIN} is {policy}, not allow, warn or refuse"
    error = SerinusError(
        "SRN-TLS-003",
        f"{what} is {how} beyond this machine{said}",
        where=host,
        hint=f"Give TLS (docs/security.md); where a service mesh encrypts, set {PLAIN}=allow.",
    )
    if refused:
        raise error
    tell(error)


def check_url(
    url: str, what: str, environment: Mapping[str, str] | None = None, tell: Tell = _to_stderr
) -> None:
    """``check_plain`` for a URL; ``https`` and what is no URL pass. Raises ``SRN-TLS-003``."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return
    if host and parts.scheme in ("http", "redis"):
        check_plain(host, what, environment, tell)


def is_loopback(host: str) -> bool:
    """Whether an address or name stays on this machine."""
    if host == "localhost" or host.startswith("/"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _unusable(where: str, error: Exception) -> SerinusError:
    why = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
    return SerinusError(
        "SRN-TLS-001",
        f"the TLS files cannot be used ({why})",
        where=where,
        hint="Give PEM files that belong together: the certificate with its chain, its key without a password.",
    )
