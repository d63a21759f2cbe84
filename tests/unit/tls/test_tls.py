"""Who is let in and who is not: real handshakes on this machine, with certificates right and wrong."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import urllib.error
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from serinus import http
from serinus.errors import SerinusError
from serinus.tls import (
    CA,
    CERT,
    KEY,
    PLAIN,
    ServerFiles,
    check_plain,
    check_url,
    client_context,
    is_loopback,
    rotating,
    server_files,
)
from tests.support.bundles import small_bundle
from tests.support.certs import Authority

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@contextmanager
def serving(context: ssl.SSLContext) -> Generator[int]:
    """A server that says hello over TLS to whoever is let in."""
    listener = socket.create_server(("127.0.0.1", 0))

    def work() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                client.settimeout(60)
                try:
                    with context.wrap_socket(client, server_side=True) as secure:
                        secure.recv(1)
                        secure.sendall(b"hello")
                except OSError:
                    continue

    threading.Thread(target=work, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def greet(port: int, context: ssl.SSLContext, name: str = "127.0.0.1") -> tuple[bytes, str]:
    """What the server says, and the common name on its certificate. Raises OSError."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=60) as plain,
        context.wrap_socket(plain, server_hostname=name) as secure,
    ):
        secure.sendall(b"?")
        said = secure.recv(5)
        shown = secure.getpeercert()
        assert shown is not None
        return said, dict(x[0] for x in shown["subject"])["commonName"]  # type: ignore[misc]


def let_in(port: int, context: ssl.SSLContext) -> bool:
    """Whether the server says hello. Under TLS 1.3 a client learns of its refusal when it reads."""
    try:
        return greet(port, context)[0] == b"hello"
    except OSError:
        return False


def trusting(authority: Authority, pair: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    environment = {CA: str(authority.ca)}
    if pair is not None:
        environment |= {CERT: str(pair[0]), KEY: str(pair[1])}
    return client_context(environment)


def test_the_right_certificate_is_served_and_believed(ours: Authority) -> None:
    with serving(rotating(ServerFiles(*ours.sign("server")))) as port:
        assert greet(port, trusting(ours)) == (b"hello", "server")
        assert greet(port, trusting(ours), "localhost")[0] == b"hello"


def test_another_authority_is_not_believed(ours: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path, "other")
    with serving(rotating(ServerFiles(*other.sign("server")))) as port:
        with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"):
            greet(port, trusting(ours))
        with pytest.raises(ssl.SSLCertVerificationError):
            greet(port, client_context({}))


def test_an_expired_certificate_is_not(ours: Authority) -> None:
    with (
        serving(rotating(ServerFiles(*ours.sign("server", days=-1)))) as port,
        pytest.raises(ssl.SSLCertVerificationError, match="expired"),
    ):
        greet(port, trusting(ours))


def test_a_certificate_of_another_name_is_not(ours: Authority) -> None:
    with serving(rotating(ServerFiles(*ours.sign("server", names=("elsewhere.example",))))) as port:
        with pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"):
            greet(port, trusting(ours))
        with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
            greet(port, trusting(ours), "localhost")


def test_mutual_tls_lets_in_whom_its_authority_signed_and_nobody_else(
    ours: Authority, tmp_path: Path
) -> None:
    other = Authority(tmp_path, "other")
    files = ServerFiles(*ours.sign("server"), ours.ca)
    mine, theirs = ours.sign("client", client=True), other.sign("stranger", client=True)
    late, server = ours.sign("late", client=True, days=-1), ours.sign("notaclient")
    with serving(rotating(files)) as port:
        assert greet(port, trusting(ours, mine))[0] == b"hello"
        for pair in (None, theirs, late, server):
            assert not let_in(port, trusting(ours, pair))


def test_old_protocols_are_refused(ours: Authority) -> None:
    with serving(rotating(ServerFiles(*ours.sign("server")))) as port:
        old = trusting(ours)
        old.set_ciphers("DEFAULT:@SECLEVEL=0")
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(OSError, match="ALERT_PROTOCOL_VERSION"):
            greet(port, old)


def replace(files: tuple[Path, Path], fresh: tuple[Path, Path]) -> None:
    for target, source in zip(files, fresh, strict=True):
        aside = target.with_suffix(".new")
        shutil.copy(source, aside)
        os.replace(aside, target)


def test_a_rotated_certificate_is_served_at_the_next_handshake(ours: Authority) -> None:
    files = ours.sign("first")
    with serving(rotating(ServerFiles(*files))) as port:
        assert greet(port, trusting(ours))[1] == "first"
        replace(files, ours.sign("second"))
        assert greet(port, trusting(ours))[1] == "second"


def test_a_certificate_that_is_rotated_while_a_server_starts_is_served(
    ours: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, load = ours.sign("first"), ServerFiles.context

    def late(self: ServerFiles) -> ssl.SSLContext:
        monkeypatch.setattr(ServerFiles, "context", load)
        made = load(self)
        replace(files, ours.sign("second"))
        return made

    monkeypatch.setattr(ServerFiles, "context", late)
    with serving(rotating(ServerFiles(*files))) as port:
        assert greet(port, trusting(ours))[1] == "second"


def test_rotated_authorities_let_in_their_clients_and_no_longer_those_of_before(
    ours: Authority, tmp_path: Path
) -> None:
    other = Authority(tmp_path, "other")
    authorities = tmp_path / "clients.pem"
    shutil.copy(ours.ca, authorities)
    mine, theirs = ours.sign("client", client=True), other.sign("their", client=True)
    with serving(rotating(ServerFiles(*ours.sign("server"), authorities))) as port:
        assert greet(port, trusting(ours, mine))[0] == b"hello"
        shutil.copy(other.ca, tmp_path / "new.pem")
        os.replace(tmp_path / "new.pem", authorities)
        assert greet(port, trusting(ours, theirs))[0] == b"hello"
        assert not let_in(port, trusting(ours, mine))


def test_half_a_rotation_changes_nothing_and_is_reported_once(ours: Authority) -> None:
    files, fresh = ours.sign("first"), ours.sign("second")
    told: list[SerinusError] = []
    with serving(rotating(ServerFiles(*files), told.append)) as port:
        shutil.copy(fresh[0], files[0])
        for _ in range(3):
            assert greet(port, trusting(ours))[1] == "first"
        assert [error.code for error in told] == ["SRN-TLS-001"]
        shutil.copy(fresh[1], files[1])
        assert greet(port, trusting(ours))[1] == "second"
        files[0].unlink()
        for _ in range(2):
            assert greet(port, trusting(ours))[1] == "second"
        assert len(told) == 2


@pytest.mark.parametrize("what", ["no certificate", "no key", "not PEM", "another's key"])
def test_files_that_cannot_be_used_are_told(ours: Authority, tmp_path: Path, what: str) -> None:
    cert, key = ours.sign("server")
    if what == "no certificate":
        cert = tmp_path / "absent"
    if what == "no key":
        key = tmp_path / "absent"
    if what == "not PEM":
        cert.write_text("hello")
    if what == "another's key":
        key = ours.sign("other")[1]
    with pytest.raises(SerinusError, match="SRN-TLS-001"):
        rotating(ServerFiles(cert, key))


def test_flags_come_together(tmp_path: Path) -> None:
    a, b, c = (tmp_path / name for name in "abc")
    assert server_files(None, None, None) is None
    assert server_files(a, b, None) == ServerFiles(a, b)
    assert server_files(a, b, c) == ServerFiles(a, b, c)
    for some in ((a, None, None), (None, b, None), (None, None, c), (a, None, c)):
        with pytest.raises(SerinusError, match="SRN-TLS-002"):
            server_files(*some)


def test_a_client_without_its_file_does_not_start() -> None:
    with pytest.raises(SerinusError, match="SRN-TLS-001"):
        client_context({CA: "/absent"})
    with pytest.raises(SerinusError, match="SRN-TLS-002"):
        client_context({KEY: "/absent"})


AWAY = "http://198.51.100.7:1"


def program(*given: str, **environment: str) -> str:
    """What a program says that does not start."""
    environment = {**os.environ, "SERINUS_PLAIN_HTTP": "refuse", **environment}
    done = subprocess.run(
        [sys.executable, "-m", *given], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2, done.stderr
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("given", "where"),
    [
        (["serving.retrain", "--kfp-host", AWAY], "--kfp-host"),
        (["serving.retrain", "--command", "true", "--notify-url", AWAY], "--notify-url"),
        (["serving.rollout.kube", "--prometheus", AWAY], "--prometheus"),
        (["serving.rollout.kube"], "metrics pages"),
    ],
)
def test_programs_refuse_plain_addresses_of_their_own(given: list[str], where: str, tmp_path: Path) -> None:
    if given[0] == "serving.retrain":
        given = [*given, "--home", str(tmp_path)]
    said = program(*given)
    assert "SRN-TLS-003" in said
    assert where in said


@pytest.mark.parametrize("flag", ["--forward", "--alert-url"])
def test_so_does_the_drift_monitor(flag: str, tmp_path: Path) -> None:
    bundle = small_bundle(tmp_path)
    given = ["--bundle", str(bundle.path), "--untrusted", "--home", str(tmp_path), "--detector", "none"]
    said = program("serving.drift", *given, flag, AWAY)
    assert "SRN-TLS-003" in said
    assert flag in said


@pytest.mark.parametrize(
    "server", ["serving.drift --bundle b", "serving.outcomes", "serving.retrain --command true"]
)
def test_a_key_without_its_certificate_serves_nothing_in_the_open(server: str, tmp_path: Path) -> None:
    said = program(*server.split(), "--home", str(tmp_path), "--tls-key", str(tmp_path / "key.pem"))
    assert "SRN-TLS-002" in said


def test_plain_http_stays_on_this_machine_by_configuration() -> None:
    told: list[SerinusError] = []
    for policy in ("", "warn"):
        check_plain("10.0.0.1", "x", {PLAIN: policy}, told.append)
    assert [error.code for error in told] == ["SRN-TLS-003"] * 2
    check_plain("10.0.0.1", "x", {PLAIN: "allow"}, told.append)
    check_plain("127.0.0.1", "x", {PLAIN: "refuse"}, told.append)
    assert len(told) == 2
    for policy in ("refuse", "perhaps"):
        with pytest.raises(SerinusError, match="SRN-TLS-003"):
            check_plain("0.0.0.0", "x", {PLAIN: policy})


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("http://monitor.models:8080/", True),
        ("redis://cache:6379/0", True),
        ("https://monitor.models/", False),
        ("rediss://cache:6379/0", False),
        ("http://localhost:1/", False),
        ("http://[::1]:1/", False),
        ("unix:///run/redis.sock", False),
        ("http://[bad", False),
    ],
)
def test_which_urls_leave_the_machine_in_the_open(url: str, plain: bool) -> None:
    told: list[SerinusError] = []
    check_url(url, "--x", {}, told.append)
    assert bool(told) is plain


@pytest.mark.parametrize(
    ("host", "here"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
     ("monitor", False), ("localhost.evil.example", False), ("10.1.2.3", False)],
)  # fmt: skip
def test_what_is_this_machine(host: str, here: bool) -> None:
    assert is_loopback(host) is here


def test_our_http_clients_verify_by_the_environment(ours: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    from http.server import BaseHTTPRequestHandler, HTTPServer

    from serving.drift.alerting import HttpOutbox

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base's name
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.socket = rotating(ServerFiles(*ours.sign("server"))).wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"https://127.0.0.1:{server.server_address[1]}/"
    monkeypatch.setenv(CA, str(ours.ca))
    HttpOutbox(url).post(b"{}")
    monkeypatch.delenv(CA)
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        HttpOutbox(url).post(b"{}")
    server.shutdown()


@pytest.mark.parametrize("wrong", ["no certificate", "no key", "no PEM", "another's key"])
def test_a_server_whose_files_cannot_be_used_says_which_before_it_serves(
    ours: Authority, tmp_path: Path, wrong: str
) -> None:
    cert, key = ours.sign("server")
    if wrong.startswith("no "):
        fault = key if wrong == "no key" else cert
        fault.unlink()
        if wrong == "no PEM":
            fault.write_text("nothing of the kind")
    else:
        key = ours.sign("other")[1]
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        pytest.raises(SerinusError, match="SRN-TLS-001") as error,
    ):
        http.serve(None, listener, tls=ServerFiles(cert, key, None))
    assert str(tmp_path) in error.value.where
