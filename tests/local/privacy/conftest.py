"""The same store twice: a file, and a real PostgreSQL that can be killed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from serinus.home import Home
from serinus.privacy import KeyStore, MasterKey, open_store
from tests.support.postgres import PostgresServer, need_postgres


class Place:
    """Where the keys of one installation lie."""

    def __init__(self, home: Home, server: PostgresServer | None) -> None:
        self.home = home
        self.server = server
        self.environment = {} if server is None else {"SERINUS_SUBJECT_KEYS": server.url}
        self._opened: list[KeyStore] = []
        if server is not None:
            MasterKey.create(self.master)

    @property
    def master(self) -> Path:
        return self.home.root / "privacy" / "master.key"

    def open(self, *, at_once: bool = False) -> KeyStore:
        store = open_store(self.home, self.environment, create=True, at_once=at_once)
        self._opened.append(store)
        return store

    def close(self) -> None:
        for store in self._opened:
            store.close()
        self._opened.clear()

    def crash(self) -> None:
        """The server dies and comes again; of a file there is no server."""
        if self.server is not None:
            self.server.kill()
            self.server.start()

    def backup(self) -> Callable[[], None]:
        """Take one; what is returned puts it back."""
        self.close()
        if self.server is not None:
            server, taken = self.server, self.server.backup()
            return lambda: server.restore(taken)
        kept = self.home.root / "backup.db"
        file = self.home.root / "privacy" / "keys.db"
        shutil.copy(file, kept)

        def restore() -> None:
            self.close()
            for path in file.parent.glob("keys.db*"):
                path.unlink()
            shutil.copy(kept, file)

        return restore


@pytest.fixture(autouse=True)
def slow_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever everybody waits for waits longer: a busy machine is not a server that is away.

    Of a lock's wait the server tells after four fifths of it; its word has to come before the end.
    """
    monkeypatch.setattr("serinus.privacy.postgres._AT_ONCE", 4.0)
    monkeypatch.setattr("serinus.privacy.postgres._CONNECT_AT_ONCE", 20)
    monkeypatch.setattr("serinus.privacy.postgres._CONNECT_PATIENT", 20)
    monkeypatch.setattr("serinus.privacy.sqlite._TIMEOUT", 60.0)


@pytest.fixture(scope="session")
def postgres() -> Generator[PostgresServer]:
    need_postgres()
    with PostgresServer() as server:
        yield server


@pytest.fixture
def cluster(tmp_path: Path, postgres: PostgresServer) -> Generator[Place]:
    """Keys in PostgreSQL."""
    postgres.empty()
    place = Place(Home(tmp_path / "home"), postgres)
    yield place
    place.close()


@pytest.fixture(params=["file", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Place]:
    """Keys in each kind of store."""
    if request.param == "postgres":
        yield request.getfixturevalue("cluster")
        return
    place = Place(Home(tmp_path / "home"), None)
    yield place
    place.close()
