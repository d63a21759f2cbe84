"""The S3 adapter against a real S3 protocol server, over a network that breaks."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from pathlib import Path

import obstore
import pytest

from serinus.errors import SerinusError
from serinus.storage import Budget, ObjectStore, download, open_store
from tests.support.s3 import BreakingNetwork, S3Server, names

pytestmark = pytest.mark.local
LARGE = bytes(range(256)) * 40_000  # 10 MB: sent in parts


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[S3Server]:
    with S3Server(tmp_path_factory.mktemp("s3")) as server:
        server.bucket("models")
        yield server


@pytest.fixture
def environment(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    return server.environment()


@pytest.fixture
def store(environment: dict[str, str]) -> ObjectStore:
    return open_store("s3://models/some/where", environment)


@pytest.mark.parametrize("size", [0, 5, len(LARGE)])
def test_what_is_written_is_read(store: ObjectStore, server: S3Server, tmp_path: Path, size: int) -> None:
    (tmp_path / "file").write_bytes(LARGE[:size])
    store.write(f"a/{size}", tmp_path / "file")
    assert f"some/where/a/{size}" in names(server.bucket("models"))
    assert store.size(f"a/{size}") == size
    assert b"".join(store.read(f"a/{size}")) == LARGE[:size]
    if size:
        assert b"".join(store.read(f"a/{size}", size - 3)) == LARGE[size - 3 : size]


def test_a_broken_connection_costs_what_was_lost(
    server: S3Server, environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    obstore.put(server.bucket("models"), "large", LARGE)
    with BreakingNetwork(server.port, after=2_000_000, breaks=3) as network:
        monkeypatch.setenv("AWS_ENDPOINT_URL", network.url)
        store = open_store("s3://models", {**environment, "AWS_ENDPOINT_URL": network.url})
        digest = hashlib.sha256(LARGE).hexdigest()
        received = download(
            store, "large", tmp_path / "x", Budget(60, 1 << 30), size=len(LARGE), sha256=digest
        )
        assert network.broken == 3
    assert received == len(LARGE)
    assert (tmp_path / "x").read_bytes() == LARGE


def test_an_object_or_bucket_that_is_not_there(store: ObjectStore, environment: dict[str, str]) -> None:
    assert store.size("nothing") is None
    with pytest.raises(SerinusError, match="SRN-STORE-002") as caught:
        list(store.read("nothing"))
    assert caught.value.where == "s3://models/some/where/nothing"
    with pytest.raises(SerinusError, match="SRN-STORE-002"):
        open_store("s3://no-such-bucket", environment).write("x", b"x")


def test_an_object_shorter_than_it_should_be(store: ObjectStore, tmp_path: Path) -> None:
    store.write("short", b"12345")
    (tmp_path / "x").write_bytes(b"123456")
    with pytest.raises(SerinusError, match="SRN-STORE-006"):
        download(store, "short", tmp_path / "x", Budget(60, 1 << 30), size=9)


def test_a_store_that_is_away_is_said_to_be(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    store = open_store("s3://models", {**environment, "AWS_ENDPOINT_URL": "http://127.0.0.1:1"})
    with pytest.raises(SerinusError, match="SRN-STORE-004"):
        store.size("x")


def test_settings_that_cannot_be_used_are_named(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("not a certificate")
    for authority in (tmp_path / "ca.pem", tmp_path / "absent.pem"):
        with pytest.raises(SerinusError, match="SRN-STORE-005"):
            open_store("s3://models", {**environment, "AWS_CA_BUNDLE": str(authority)}).size("x")
