"""Keys of persons in PostgreSQL, for scorers on several nodes.

One connection for each engine, which comes back by itself: a scorer has two, a command one. The tables
stand in a schema of their own, ``serinus_privacy``.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict

from serinus.errors import SerinusError
from serinus.privacy.server import PASSWORD_FILE, Server
from serinus.privacy.store import Run

T = TypeVar("T")
SCHEMA = "serinus_privacy"
_LOCK = 0x5E1215  # of this program in the database: what destroys or adds keys comes in turn
_AT_ONCE, _PATIENT = 0.25, 10.0
_CONNECT_AT_ONCE, _CONNECT_PATIENT = 2, 5  # seconds for each host; libpq knows whole ones, from 2 on
_ABANDONED = (
    30  # seconds after which a transaction is the server's to end: a node that was lost says no good-bye
)
_TABLES = (
    "CREATE TABLE meta (name text PRIMARY KEY, value bytea NOT NULL)",
    "CREATE TABLE kinds (kind text PRIMARY KEY)",
    "CREATE TABLE keys (id text PRIMARY KEY, mark bytea NOT NULL, wrapped bytea NOT NULL, created text NOT NULL)",
    "CREATE INDEX by_mark ON keys (mark)",
    "CREATE TABLE erased (seq bigint PRIMARY KEY, key text NOT NULL UNIQUE, mark bytea NOT NULL, "
    "at text NOT NULL, token text NOT NULL)",
    "CREATE INDEX erased_by_mark ON erased (mark)",
    "CREATE TABLE unfinished (mark bytea PRIMARY KEY, id text NOT NULL, began text NOT NULL)",
    "CREATE TABLE holds (mark bytea PRIMARY KEY, since text NOT NULL, by text NOT NULL, reason text NOT NULL)",
)


class _Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection whose server has to answer within ``deadline`` seconds: a dead one may hold its peace."""

    deadline = _PATIENT

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        try:
            return super().wait(gen, interval, self.deadline if timeout is None else timeout)
        except psycopg.OperationalError:
            # What still wants to be sent would say so on standard error, when it is collected.
            with suppress(psycopg.Error, RuntimeError):
                gen.close()
            raise


class _Statements:
    def __init__(self, connection: _Connection) -> None:
        self._cursor = connection.cursor()

    def __call__(self, query: str, values: Sequence[object] = (), /) -> list[tuple[Any, ...]]:
        self._cursor.execute(_theirs(query), values)
        return self._cursor.fetchall() if self._cursor.description else []

    def many(self, query: str, rows: Sequence[Sequence[object]], /) -> None:
        try:
            self._cursor.executemany(_theirs(query), rows)
        except psycopg.OperationalError as error:
            # Sent in one go, and not to be ended in the middle: that it cannot be says nothing of why it had to.
            cause = error.__context__
            raise (cause if isinstance(cause, psycopg.Error) else error) from None


class PostgresEngine:
    """See ``Engine``.

    Args:
        url: ``postgresql://user@host:5432/database``, as libpq reads it; several hosts are tried in turn.
            Beyond this machine ``sslmode`` is ``verify-full`` unless the URL or ``PGSSLMODE`` says otherwise,
            by the authority in ``SERINUS_TLS_CA`` or those of the system; ``SERINUS_TLS_CERT`` and
            ``SERINUS_TLS_KEY`` are what the server is shown.
        environment: has the password, in ``SERINUS_SUBJECT_KEYS_PASSWORD`` or the file that
            ``SERINUS_SUBJECT_KEYS_PASSWORD_FILE`` names, which is read at each connection.
        create: make the tables where there are none.
        at_once: see ``open_store``.

    Raises:
        SerinusError: ``SRN-PRIVACY-002`` the URL is none, the server cannot be asked, or there are no tables;
            ``-010`` it may lose what it confirmed; ``SRN-TLS-002``, ``-003`` see ``Server``.
    """

    def __init__(
        self, url: str, environment: Mapping[str, str], *, create: bool = False, at_once: bool = False
    ) -> None:
        try:
            given = conninfo_to_dict(url)
            # A password with a slash in it makes a port and a database of its parts.
            for port in str(given.get("port") or "").split(","):
                int(port or 5432)
        except (psycopg.Error, ValueError):
            # The library would quote it, with the password if that is what is wrong.
            raise SerinusError(
                "SRN-PRIVACY-002",
                "SERINUS_SUBJECT_KEYS is no URL of PostgreSQL",
                where="SERINUS_SUBJECT_KEYS",
                hint="Give postgresql://user@host:5432/database?sslmode=verify-full, special characters as %XX, and "
                f"the password apart, in the file that {PASSWORD_FILE} names.",
            ) from None
        self._server = Server(given, environment)
        self._at_once = at_once
        self.session = 0
        self._connection: _Connection | None = None
        self._lock = threading.Lock()  # of the connection, while it is used
        self._connecting = threading.Lock()
        self.refresh()
        self._make_tables(create)

    @property
    def where(self) -> str:
        """See ``Engine``."""
        return self._server.where

    # --- the connection ----------------------------------------------------

    def refresh(self) -> None:
        """See ``Engine``."""
        with self._connecting:
            if self._connection is not None:
                try:
                    self._asked("SELECT 1", ())
                    return
                except psycopg.Error:
                    pass  # it was let go of
            try:
                fresh = self._connect()
            except psycopg.Error as error:
                raise self.unusable(error) from error
            with self._lock:
                self._connection = fresh
                self.session += 1

    def _connect(self) -> _Connection:
        seconds = _CONNECT_AT_ONCE if self._at_once else _CONNECT_PATIENT
        given = self._server.parameters(seconds=seconds)
        connection = _Connection.connect(autocommit=True, **given)
        try:
            return self._prepared(connection)
        except BaseException:
            connection.close()
            raise

    def _prepared(self, connection: _Connection) -> _Connection:
        connection.deadline = _AT_ONCE if self._at_once else _PATIENT
        row = connection.execute(
            "SELECT set_config('search_path', %s, false), set_config('lock_timeout', %s, false), "
            "current_setting('fsync'), current_setting('synchronous_commit'), "
            "set_config('idle_in_transaction_session_timeout', %s, false)",
            (
                SCHEMA,
                f"{int(connection.deadline * 800)}ms",
                f"{_ABANDONED}s",
            ),  # the server's word comes first
        ).fetchone()
        assert row is not None
        if row[2] != "on":
            raise SerinusError(
                "SRN-PRIVACY-010",
                "this PostgreSQL may lose what it confirmed (fsync is off), so a key might not outlive what it seals",
                where=self.where,
                hint="Set fsync = on in its configuration, or name another server; nothing was written.",
            )
        if row[3] == "off":  # of the role or the database; what waits for more than this server's disk stays
            connection.execute("SET synchronous_commit TO on")
        return connection

    def _asked(self, query: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        with self._lock, self._letting_go() as connection:
            return _Statements(connection)(query, values)

    @contextmanager
    def _letting_go(self) -> Generator[_Connection]:
        """The connection; after an error that may be its own it is not used again."""
        connection = self._connection
        if connection is None or connection.closed:
            self._connection = None
            raise psycopg.OperationalError("the connection was lost")
        try:
            yield connection
        except BaseException as error:
            if connection.closed or isinstance(error, psycopg.OperationalError):
                connection.close()
                self._connection = None
            raise

    # --- what Engine says --------------------------------------------------

    def read(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """See ``Engine``."""
        try:
            return self._asked(query, values)
        except psycopg.Error as error:
            if self._at_once or self._connection is not None:
                raise self.unusable(error) from error
        self.refresh()
        try:
            return self._asked(query, values)
        except psycopg.Error as error:
            raise self.unusable(error) from error

    @contextmanager
    def transaction(self, *, shared: bool = False) -> Generator[Run]:
        """See ``Engine``."""
        kind = "_shared" if shared else ""
        if not self._at_once:
            self.refresh()
        with ExitStack() as stack:
            stack.enter_context(self._lock)
            try:
                with self._letting_go() as connection, connection.transaction():
                    run = _Statements(connection)
                    run(f"SELECT pg_advisory_xact_lock{kind}(?)", (_LOCK,))
                    yield run
            except psycopg.Error as error:
                raise self.unusable(error) from error

    def cut(self) -> None:
        """Nothing: what a server keeps of old rows and in its log is its own affair (docs/privacy.md)."""

    def close(self) -> None:
        """See ``Engine``."""
        if self._connection is not None:
            self._connection.close()

    def unusable(self, error: Exception) -> SerinusError:
        """See ``Engine``."""
        return self._server.unusable(error)

    def _make_tables(self, create: bool) -> None:
        there = "SELECT to_regclass(?) IS NOT NULL"
        if self.read(there, (f"{SCHEMA}.meta",)) == [(True,)]:
            return
        if not create:
            raise SerinusError(
                "SRN-PRIVACY-002",
                "there is no store of subject keys in this database",
                where=self.where,
                hint="A scorer whose contract names a privacy.subject makes one.",
            )
        try:
            with self.transaction() as run:
                if run(there, (f"{SCHEMA}.meta",)) == [(True,)]:
                    return
                if run("SELECT to_regnamespace(?) IS NULL", (SCHEMA,)) == [(True,)]:
                    run(f"CREATE SCHEMA {SCHEMA}")
                for statement in _TABLES:
                    run(statement)
        except SerinusError as error:
            raise SerinusError(
                error.code,
                error.what,
                where=error.where,
                hint=f"The first to open it makes its tables; let an administrator run once: CREATE SCHEMA {SCHEMA} "
                "AUTHORIZATION <role>.",
            ) from error


def _theirs(query: str) -> bytes:
    return query.replace("?", "%s").encode()
