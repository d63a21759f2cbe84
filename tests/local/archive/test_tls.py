"""The archive over TLS: real handshakes between a pod's sender and it, with right and wrong certificates."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from serinus.home import Home
from serinus.tls import CA, CERT, KEY, client_context
from tests.local.scorer.kafka.archive import ArchiveProcess
from tests.local.scorer.load import until
from tests.local.scorer.process import ROOT
from tests.support.certs import Authority
from tests.unit.archive.logs import chain, content

pytestmark = pytest.mark.local

LINES = chain(300)
Pair = tuple[Path, Path]
Wrong = Callable[[Authority, Authority], tuple[dict[str, str], Pair]]


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def pod(tmp_path: Path) -> Path:
    """A pod's log."""
    logs = tmp_path / "pod"
    logs.mkdir()
    (logs / "m-pod.jsonl").write_bytes(b"".join(line + b"\n" for line in LINES))
    return logs


def served(pair: Pair, client_ca: Path | None = None) -> tuple[str, ...]:
    more = () if client_ca is None else ("--tls-client-ca", str(client_ca))
    return ("--tls-cert", str(pair[0]), "--tls-key", str(pair[1]), *more)


def knows(authority: Authority | None, pair: Pair | None = None) -> dict[str, str]:
    """The environment of who trusts that authority and shows that certificate."""
    found = {} if authority is None else {CA: str(authority.ca)}
    return found if pair is None else {**found, CERT: str(pair[0]), KEY: str(pair[1])}


@contextmanager
def sender(pod: Path, url: str, environment: dict[str, str]) -> Generator[Path]:
    """The pod's sender, and what it tells."""
    told = pod.parent / "sender.log"
    told.write_bytes(b"")
    command = [sys.executable, "-m", "serving.outcomes.ship", "--archive", url, "--logs", str(pod)]
    command += ["--decisions", "m-*.jsonl", "--feedback", "m-*.feedback.jsonl"]
    command += ["--state", str(pod / "state" / "places.json"), "--every", "20ms"]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SERINUS_TLS")}
    with told.open("ab") as errors:
        process = subprocess.Popen(command, cwd=ROOT, env=clean | environment, stderr=errors)
        try:
            yield told
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait(20)


@pytest.mark.parametrize("mutual", [False, True], ids=["tls", "mtls"])
def test_a_pods_log_arrives_over_tls_and_a_rotated_certificate_is_served(
    tmp_path: Path, ours: Authority, pod: Path, mutual: bool
) -> None:
    home, pair = Home(tmp_path / "home"), ours.sign("archive")
    mine = ours.sign("pod", client=True) if mutual else None
    with ArchiveProcess(home.root, *served(pair, ours.ca if mutual else None)) as archive:
        url = f"https://127.0.0.1:{archive.port}"
        with sender(pod, url, knows(ours, mine)):
            until(lambda: content(home.decisions, "m-pod") == LINES, 60)
            fresh = ours.sign("later")
            for target, source in zip(pair, fresh, strict=True):
                shutil.copy(source, f"{target}.new")
                os.replace(f"{target}.new", target)
            more = chain(400)
            with (pod / "m-pod.jsonl").open("ab") as log:
                log.write(b"".join(line + b"\n" for line in more[len(LINES) :]))
            until(lambda: content(home.decisions, "m-pod") == more, 60)
        with pytest.raises(OSError, match=r"(?i)reset|closed|disconnect|refused|end"):
            urllib.request.urlopen(f"http://127.0.0.1:{archive.port}/health/live", timeout=10)
        assert archive.end() == 0


def without(ours: Authority, other: Authority) -> tuple[dict[str, str], Pair]:
    return knows(ours), ours.sign("archive")


def of_another_authority(ours: Authority, other: Authority) -> tuple[dict[str, str], Pair]:
    return knows(ours, other.sign("stranger", client=True)), ours.sign("archive")


def expired(ours: Authority, other: Authority) -> tuple[dict[str, str], Pair]:
    return knows(ours, ours.sign("old", client=True, days=-1)), ours.sign("archive")


def a_server_of_another_authority(ours: Authority, other: Authority) -> tuple[dict[str, str], Pair]:
    return knows(ours, ours.sign("pod", client=True)), other.sign("archive")


def a_server_of_another_name(ours: Authority, other: Authority) -> tuple[dict[str, str], Pair]:
    return knows(ours, ours.sign("pod", client=True)), ours.sign("archive", names=("elsewhere.example",))


def a_server_past_its_date(ours: Authority, other: Authority) -> tuple[dict[str, str], Pair]:
    return knows(ours, ours.sign("pod", client=True)), ours.sign("archive", days=-1)


@pytest.mark.parametrize(
    "wrong",
    [
        without,
        of_another_authority,
        expired,
        a_server_of_another_authority,
        a_server_of_another_name,
        a_server_past_its_date,
    ],
)
def test_with_wrong_certificates_nothing_is_kept_and_nothing_is_lost(
    tmp_path: Path, ours: Authority, pod: Path, wrong: Wrong
) -> None:

    environment, pair = wrong(ours, Authority(tmp_path, "other"))
    home = Home(tmp_path / "home")
    with ArchiveProcess(home.root, *served(pair, ours.ca)) as archive:
        port = archive.port
        with sender(pod, f"https://127.0.0.1:{port}", environment) as told:
            until(lambda: told.read_text().count("nothing could be sent") >= 2, 60)
        assert content(home.decisions, "m-pod") == []
    with ArchiveProcess(home.root, "--port", str(port), *served(ours.sign("good"), ours.ca)):
        right = knows(ours, ours.sign("right", client=True))
        with sender(pod, f"https://127.0.0.1:{port}", right):
            until(lambda: content(home.decisions, "m-pod") == LINES, 60)


def test_who_began_a_handshake_and_never_ends_it_keeps_nobody_out(tmp_path: Path, ours: Authority) -> None:
    with ArchiveProcess(tmp_path / "home", *served(ours.sign("archive"))) as archive:
        stuck = [socket.create_connection(("127.0.0.1", archive.port), 60) for _ in range(40)]
        for one in stuck[:20]:
            one.sendall(b"\x16\x03\x01")
        context: ssl.SSLContext = client_context(knows(ours))
        request = urllib.request.Request(
            f"https://127.0.0.1:{archive.port}/decisions?log=m-pod", data=b"\n".join(LINES), method="POST"
        )
        with urllib.request.urlopen(request, timeout=60, context=context) as answer:
            assert answer.status == 200
        for one in stuck:
            one.close()
