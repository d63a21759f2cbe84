"""Where a PostgreSQL of keys is, what it has to show of itself, what is shown to it, and what it refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from serinus.errors import SerinusError
from serinus.tls import CA, CERT, KEY, check_plain, client_files, is_loopback

PASSWORD, PASSWORD_FILE = "SERINUS_SUBJECT_KEYS_PASSWORD", "SERINUS_SUBJECT_KEYS_PASSWORD_FILE"


class Server:
    """The parameters of a connection; see ``PostgresEngine``.

    Args:
        given: libpq's parameters, as the URL gives them.
        environment: may have the password, its file, and the files of TLS.

    Raises:
        SerinusError: ``SRN-TLS-002`` a client's key without its certificate; ``-003`` it is to be asked without TLS.
    """

    def __init__(self, given: Mapping[str, Any], environment: Mapping[str, str]) -> None:
        self._given = dict(given)
        self._environment = environment
        afar = [host for host in self._hosts() if not is_loopback(host)]
        mode = str(self._given.get("sslmode") or environment.get("PGSSLMODE") or "")
        if afar and not mode:
            mode = "verify-full"
        if mode:
            self._given["sslmode"] = mode
        if mode == "verify-full":
            self._given.setdefault(
                "sslrootcert", environment.get("PGSSLROOTCERT") or environment.get(CA) or "system"
            )
        elif afar:
            check_plain(
                ", ".join(afar), "the store of subject keys", environment,
                how=f"asked with sslmode={mode}, which does not make sure of the server,",
            )  # fmt: skip
        if mode in ("require", "verify-ca", "verify-full") and not environment.get("PGSSLCERT"):
            cert, key = client_files(environment)
            if cert is not None:
                # libpq looks for a key in a file of its own; ours may stand in the certificate's.
                self._given.setdefault("sslcert", cert)
                self._given.setdefault("sslkey", environment.get("PGSSLKEY") or key or cert)

    def _hosts(self) -> list[str]:
        """All that may be asked. A name of which only the address is used counts too: that is who is meant."""
        get, environment = self._given.get, self._environment
        service = get("service") or environment.get("PGSERVICE")
        hosts = get("host") or (f"service {service}" if service else environment.get("PGHOST"))
        addresses = get("hostaddr") or environment.get("PGHOSTADDR")
        return (
            ",".join(str(given) for given in (hosts, addresses) if given).split(",")
            if hosts or addresses
            else []
        )

    @property
    def where(self) -> str:
        """See ``Engine.where``: without its password."""
        get = self._given.get
        user = f"{get('user')}@" if get("user") else ""
        hosts, ports = str(get("host") or "").split(","), str(get("port") or "").split(",")
        if len(ports) == 1:  # of all hosts
            ports *= len(hosts)
        places = [host + (f":{port}" if port else "") for host, port in zip(hosts, ports, strict=False)]
        return f"postgresql://{user}{','.join(places)}/{get('dbname') or ''}"

    def parameters(self, *, seconds: int) -> dict[str, Any]:
        """What libpq is given: files are read now, since a secret may have been rotated.

        Args:
            seconds: for each host to answer in.

        Raises:
            SerinusError: ``SRN-PRIVACY-002`` the password's file cannot be read.
        """
        made = {
            "connect_timeout": seconds,
            "target_session_attrs": "read-write",  # of several hosts the one that takes writes
            "application_name": "serinus",
            **self._given,
        }
        password = self._password()
        if password:
            made["password"] = password
        return made

    def _password(self) -> str | None:
        given, file = self._environment.get(PASSWORD), self._environment.get(PASSWORD_FILE)
        if given or not file:
            return given or None
        try:
            return Path(file).read_text(encoding="utf-8").splitlines()[0].strip()
        except (OSError, IndexError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is empty or no text"
            raise SerinusError(
                "SRN-PRIVACY-002",
                f"the file of the key store's password cannot be read ({why})",
                where=file,
                hint=f"Mount the secret where {PASSWORD_FILE} says, readable for this program.",
            ) from error

    def unusable(self, error: Exception) -> SerinusError:
        """``SRN-PRIVACY-002`` for an error, with what to do about the commonest causes."""
        said = " ".join(str(error).split()) or type(error).__name__
        hint = next((hint for words, hint in self._causes() if any(word in said for word in words)), _HINT)
        return SerinusError(
            "SRN-PRIVACY-002",
            f"the store of subject keys cannot be used ({said})",
            where=self.where,
            hint=hint,
        )

    def _causes(self) -> tuple[tuple[tuple[str, ...], str], ...]:
        # libpq and the server tell these apart by words alone, and a server that speaks another language gets
        # the general hint.
        environment, root = self._environment, self._given.get("sslrootcert")
        password = (
            PASSWORD if environment.get(PASSWORD)
            else f"the file {environment[PASSWORD_FILE]}" if environment.get(PASSWORD_FILE)
            else f"the file that {PASSWORD_FILE} names"
        )  # fmt: skip
        return (
            (
                ("password authentication failed", "no password supplied"),
                f"Mend the password in {password}, or the role in SERINUS_SUBJECT_KEYS; it is read anew at each "
                "connection.",
            ),
            (
                ("certificate verify failed", "does not match host name", "root certificate file"),
                "The server has to show a certificate for the very host that SERINUS_SUBJECT_KEYS names, by an "
                f"authority in {root}: {CA} names the file (docs/privacy.md).",
            ),
            (
                ("requires a valid client certificate", "tlsv1 alert", "tlsv13 alert", "ssl/tls alert",
                 "certificate authentication failed"),
                f"The server wants a certificate of this program that it trusts and that names the role: give it "
                f"with {CERT} and {KEY}.",
            ),
            (
                ("no encryption", "does not support SSL"),
                "Server and URL disagree about TLS: see sslmode in SERINUS_SUBJECT_KEYS and the server's ssl and "
                "pg_hba.conf.",
            ),
            (
                ("session is read-only", "cannot execute", "in recovery"),
                "None of the hosts that SERINUS_SUBJECT_KEYS names takes writes: promote the standby, or name the "
                "primary. What was begun is finished then.",
            ),
            (
                ("too many clients", "too many connections", "connection slots"),
                "Raise the server's max_connections or the role's CONNECTION LIMIT: a scorer needs two, a command "
                "one. What was begun is finished then.",
            ),
        )  # fmt: skip


_HINT = (
    "Mend the server, the way to it or the role's rights, and repeat; what was begun is finished then. "
    "After restoring it from a backup run `serinus privacy status --mend`."
)
