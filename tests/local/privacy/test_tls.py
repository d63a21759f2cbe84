"""A PostgreSQL beyond this machine, by real handshakes: who it has to be, who asks it, and with which password.

``hostaddr`` brings a name that is not this machine's to a server that is.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import NamedTuple

import pytest

from serinus.cli import main
from serinus.errors import SerinusError
from serinus.home import Home
from serinus.privacy import KeyStore, MasterKey, open_store
from tests.local.scorer.load import until
from tests.local.scorer.process import ROOT
from tests.support.bundles import small_home
from tests.support.certs import Authority
from tests.support.entities import cards, cards_bundle
from tests.support.ports import free_port
from tests.support.postgres import PostgresServer, need_postgres

pytestmark = pytest.mark.local
NAME = "db.bank.example"
SECRETS = ("first-Pw-48151", "second-Pw-62342", "wrong-Pw-16234")
FIRST, SECOND, WRONG = SECRETS


class Far(NamedTuple):
    """A server that others reach: by TLS only, with a password or a certificate."""

    server: PostgresServer
    ours: Authority
    foreign: Authority

    def environment(
        self, role: str = "scorer", host: str = NAME, query: str = "", **more: str
    ) -> dict[str, str]:
        url = f"postgresql://{role}@{host}:{self.server.port}/keys?hostaddr=127.0.0.1{query}"
        given = {
            "SERINUS_SUBJECT_KEYS": url,
            "SERINUS_TLS_CA": str(self.ours.ca),
            "SERINUS_PLAIN_HTTP": "refuse",
        }
        return {name: value for name, value in (given | more).items() if value}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Far]:
    need_postgres()
    place = tmp_path_factory.mktemp("certs")
    (place / "foreign").mkdir()
    ours, foreign = Authority(place), Authority(place / "foreign")
    hba = ("hostssl all mutual 127.0.0.1/32 cert", "hostssl all scorer 127.0.0.1/32 scram-sha-256")
    server = PostgresServer("ssl=on", "password_encryption=scram-sha-256", port=free_port(), hba=hba)
    cert, key = (server.own(file) for file in ours.sign("server", names=(NAME,)))
    server.options += [f"ssl_cert_file={cert}", f"ssl_key_file={key}", f"ssl_ca_file={server.own(ours.ca)}"]
    with server:
        for role in ("scorer", "mutual"):
            server.sql("keys", f"CREATE ROLE {role} LOGIN PASSWORD '{FIRST}'")
            server.sql("keys", f"GRANT CREATE ON DATABASE keys TO {role}")
        yield Far(server, ours, foreign)


@pytest.fixture
def far(server: Far) -> Far:
    server.server.empty()
    server.server.sql("keys", f"ALTER ROLE scorer PASSWORD '{FIRST}'")
    return server


@pytest.fixture
def opened(tmp_path: Path) -> Generator[Callable[..., KeyStore]]:
    stores: list[KeyStore] = []
    MasterKey.create(tmp_path / "privacy" / "master.key")

    def opened(environment: dict[str, str], **how: bool) -> KeyStore:
        stores.append(open_store(Home(tmp_path), environment, create=True, **how))
        return stores[-1]

    yield opened
    for store in stores:
        store.close()


def shown(store: KeyStore) -> tuple[object, ...]:
    """Whether the connection is by TLS, and who showed what certificate."""
    query = "SELECT ssl, client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    return store.engine.read(query)[0]


def test_the_right_authority_and_name_are_trusted(far: Far, opened: Callable[..., KeyStore]) -> None:
    store = opened(far.environment(SERINUS_SUBJECT_KEYS_PASSWORD=FIRST))
    assert shown(store) == (True, None)
    assert store.counts() == (0, 0)


@pytest.mark.parametrize(
    ("given", "said", "advice"),
    [
        ({"SERINUS_TLS_CA": "foreign"}, "certificate verify failed", "SERINUS_TLS_CA"),
        ({"SERINUS_TLS_CA": ""}, "certificate verify failed", "authority in system"),
        ({"SERINUS_TLS_CA": "/no/such.pem"}, "/no/such.pem", "SERINUS_TLS_CA"),
        ({"host": "other.bank.example"}, "does not match host name", "the very host"),
        ({"query": "&sslmode=disable", "SERINUS_PLAIN_HTTP": "allow"}, "no encryption", "sslmode"),
    ],
)
def test_another_server_is_not_told_a_password(
    far: Far, opened: Callable[..., KeyStore], given: dict[str, str], said: str, advice: str
) -> None:
    if given.get("SERINUS_TLS_CA") == "foreign":
        given = {"SERINUS_TLS_CA": str(far.foreign.ca)}
    with pytest.raises(SerinusError) as caught:
        opened(far.environment(**given, SERINUS_SUBJECT_KEYS_PASSWORD=FIRST))
    error = caught.value
    assert (error.code, said in error.what, advice in error.hint) == ("SRN-PRIVACY-002", True, True), str(
        error
    )
    assert "postgresql://scorer@" in error.where


def test_less_than_a_verified_server_is_refused_before_it_is_asked(
    far: Far, opened: Callable[..., KeyStore]
) -> None:
    for mode in ("disable", "prefer", "require", "verify-ca"):
        with pytest.raises(SerinusError, match=f"SRN-TLS-003.*sslmode={mode}"):
            opened(far.environment(query=f"&sslmode={mode}", SERINUS_SUBJECT_KEYS_PASSWORD=FIRST))


@pytest.mark.parametrize("files", ["two", "one"])
def test_a_client_certificate_is_shown(
    far: Far, opened: Callable[..., KeyStore], tmp_path: Path, files: str
) -> None:
    cert, key = far.ours.sign("mutual", client=True)
    given = {"SERINUS_TLS_CERT": str(cert), "SERINUS_TLS_KEY": str(key)}
    key.chmod(0o600)
    if files == "one":
        both = tmp_path / "both.pem"
        both.touch(0o600)
        both.write_bytes(cert.read_bytes() + key.read_bytes())
        given = {"SERINUS_TLS_CERT": str(both)}
    assert shown(opened(far.environment("mutual", **given))) == (True, "/CN=mutual")


@pytest.mark.parametrize("whose", ["nobody", "foreign", "another"])
def test_a_client_certificate_that_does_not_count_is_told(
    far: Far, opened: Callable[..., KeyStore], whose: str
) -> None:
    given = dict[str, str]()
    if whose != "nobody":
        authority, name = (far.foreign, "mutual") if whose == "foreign" else (far.ours, "eve")
        cert, key = authority.sign(name, client=True)
        key.chmod(0o600)
        given = {"SERINUS_TLS_CERT": str(cert), "SERINUS_TLS_KEY": str(key)}
    with pytest.raises(SerinusError, match="SRN-PRIVACY-002") as caught:
        opened(far.environment("mutual", **given))
    assert "SERINUS_TLS_CERT" in caught.value.hint, str(caught.value)


def test_a_key_without_its_certificate_shows_nothing(far: Far, opened: Callable[..., KeyStore]) -> None:
    with pytest.raises(SerinusError, match="SRN-TLS-002"):
        opened(far.environment("mutual", SERINUS_TLS_KEY="/a.key"))


def kubernetes_secret(directory: Path) -> Callable[[str], Path]:
    """Mounts a password as kubelet does: the whole directory behind one link, which is exchanged."""
    directory.mkdir()
    (directory / "password").symlink_to("..data/password")

    def mount(password: str) -> Path:
        version = directory / f"..{password}"
        version.mkdir()
        (version / "password").write_text(password)
        (directory / "..new").symlink_to(version.name)
        (directory / "..new").rename(directory / "..data")
        return directory / "password"

    return mount


def test_a_rotated_password_is_taken_at_the_next_connection(
    far: Far, opened: Callable[..., KeyStore], tmp_path: Path
) -> None:
    mount = kubernetes_secret(tmp_path / "secret")
    environment = far.environment(SERINUS_SUBJECT_KEYS_PASSWORD_FILE=str(mount(FIRST)))
    stores = opened(environment), opened(environment, at_once=True)
    far.server.sql("keys", f"ALTER ROLE scorer PASSWORD '{SECOND}'")
    assert [store.counts() for store in stores] == [(0, 0)] * 2, "who is in stays in"
    sessions = "FROM pg_stat_activity WHERE usename = 'scorer'"
    far.server.sql("keys", f"SELECT pg_terminate_backend(pid) {sessions}")
    until(lambda: far.server.sql("keys", f"SELECT 1 {sessions}") == [])  # they were only told to end
    for store in stores:
        with pytest.raises(SerinusError) as caught:
            store.engine.refresh()
        error = caught.value
        assert (error.code, "password authentication failed" in error.what) == ("SRN-PRIVACY-002", True)
        assert environment["SERINUS_SUBJECT_KEYS_PASSWORD_FILE"] in error.hint
        assert not any(secret in str(error) + repr(error) for secret in SECRETS)
    mount(SECOND)
    for store in stores:
        store.engine.refresh()
        assert store.counts() == (0, 0)


def test_libpqs_own_password_file_does_too(
    far: Far, opened: Callable[..., KeyStore], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "pgpass"
    file.touch(0o600)
    file.write_text(f"{NAME}:*:keys:scorer:{FIRST}\n")
    monkeypatch.setenv("PGPASSFILE", str(file))
    assert shown(opened(far.environment()))[0] is True


@pytest.mark.parametrize("where", ["url", "variable", "file", "nowhere"])
def test_a_wrong_password_is_told_and_not_shown(
    far: Far, tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    given = dict[str, str]()
    if where == "variable":
        given = {"SERINUS_SUBJECT_KEYS_PASSWORD": WRONG}
    elif where == "file":
        (tmp_path / "password").write_text(f"{WRONG}\n")
        given = {"SERINUS_SUBJECT_KEYS_PASSWORD_FILE": str(tmp_path / "password")}
    MasterKey.create(tmp_path / "privacy" / "master.key")
    role = f"scorer:{WRONG}" if where == "url" else "scorer"
    for name, value in far.environment(role, **given).items():
        monkeypatch.setenv(name, value)
    for output in ("text", "json"):
        assert main(["privacy", "status", "--home", str(tmp_path), "--output", output]) != 0
        out, err = capfd.readouterr()
        assert ("SRN-PRIVACY-002" in out + err, WRONG in out + err) == (True, False)
        assert ("no password supplied" if where == "nowhere" else "authentication failed") in out + err


def test_a_scorer_with_a_wrong_password_does_not_start_and_tells_it_nobody(far: Far, tmp_path: Path) -> None:
    bundle = cards_bundle(tmp_path, cards(privacy={"subject": "card"}))
    home = small_home(tmp_path)
    (tmp_path / "password").write_text(WRONG)
    master = tmp_path / "master.key"
    MasterKey.create(master)
    given = {
        "SERINUS_MASTER_KEY": str(master),
        "SERINUS_SUBJECT_KEYS_PASSWORD_FILE": str(tmp_path / "password"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "serving.scorer", "--bundle", str(bundle.path), "--home", str(home.root), "--port", "0"],
        env={**os.environ, **far.environment(**given)}, cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode != 0
    assert "SRN-PRIVACY-002" in done.stderr
    assert "password authentication failed" in done.stderr
    written = b"".join(path.read_bytes() for path in home.root.rglob("*") if path.is_file())
    assert WRONG not in done.stdout + done.stderr
    assert WRONG.encode() not in written
