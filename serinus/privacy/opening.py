"""Which key store an installation has, and opening it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from serinus.errors import SerinusError
from serinus.home import Home
from serinus.privacy.master import MasterKey
from serinus.privacy.seal import Withheld
from serinus.privacy.sqlite import SqliteEngine
from serinus.privacy.store import Engine, Erased, KeyStore
from serinus.privacy.wrapping import Wrapping

URLS = ("postgresql://", "postgres://")
_KEYWORD = re.compile(
    r"(?:^|\s)(?:host|hostaddr|port|dbname|user|service|passfile|(?:ssl)?password)\s*=", re.I
)


def is_file(address: str) -> bool:
    """Whether a store that is at no URL of ours can be a file.

    Not with another scheme, and not where it is libpq's ``host=… password=…``: as the name of a file the
    password would be shown, and kept.
    """
    return "://" not in address and _KEYWORD.search(address) is None


def store_path(home: Home, environment: Mapping[str, str] | None = None) -> Path:
    """The file of an installation that has one: ``$SERINUS_SUBJECT_KEYS``, else ``<home>/privacy/keys.db``.

    Raises:
        SerinusError: ``SRN-PRIVACY-002`` the variable has neither a file nor a URL of PostgreSQL.
    """
    given = (os.environ if environment is None else environment).get("SERINUS_SUBJECT_KEYS")
    if not given:
        return home.root / "privacy" / "keys.db"
    return _file(given, "SERINUS_SUBJECT_KEYS")


def _file(address: str, named_by: str) -> Path:
    if is_file(address):
        return Path(address)
    raise SerinusError(
        "SRN-PRIVACY-002",
        f"{named_by} is neither the path of a file nor a URL of PostgreSQL",
        where=named_by,
        hint="Give postgresql://user@host:5432/database, and the password apart, in a file (docs/privacy.md).",
    )


def store_url(environment: Mapping[str, str] | None = None) -> str | None:
    """The database server that ``$SERINUS_SUBJECT_KEYS`` names; None where the store is a file."""
    given = (os.environ if environment is None else environment).get("SERINUS_SUBJECT_KEYS", "")
    return given if given.startswith(URLS) else None


def _master_path(home: Home, environment: Mapping[str, str]) -> tuple[Path, bool]:
    given = environment.get("SERINUS_MASTER_KEY")
    return (Path(given), True) if given else (home.root / "privacy" / "master.key", False)


def open_store(
    home: Home,
    environment: Mapping[str, str] | None = None,
    *,
    create: bool = False,
    at_once: bool = False,
) -> KeyStore:
    """The key store of an installation.

    Args:
        create: make it, and its master key beside it unless ``$SERINUS_MASTER_KEY`` names one.
        at_once: for a caller whom everybody waits for: a server that does not answer within a quarter of a
            second has failed, and a connection that was lost comes back by ``Engine.refresh`` alone.

    Raises:
        SerinusError: ``SRN-PRIVACY-001`` no master key; ``-002`` no store, or it cannot be used;
            ``-003`` they do not belong together; ``-010`` the server may lose keys; ``SRN-TLS-003``.
    """
    environment = os.environ if environment is None else environment
    where, given = _master_path(home, environment)
    url = store_url(environment)
    # Beside a server no master key is made: the other nodes could not have it.
    if url is None and not (path := store_path(home, environment)).exists():
        if not create:
            raise SerinusError(
                "SRN-PRIVACY-002",
                "there is no store of subject keys here",
                where=str(path),
                hint="A scorer whose contract names a privacy.subject makes one; name one that is elsewhere with "
                "SERINUS_SUBJECT_KEYS.",
            )
        if not given:
            MasterKey.create(where)
    master = MasterKey.load(where)
    engine = (
        _server(url, environment, create, at_once) if url else SqliteEngine(store_path(home, environment))
    )
    try:
        return _opened(engine, master, where)
    except BaseException:
        engine.close()
        raise


def open_master(home: Home, environment: Mapping[str, str] | None = None) -> MasterKey:
    """The master key of an installation. Raises ``SRN-PRIVACY-001``."""
    return MasterKey.load(_master_path(home, os.environ if environment is None else environment)[0])


def open_target(
    address: str, environment: Mapping[str, str] | None = None, *, password_file: Path | None = None
) -> Engine:
    """The database of a store that is to be copied to, made where there is none.

    Args:
        address: a file, or the URL of a PostgreSQL.
        password_file: of that PostgreSQL; else as ``open_store`` finds it.

    Raises:
        SerinusError: ``SRN-PRIVACY-002`` it cannot be used; ``-010``; ``SRN-TLS-003``.
    """
    if not address.startswith(URLS):
        return SqliteEngine(_file(address, "the target"))
    found = dict(os.environ if environment is None else environment)
    if password_file is not None:
        found |= {
            "SERINUS_SUBJECT_KEYS_PASSWORD": "",
            "SERINUS_SUBJECT_KEYS_PASSWORD_FILE": str(password_file),
        }
    return _server(address, found, create=True, at_once=False)


def _opened(engine: Engine, master: MasterKey, where: Path) -> KeyStore:
    def load() -> MasterKey:
        return MasterKey.load(where)

    try:
        return KeyStore(engine, Wrapping(master, load))
    except SerinusError as error:
        aside = where.with_name(where.name + ".new")
        if error.code != "SRN-PRIVACY-003" or not aside.exists():
            raise
        # A rotation was killed between the store and the file's name.
        store = KeyStore(engine, Wrapping(MasterKey.load(aside), load))
        os.replace(aside, where)
        return store


def _server(url: str, environment: Mapping[str, str], create: bool, at_once: bool) -> Engine:
    try:
        from serinus.privacy.postgres import PostgresEngine
    except ModuleNotFoundError as error:
        raise SerinusError(
            "SRN-CLI-001",
            "keys of persons in PostgreSQL need the Python package psycopg, which is not installed",
            hint="Install the extra that brings it: uv sync --extra postgres, or pip install 'serinus[postgres]'.",
        ) from error
    return PostgresEngine(url, environment, create=create, at_once=at_once)


class FoundKeys:
    """The keys of an installation, opened when the first sealed entry is met; see ``find_keys``."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._store: KeyStore | None = None

    @property
    def opened(self) -> bool:
        """Whether a store was found where one was looked for; else every key is missing, whosesoever."""
        return self._store is not None

    def key(self, key_id: str) -> bytes:
        """See ``Keys.key``. Raises SerinusError too: ``SRN-PRIVACY-002`` a server cannot be asked now."""
        try:
            self._store = self._store or open_store(self._home)
        except SerinusError as error:
            if store_url() is not None and error.code == "SRN-PRIVACY-002":
                raise  # a server that is away says nothing of a key
            raise Withheld(key_id, "no_key", f"it is sealed, and {error.what} ({error.where})") from error
        return self._store.key(key_id)

    def erased_after(self, position: str) -> list[Erased]:
        """Keys destroyed since, in order (see ``KeyStore.erased_after``); none where there is no store yet.

        Raises:
            SerinusError: as ``open_store``, where there is one.
        """
        if self._store is None and store_url() is None and not store_path(self._home).exists():
            return []
        self._store = self._store or open_store(self._home)
        return self._store.erased_after(position)


def find_keys(home: Home) -> FoundKeys:
    """The keys of an installation, looked for when they are needed; without any, a verdict and no error."""
    return FoundKeys(home)
