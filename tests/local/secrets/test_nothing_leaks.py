"""Secrets that the programs are given end in no log, error, report, bundle or compiled pipeline.

Every program is run with planted secrets in its environment, its flags and its files, mostly
against addresses at which nobody listens, since errors are where secrets get out; then every byte
that was written is searched.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import yaml

from serinus.cli import main
from serinus.contract import dump_contract
from serinus.home import Home
from serinus.registry import Registry
from tests.local.scorer.process import ROOT
from tests.support.bundles import small_bundle, small_home
from tests.support.entities import cards, cards_bundle, payment
from tests.support.leaks import forms, leaks
from tests.support.ports import refusing
from tests.unit.components.support import contract, loans, write_csv

pytestmark = pytest.mark.local
SECRETS = {
    "s3 key": "wJalrPLANTEDs3/K7MDENG/bPxRfiCYEXAMPLE",
    "s3 session token": "FwoGPLANTEDsessionToken//8wEaDExample",
    "mlflow password": "pla/nted-mlflow-pw",
    "mlflow password in a url": "planted.mlflow.url.pw",
    "lineage password": "planted.lineage.url.pw",
    "redis password": "planted-redis-p@ss",
    "redis password in a url": "planted.redis.url.pw",
    "webhook token": "T0PLANTED/B0PLANTED/xoxbPLANTEDwebhook",
    "kafka password": "planted-kafka-sasl-pw",
    "kfp password": "planted-kfp-basic-pw",
    "prometheus password": "planted-prometheus-pw",
    "alert token": "planted-alert-token",
    "bearer token": "eyJPLANTED.bearer.tokenForKfp",
    "lineage key": "planted-lineage-api-key",
}
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "AKIAPLANTEDEXAMPLE00",
    "AWS_SECRET_ACCESS_KEY": SECRETS["s3 key"],
    "AWS_SESSION_TOKEN": SECRETS["s3 session token"],
    "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
    "AWS_REGION": "eu-west-1",
    "MLFLOW_TRACKING_USERNAME": "ann",
    "MLFLOW_TRACKING_PASSWORD": SECRETS["mlflow password"],
    "SERINUS_REDIS_PASSWORD": SECRETS["redis password"],
    "OPENLINEAGE_API_KEY": SECRETS["lineage key"],
}


class Place:
    """A directory in which everything is written, and the programs that write there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.out = root / "out"
        self.out.mkdir()
        self.given = root / "given"
        self.given.mkdir()

    def environment(self) -> dict[str, str]:
        return {**os.environ, **ENVIRONMENT, "PYTHONPATH": str(ROOT), "SERINUS_USER": "ann"}

    def run(self, name: str, *arguments: str, ok: bool = False, **more: str) -> str:
        """Run a module of ours to its end; what it printed is kept."""
        done = subprocess.run(
            [*_program(arguments[0]), *arguments[1:]], cwd=self.root, env=self.environment() | more,
            capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        printed = f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        (self.out / f"{name}.log").write_text(printed)
        assert (done.returncode == 0) is ok, printed
        return printed

    def serve(self, name: str, *arguments: str, ask: Any = lambda port: None) -> str:
        """Start a program, ask it something, end it; what it printed is kept."""
        with (self.out / f"{name}.err").open("w") as errors:
            process = subprocess.Popen(
                [*_program(arguments[0]), *arguments[1:]], cwd=self.root, env=self.environment(),
                stdout=subprocess.PIPE, stderr=errors, text=True,
            )  # fmt: skip
            watchdog = threading.Timer(200, process.kill)
            watchdog.start()
            try:
                assert process.stdout is not None
                line = process.stdout.readline()
                assert line, (self.out / f"{name}.err").read_text()
                answer = ask(json.loads(line)["port"])
                (self.out / f"{name}.answer").write_text(str(answer))
            finally:
                process.send_signal(signal.SIGTERM)
                rest, _ = process.communicate(timeout=60)
                watchdog.cancel()
        (self.out / f"{name}.log").write_text(line + rest)
        return (self.out / f"{name}.err").read_text()

    def found(self) -> list[tuple[str, str]]:
        return leaks(self.root, SECRETS, lambda path: path.is_relative_to(self.given))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def _program(name: str) -> list[str]:
    if name == "serinus":
        return [sys.executable, "-c", "from serinus.cli.main import run; run()"]
    return [sys.executable, "-m", name]


def post(port: int, path: str, document: Any) -> str:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", json.dumps(document).encode(), {"content-type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.read().decode()}"


@pytest.fixture(name="refusing")
def refusing_port() -> Generator[int]:
    """A port at which connections are refused."""
    with refusing() as port:
        yield port


@pytest.mark.timeout(900)
def test_the_pipeline_its_bundle_papers_and_archive_hold_none(place: Place, refusing: int) -> None:
    (place.root / "contract.yaml").write_text(yaml.safe_dump(dump_contract(contract())))
    (place.root / "model.yaml").write_text(
        yaml.safe_dump({"name": "loans", "training": {"rounds": 20, "out_of_fold_rows": 0}})
    )
    write_csv(place.root / "loans.csv", loans())
    run = ["pipelines", "run", "--contract", "contract.yaml", "--config", "model.yaml", "--home", "home"]
    away: dict[str, Any] = {
        "MLFLOW_TRACKING_URI": f"http://ann:{SECRETS['mlflow password in a url']}@127.0.0.1:{refusing}",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "OPENLINEAGE_URL": f"http://ann:{SECRETS['lineage password']}@127.0.0.1:{refusing}",
    }
    place.run("pipeline", *run, "--data", "loans.csv", ok=True, **away)
    place.run("sync", "serinus", "registry", "sync", "--home", "home", ok=False, **away)
    place.run("lineage", "serinus", "lineage", "loans", "--home", "home", ok=True, **away)
    place.run("pipeline-s3", *run, "--data", "s3://ann@bucket/loans.csv")
    place.run("registry", "serinus", "registry", "show", "loans", "--home", "home", ok=True)
    period = Registry(Home(place.root / "home")).get("loans").created[:7]  # whatever month it is by now
    place.run(
        "export",
        "serinus",
        "audit",
        "export",
        "--for",
        period,
        "--home",
        "home",
        "--out",
        "audit.tar.gz",
        ok=True,
    )
    assert place.found() == []


def test_signing_and_master_keys_stay_in_their_files(tmp_path: Path) -> None:
    bundle = cards_bundle(tmp_path, cards(privacy={"subject": "card"}))
    place, home = Place(tmp_path), small_home(tmp_path)

    def ask(port: int) -> str:
        return post(port, "/api/v1.0/predictions", {"jsonData": {"records": [payment(1, 1)]}})

    place.serve(
        "scorer",
        "serving.scorer",
        "--bundle",
        str(bundle.path),
        "--home",
        str(home.root),
        "--port",
        "0",
        ask=ask,
    )
    pem = (home.keys / "signing.pem").read_text().splitlines()
    master = (home.root / "privacy" / "master.key").read_text().strip()
    secrets = {
        "signing key": pem[1],
        "seed of the signing key": base64.b64decode("".join(pem[1:-1]))[-32:].hex(),
        "master key": master,
        "bytes of the master key": base64.b64decode(master).hex(),
    }
    mine = {home.keys / "signing.pem", home.root / "privacy" / "master.key"}
    assert leaks(tmp_path, secrets) != [], "they are where they belong, and found there"
    assert leaks(tmp_path, secrets, lambda path: path in mine) == []


def test_a_scorer_whose_stores_refuse_it_tells_none(place: Place, refusing: int) -> None:
    bundle = cards_bundle(place.given)
    home = str(small_home(place.given).root)

    def ask(port: int) -> str:
        record = {"jsonData": {"records": [payment(1, 1)]}}
        return post(port, "/api/v1.0/predictions", record) + post(
            port, "/api/v1.0/events", {"events": [payment(2, 2)]}
        )

    redis = f"redis://ann:{SECRETS['redis password in a url']}@127.0.0.1:{refusing}/0"
    flags = [
        "--bundle",
        str(bundle.path),
        "--home",
        home,
        "--port",
        "0",
        "--log",
        str(place.out / "log.jsonl"),
    ]
    errors = place.serve(
        "scorer", "serving.scorer", *flags, "--store", redis,
        "--payload-url", f"http://ann:{SECRETS['alert token']}@127.0.0.1:{refusing}/", ask=ask,
    )  # fmt: skip
    assert "SRN-FEATURES-008" in errors
    place.run(
        "scorer-url",
        "serving.scorer",
        *flags,
        "--store",
        f"rediss://:{SECRETS['redis password in a url']}@h:port",
    )
    place.run(
        "scorer-scheme", "serving.scorer", *flags, "--payload-url", f"ftp://ann:{SECRETS['alert token']}@h/"
    )
    (place.given / "events.jsonl").write_text(json.dumps(payment(1, 1)))
    place.run(
        "feed",
        "serving.scorer.feed",
        "--records",
        str(place.given / "events.jsonl"),
        "--patience",
        "1",
        "--store",
        redis,
        "--bundle",
        str(bundle.path),
    )
    place.run(
        "fetch", "serving.scorer.fetch", "--from", "s3://models/x", "--to", "fetched", "--timeout", "3s",
        "--keys", str(small_home(place.given).keys),
    )  # fmt: skip
    assert place.found() == []


def test_kafka_settings_are_told_without_their_password(place: Place, refusing: int) -> None:
    pytest.importorskip("confluent_kafka")
    bundle = small_bundle(place.given)
    (place.given / "kafka.properties").write_text(
        f"sasl.password={SECRETS['kafka password']}\nsasl.username=ann\n"
    )
    where = f"kafka://127.0.0.1:{refusing}/decisions?deadline=1s&security.protocol=SASL_PLAINTEXT&sasl.mechanism=PLAIN"
    flags = ["--bundle", str(bundle.path), "--home", str(small_home(place.given).root), "--port", "0"]
    place.run(
        "kafka-file", "serving.scorer", *flags, "--log", f"{where}&config={place.given / 'kafka.properties'}"
    )
    place.run(
        "kafka",
        "serving.scorer",
        *flags,
        "--log",
        f"{where}&sasl.username=ann&sasl.password={SECRETS['kafka password']}",
    )
    place.run(
        "kafka-wrong", "serving.scorer", *flags, "--log", f"kafka://ann:{SECRETS['kafka password']}@/?x"
    )
    assert place.found() == []


def test_clients_of_other_servers_tell_none(place: Place, refusing: int) -> None:
    bundle = small_bundle(place.given)
    home = str(small_home(place.given).root)
    there = f"127.0.0.1:{refusing}"
    (place.given / "token").write_text(SECRETS["bearer token"])
    kfp = f"http://ann:{SECRETS['kfp password']}@{there}"
    place.run(
        "watch",
        "serinus",
        "watch",
        "--once",
        "--prometheus",
        f"http://ann:{SECRETS['prometheus password']}@{there}",
    )
    place.run("push", "serinus", "bundle", "push", str(bundle.path), "s3://models/bundles", "--home", home)
    place.run(
        "compile",
        "serinus",
        "pipeline",
        "compile",
        "--image",
        f"r.example/p@sha256:{'0' * 64}",
        "--out",
        "compiled.yaml",
        ok=True,
    )
    (place.given / "contract.yaml").write_text(yaml.safe_dump(dump_contract(contract())))
    for host, code in ((kfp, "SRN-KFP-001"), (f"http://{there}", "SRN-KFP-003")):
        told = place.run(
            f"submit {code}", "serinus", "pipeline", "submit", "--pipeline", "compiled.yaml", "--host", host,
            "--patience", "1ms", "--contract", str(place.given / "contract.yaml"),
            "--data", "s3://ann@bucket/loans.csv", "--token", str(place.given / "token"),
        )  # fmt: skip
        assert code in told

    labels = {"alertname": "Drift", "model": "loans", "retrain": "true"}
    began = {"startsAt": "2026-11-28T12:00:00Z", "fingerprint": "f1"}
    alert = {"version": "4", "status": "firing", "alerts": [{"status": "firing", "labels": labels} | began]}

    def ask(port: int) -> str:
        said = post(port, "/api/v1/alerts", alert)
        assert '"outcome":"started"' in said
        return said

    retrain = (
        "serving.retrain", "--home", str(place.root / "home"), "--kfp-pipeline", "p",
        "--kfp-token", str(place.given / "token"),
        "--notify-url", f"http://{there}/hook?token={SECRETS['alert token']}", "--kfp-host",
    )  # fmt: skip
    assert "--kfp-token FILE" in place.run("retrain refused", *retrain, kfp)
    place.serve("retrain", *retrain, f"http://{there}", ask=ask)
    place.serve(
        "drift", "serving.drift", "--bundle", str(bundle.path), "--home", str(small_home(place.given).root),
        "--port", "0", "--detector", "numpy", "--alert-url", f"http://ann:{SECRETS['alert token']}@{there}/api",
    )  # fmt: skip
    assert place.found() == []


NOTIFY = """
import asyncio, logging, sys
from pathlib import Path
import httpx
from serinus.masking import mask_logs
from serving.rollout.adapters import webhook
from serving.rollout.spec import Notification
from serving.rollout.status import Entry, Phase
from tests.unit.rollout.cases import status_in

mask_logs()
logging.basicConfig(stream=sys.stderr, level=logging.INFO)
url, channels = sys.argv[1], Path(sys.argv[2])

async def quick(seconds): pass

async def story():
    hooks = webhook.Webhooks(channels, sleep=quick)
    status = status_in(Phase.PROGRESSING)
    entry = Entry(seq=1, at=1.0, actor="ann", phase=Phase.PROGRESSING, reason="Step", message="", weight=5)
    for one in (Notification(url=url), Notification(channel="risk"), Notification(url="http://[bad" + url)):
        hooks.send([one], status, entry)
    await hooks.drain()
    await hooks.close()
    try:
        async with httpx.AsyncClient() as client:
            await client.get(url)
    except httpx.HTTPError:
        logging.exception("asking %s", url)
    raise RuntimeError(f"the end of {url}")

asyncio.run(story())
"""


@pytest.mark.parametrize("answering", [False, True], ids=["nobody answers", "it answers 404"])
def test_notifications_and_tracebacks_tell_none(place: Place, refusing: int, answering: bool) -> None:
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    server = ThreadingHTTPServer(
        ("127.0.0.1", 0),
        type(
            "No", (BaseHTTPRequestHandler,), {"do_POST": _no, "do_GET": _no, "log_message": lambda *_: None}
        ),
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1] if answering else refusing
    url = f"http://ann:{SECRETS['alert token']}@127.0.0.1:{port}/webhooks/{SECRETS['webhook token']}"
    channels = place.given / "channels"
    channels.mkdir()
    (channels / "risk").write_text(url)
    (place.given / "notify.py").write_text(NOTIFY)
    done = subprocess.run(
        [sys.executable, str(place.given / "notify.py"), url, str(channels)], cwd=place.root,
        env=place.environment(), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    server.shutdown()
    (place.out / "notify.log").write_text(done.stdout + done.stderr)
    assert "given up" in done.stderr, done.stderr
    assert "RuntimeError: the end of http://ann:***@" in done.stderr
    assert place.found() == []


def _no(handler: Any) -> None:
    handler.send_error(404)


@pytest.mark.parametrize("name", SECRETS)
def test_the_search_finds_a_planted_leak(tmp_path: Path, name: str) -> None:
    import io
    import tarfile
    import zipfile

    secret = SECRETS[name]
    for number, form in enumerate(sorted(forms(secret))):
        (tmp_path / f"form{number}").write_bytes(b"before " + form + b" behind")
    (tmp_path / "encoded").write_bytes(base64.b64encode(b"user:" + secret.encode() + b":more"))
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        info = tarfile.TarInfo("inner.json")
        info.size = len(secret)
        archive.addfile(info, io.BytesIO(secret.encode()))
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("inner", secret)
    (tmp_path / f"name-{secret.replace('/', '_')}").write_text("nothing")
    (tmp_path / "clean").write_text("nothing of that kind, " + secret[:5])
    found = leaks(tmp_path, SECRETS)
    assert {n for _, n in found} == {name}
    places = {where.partition("!")[0] for where, _ in found}
    assert {"encoded", "a.tar.gz", "b.zip", *(f"form{i}" for i in range(len(forms(secret))))} <= places
    assert "clean" not in places


def test_a_program_that_tells_a_secret_is_caught(place: Place) -> None:
    """What these tests rest on: a program that prints its environment does not pass them."""
    (place.given / "leaky.py").write_text("import os; print(os.environ['SERINUS_REDIS_PASSWORD'])")
    done = subprocess.run(
        [sys.executable, str(place.given / "leaky.py")],
        env=place.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    (place.out / "leaky.log").write_text(done.stdout)
    assert place.found() == [("out/leaky.log", "redis password")]


def test_errors_as_json_are_masked_too(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    url = f"redis://:{SECRETS['redis password in a url']}@h:x"
    code = main(["explain", url, "--home", str(tmp_path), "--output", "json"])
    printed = capsys.readouterr()
    assert code == 1
    assert "redis://:***@h:x" in printed.out
    assert SECRETS["redis password in a url"] not in printed.out + printed.err
