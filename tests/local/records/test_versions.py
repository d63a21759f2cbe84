"""A version from one home to another by the real programs, over TLS, with a keeper that is away, killed or mistaken."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import pytest

from serinus.audit import AuditLog
from serinus.bundle import SigningKey, write_bundle
from serinus.home import Home
from serinus.registry import Registry
from tests.local.scorer.process import ROOT
from tests.support.bundles import small_parts
from tests.support.certs import Authority
from tests.support.ports import free_port, refusing
from tests.support.registrations import PROVENANCE, passed_bundle, registered, trusting
from tests.unit.components.support import lay_out

from .keeper import QUIET, KeeperProcess, sending, sent

pytestmark = pytest.mark.local


@pytest.fixture
def builder(tmp_path: Path) -> Home:
    """A home with two registered versions."""
    home = Home(tmp_path / "builder")
    for version in (1, 2):
        registered(home, passed_bundle(home, version=version, seed=version))
    return home


@pytest.fixture
def keeper(tmp_path: Path, builder: Home) -> Home:
    return trusting(tmp_path / "keeper", builder)


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("0123456789abcdef0123456789abcdef\n")
    return path


def taking(keeper: Home, token: Path, *flags: str, scheme: str = "http", port: int = 0) -> KeeperProcess:
    return KeeperProcess(
        keeper.root, "--no-follow", "--token-file", str(token), *flags, scheme=scheme, port=port
    )


def known(home: Home) -> list[tuple[int, str, str]]:
    return [(v.version, v.digest, v.built_by) for v in Registry(home).versions("small")]


def test_versions_come_over_tls_once_and_every_command_reads_them_there(
    tmp_path: Path, builder: Home, keeper: Home, token: Path
) -> None:
    ours = Authority(tmp_path)
    cert, key = ours.sign("server")
    with taking(
        keeper, token, "--tls-cert", str(cert), "--tls-key", str(key), "--token-caller", "ci", scheme="https"
    ) as process:
        to = ("--to", process.url, "--token", str(token))
        code, said, error = sent(builder.root, "all", *to, SERINUS_TLS_CA=str(ours.ca))
        assert (code, error) == (0, "")
        assert [(v["version"], v["created"], v["stage"]) for v in said["versions"]] == [
            (1, True, "validated"),
            (2, True, "validated"),
        ]
        again, said, _ = sent(builder.root, *to, SERINUS_TLS_CA=str(ours.ca))
        assert (again, [(v["version"], v["created"]) for v in said["versions"]]) == (0, [(2, False)])
        # Somebody else's authority: nothing is sent to whom it does not vouch for, and it is not tried again.
        other = Authority(tmp_path, "other")
        code, said, error = sent(builder.root, *to, "--timeout", "60s", SERINUS_TLS_CA=str(other.ca))
        assert (code, said["error"]["code"]) == (1, "SRN-RECORDS-011")
        assert "certificate verify failed" in error
    assert known(keeper) == known(builder)
    entries = list(AuditLog(keeper.audit).entries())
    assert [(e.actor, e.action, e.subject) for e in entries] == [
        ("ci", "register", "small/1"),
        ("ci", "register", "small/2"),
    ]
    for command in (
        ["audit", "verify"], ["registry", "list"], ["registry", "due"], ["lineage", "small"], ["inventory"],
    ):  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", "serinus.cli", *command, "--home", str(keeper.root)],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, (command, done.stderr)
    shown = subprocess.run(
        [
            *(sys.executable, "-m", "serinus.cli", "registry", "show", "small", "2"),
            "--home",
            str(keeper.root),
        ],
        capture_output=True,
        text=True,
    )
    assert shown.returncode == 1
    assert "SRN-REGISTRY-010" in shown.stderr
    assert "Ranks payments by the risk of fraud." in shown.stdout


def test_the_pipeline_hands_over_what_it_registers_with_its_papers(tmp_path: Path, token: Path) -> None:
    """From records to another home's registry, as `serinus pipeline run` does it."""
    (tmp_path / "place").mkdir()
    place = lay_out(tmp_path / "place", {"name": "loans", "training": {"rounds": 20, "out_of_fold_rows": 0}})
    builder = Home(place / "home")
    SigningKey.load_or_create(builder.keys)
    keeper = trusting(tmp_path / "keeper", builder)
    given = ("--contract", "contract.yaml", "--data", "loans.csv", "--config", "model.yaml")
    with taking(keeper, token) as process:
        done = subprocess.run(
            [*(sys.executable, "-m", "pipelines", "run", "--home", "home", "--as", "ann"), *given],
            cwd=place,
            env=os.environ
            | QUIET
            | {
                "PYTHONPATH": str(ROOT),
                "SERINUS_REGISTRAR": process.url,
                "SERINUS_REGISTRAR_TOKEN_FILE": str(token),
            },
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    there, here = Registry(builder).get("loans"), Registry(keeper).get("loans")
    changed = {"path": there.path, "created": there.created}
    assert msgspec.structs.replace(here, **changed) == there
    report = Path(here.path) / "report.html"
    assert report.read_bytes() == (Path(there.path) / "report.html").read_bytes()
    assert [(e.actor, e.details["built_by"]) for e in AuditLog(keeper.audit).entries()] == [
        ("pipeline", "ann")
    ]


def test_papers_of_megabytes_come_and_a_wrong_token_is_told_in_spite_of_them(
    tmp_path: Path, token: Path
) -> None:
    """Who is refused while they send would otherwise see a broken connection, and try for minutes."""
    builder = Home(tmp_path / "builder")
    parts = replace(
        small_parts(), validation={"verdict": "pass"}, provenance=PROVENANCE, card_html="<p>é</p>" * 600_000
    )
    registered(builder, write_bundle(builder.bundles, parts, SigningKey.load_or_create(builder.keys)))
    keeper = trusting(tmp_path / "keeper", builder)
    wrong = tmp_path / "wrong"
    wrong.write_text("another-token-of-some-length")
    with taking(keeper, token) as process:
        to = ("--to", process.url, "--timeout", "60s", "--token")
        for _ in range(3):
            code, said, _ = sent(builder.root, *to, str(wrong))
            assert (code, said["error"]["code"]) == (1, "SRN-RECORDS-012")
            assert "401, SRN-RECORDS-003" in said["error"]["what"]
        assert known(keeper) == []
        assert sent(builder.root, *to, str(token))[0] == 0
        page = process.page()
    assert 'serinus_records_versions_total{result="created"} 1.0' in page
    assert 'serinus_records_versions_total{result="refused"} 3.0' in page
    assert wrong.read_text() not in (tmp_path / "keeper.err").read_text()
    version = Registry(keeper).get("small")
    assert (Path(version.path) / "card.html").read_text() == parts.card_html


def test_a_keeper_that_comes_later_is_told_and_one_that_was_killed_is_told_again(
    builder: Home, keeper: Home, token: Path
) -> None:
    port = free_port()
    to = ("--to", f"http://127.0.0.1:{port}", "--token", str(token), "--timeout", "200s")
    with sending(builder.root, "1", *to) as early:
        with taking(keeper, token, port=port) as process:
            _, error = early.communicate(timeout=240)
            assert (early.returncode, error) == (0, "")
            process.kill()
        with taking(keeper, token, port=port):
            assert sent(builder.root, "all", *to)[0] == 0
    assert known(keeper) == known(builder)
    AuditLog(keeper.audit).verify()


def test_nobody_there_costs_a_bounded_time_and_nothing_that_is_registered(builder: Home, token: Path) -> None:
    before = known(builder)
    with refusing() as port:
        to = ("--to", f"http://127.0.0.1:{port}", "--token", str(token), "--timeout", "1s")
        code, said, error = sent(builder.root, "1", *to)
    assert (code, said["error"]["code"], said["versions"]) == (1, "SRN-RECORDS-011", [])
    assert "Connection refused" in error
    assert "serinus registry send small 1 --to" in error
    assert known(builder) == before


def test_a_redirect_does_not_carry_the_token_elsewhere(builder: Home, token: Path) -> None:
    seen: list[str] = []

    class Elsewhere(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            seen.append(self.path)
            self.send_response(302)
            self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/elsewhere")  # type: ignore[attr-defined]
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST  # noqa: N815  the library's spelling

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the library's name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        to = ("--to", f"http://127.0.0.1:{server.server_port}", "--token", str(token))
        code, said, _ = sent(builder.root, "1", *to)
        server.shutdown()
    assert (code, said["error"]["code"]) == (1, "SRN-RECORDS-012")
    assert seen == ["/v1/versions"]


def test_settings_of_callers_that_cannot_be_end_it_at_the_start(keeper: Home, tmp_path: Path) -> None:
    for flags in (["--caller", "pipeline"], ["--token-file", str(tmp_path / "none")]):
        done = subprocess.run(
            [sys.executable, "-m", "serving.registrar", "--home", str(keeper.root), "--no-follow", *flags],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 2
        assert "SRN-RECORDS-009" in done.stderr
