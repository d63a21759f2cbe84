"""The init container's program: it ends with 0 only over a bundle that a scorer then serves."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from serinus.bundle import Bundle, push_bundle
from serinus.storage import open_store
from tests.local.scorer.process import ROOT, Connection, ScorerProcess
from tests.support.bundles import small_bundle, small_home, small_records
from tests.support.s3 import S3Server

pytestmark = pytest.mark.local


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[S3Server]:
    with S3Server(tmp_path_factory.mktemp("s3")) as server:
        server.bucket("models")
        yield server


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def bundle(home: Path) -> Bundle:
    return small_bundle(home)


@pytest.fixture
def keys(home: Path) -> Path:
    return small_home(home).keys


@pytest.fixture
def uri(bundle: Bundle, server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    return push_bundle(bundle, open_store("s3://models/bundles")).uri


def start(*flags: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "serving.scorer.fetch", *flags],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(*flags: str, **environment: str) -> tuple[int, str, str]:
    process = start(*flags, **environment)
    out, error = process.communicate(timeout=120)
    return process.returncode, out, error


def test_a_pod_is_told_by_its_environment_and_its_scorer_answers(
    bundle: Bundle, keys: Path, uri: str, tmp_path: Path
) -> None:
    told = {
        "SERINUS_BUNDLE_URI": uri,
        "SERINUS_BUNDLE_DIGEST": bundle.digest,
        "SERINUS_BUNDLE_DIR": str(tmp_path / "mnt"),
        "SERINUS_KEYS": str(keys),
    }
    code, out, error = run("--output", "json", **told)
    assert code == 0, error
    assert json.loads(out)["digest"] == bundle.digest
    assert json.loads(out)["received"] > 1000
    (tmp_path / "mnt").chmod(0o555)
    with ScorerProcess(
        tmp_path / "mnt", tmp_path / "no-home", "--log", "none", env={"SERINUS_KEYS": str(keys)}
    ) as scorer:
        status, _, answer = Connection(scorer.port).post(
            "/api/v1.0/predictions", json.dumps({"jsonData": {"records": small_records(1)}}).encode()
        )
    assert status == 200, answer
    code, out, _ = run("--output", "json", **told)
    assert (code, json.loads(out)["received"]) == (0, 0), "a container that is started again fetches nothing"


def test_a_volume_needs_no_digest(bundle: Bundle, keys: Path, tmp_path: Path) -> None:
    to = tmp_path / "mnt"
    code, _, error = run("--uri", f"file://{bundle.path}", "--to", str(to), "--keys", str(keys))
    assert code == 0
    assert f"{bundle.digest} lies verified in {to}" in error


def test_what_does_not_verify_ends_with_one_line_and_no_bundle(
    bundle: Bundle, keys: Path, uri: str, tmp_path: Path
) -> None:
    (tmp_path / "nobody").mkdir()
    for trusted, digest, code in (
        (keys, "sha256:" + "0" * 64, "SRN-BUNDLE-008"),
        (tmp_path / "nobody", bundle.digest, "SRN-KEY-002"),
    ):
        done, out, error = run(
            "--uri", uri, "--digest", digest, "--to", str(tmp_path / "mnt"), "--keys", str(trusted),
            "--output", "json",
        )  # fmt: skip
        assert done == 1
        assert error.startswith(f"serinus: {code} ")
        assert error.count("\n") == 1
        assert json.loads(out)["error"]["code"] == code
        assert not (tmp_path / "mnt" / "manifest.json").exists()


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--uri", "s3://models/x"], "--digest"),
        (["--uri", "models/x"], "SRN-STORE-001"),
        ([], "--uri"),
        (["--uri", "file:///x", "--timeout", "soon"], "not a duration"),
        (["--uri", "file:///x", "--max-size", "much"], "not a size"),
    ],
)
def test_wrong_usage_ends_with_two(flags: list[str], says: str) -> None:
    code, _, error = run(*flags)
    assert code == 2
    assert says in error


@pytest.fixture
def silent() -> Generator[str]:
    """A server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_silent_store_is_not_waited_for_beyond_the_time_given(
    bundle: Bundle, keys: Path, uri: str, silent: str, tmp_path: Path
) -> None:
    # Five minutes if nothing is given, which is longer than ``run`` waits.
    code, _, error = run(
        "--uri", uri, "--digest", bundle.digest, "--to", str(tmp_path / "mnt"), "--timeout", "2s",
        "--keys", str(keys), AWS_ENDPOINT_URL=silent,
    )  # fmt: skip
    assert code == 1
    assert "SRN-STORE-007" in error


def test_it_ends_when_it_is_told_to_although_the_store_is_silent(
    bundle: Bundle, keys: Path, uri: str, silent: str, tmp_path: Path
) -> None:
    process = start(
        "--uri", uri, "--digest", bundle.digest, "--to", str(tmp_path / "mnt"),
        "--keys", str(keys), AWS_ENDPOINT_URL=silent,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not (tmp_path / "mnt" / ".fetching").exists():  # it is asking for the manifest
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
