"""The URL of a key store's server: what is refused before anything is sent, and that no password is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from serinus.errors import SerinusError
from serinus.home import Home
from serinus.privacy import MasterKey, find_keys, open_store, store_path

FAR = "postgresql://scorer:hunter2@203.0.113.9:5433/keys"


def failing(tmp_path: Path, url: str, **environment: str) -> SerinusError:
    MasterKey.create(tmp_path / "privacy" / "master.key")
    with pytest.raises(SerinusError) as caught:
        open_store(Home(tmp_path), {"SERINUS_SUBJECT_KEYS": url, **environment})
    assert "hunter2" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("mode", ["disable", "prefer", "require", "verify-ca"])
def test_beyond_this_machine_the_server_has_to_show_its_certificate(tmp_path: Path, mode: str) -> None:
    error = failing(tmp_path, f"{FAR}?sslmode={mode}", SERINUS_PLAIN_HTTP="refuse")
    assert error.code == "SRN-TLS-003"
    assert mode in error.what


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("postgresql://scorer@/keys?hostaddr=203.0.113.9", "203.0.113.9"),
        ("postgresql://scorer@localhost/keys?hostaddr=203.0.113.9", "203.0.113.9"),
        ("postgresql://scorer@127.0.0.1,203.0.113.9/keys", "203.0.113.9"),
        ("postgresql://scorer@/keys?service=far", "service far"),
    ],
)
def test_however_it_is_named_it_is_beyond_this_machine(tmp_path: Path, url: str, named: str) -> None:
    between = "&" if "?" in url else "?"
    error = failing(tmp_path, f"{url}{between}sslmode=prefer", SERINUS_PLAIN_HTTP="refuse")
    assert (error.code, error.where) == ("SRN-TLS-003", named)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://scorer:hunter2@db:port/keys",
        "postgresql://scorer:hunt/er2hunter2@db/keys",
        "postgresql://scorer@db/keys?no_such=hunter2",
    ],
)
def test_what_is_no_url_is_told_without_quoting_it(tmp_path: Path, url: str) -> None:
    error = failing(tmp_path, url, SERINUS_PLAIN_HTTP="refuse")
    assert error.code == "SRN-PRIVACY-002"
    assert "is no URL of PostgreSQL" in error.what


@pytest.mark.parametrize(
    "place",
    [
        "host=db.bank user=scorer password=hunter2 dbname=keys",
        "port = 5432 password = hunter2",
        "postgresql+psycopg://scorer:hunter2@db/keys",
    ],
)
def test_what_another_program_takes_for_a_server_makes_no_file_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.chdir(tmp_path)
    given = {"SERINUS_SUBJECT_KEYS": place}
    with pytest.raises(SerinusError, match="SRN-PRIVACY-002.*SERINUS_SUBJECT_KEYS is neither") as caught:
        open_store(Home(tmp_path), given, create=True)
    assert "hunter2" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("SERINUS_SUBJECT_KEYS", place)
    with pytest.raises(SerinusError, match="SRN-PRIVACY-002"):
        find_keys(Home(tmp_path)).erased_after("")


@pytest.mark.parametrize("name", ["keys.db", "user=ann/keys.db", "a key store.db", "passwords.db"])
def test_a_file_may_have_any_other_name(tmp_path: Path, name: str) -> None:
    assert store_path(Home(tmp_path), {"SERINUS_SUBJECT_KEYS": f"{tmp_path}/{name}"}) == tmp_path / name


def test_a_server_that_is_not_there_is_named_without_its_password(tmp_path: Path) -> None:
    error = failing(tmp_path, "postgresql://scorer:hunter2@127.0.0.1:1/keys")
    assert (error.code, error.where) == ("SRN-PRIVACY-002", "postgresql://scorer@127.0.0.1:1/keys")


@pytest.mark.parametrize(
    ("hosts", "shown"),
    [
        ("127.0.0.1:1,127.0.0.1:2", "127.0.0.1:1,127.0.0.1:2"),
        ("127.0.0.1,127.0.0.1:2", "127.0.0.1,127.0.0.1:2"),
    ],
)
def test_each_host_is_named_with_its_port(tmp_path: Path, hosts: str, shown: str) -> None:
    error = failing(tmp_path, f"postgresql://scorer:hunter2@{hosts}/keys")
    assert (error.code, error.where) == ("SRN-PRIVACY-002", f"postgresql://scorer@{shown}/keys")


@pytest.mark.parametrize("text", ["", None])
def test_a_password_file_that_holds_none_is_told(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "password"
    if text is not None:
        file.write_text(text)
    error = failing(
        tmp_path, "postgresql://scorer@127.0.0.1:1/keys", SERINUS_SUBJECT_KEYS_PASSWORD_FILE=str(file)
    )
    assert (error.code, error.where) == ("SRN-PRIVACY-002", str(file))
