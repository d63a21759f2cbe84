"""A real MLflow server (3.17) keeps what the registry tells it, and its own client and REST API find it there."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from serinus.bundle import SigningKey, write_bundle
from serinus.cli import main
from serinus.registry import Registry
from serinus.registry.telling import pending
from serinus.retelling import Keeper, catalogue_keeper
from tests.clients.environments import python
from tests.support.bundles import small_home, small_parts
from tests.support.ports import free_port

pytestmark = [pytest.mark.local, pytest.mark.timeout(400)]


class Server:
    """``mlflow server`` over SQLite; its first start compiles its own modules, which takes a while."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._port = free_port()
        self.uri = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [
            str(python("mlflow").with_name("mlflow")), "server", "--host", "127.0.0.1", "--port", str(self._port),
            "--workers", "1", "--backend-store-uri", f"sqlite:///{self._place / 'mlflow.db'}",
            "--artifacts-destination", str(self._place / "artifacts"),
        ]  # fmt: skip
        env = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        with (self._place / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self._place, env=env, start_new_session=True
            )
        until = time.monotonic() + 240
        while not self._healthy():
            if self._process.poll() is not None or time.monotonic() > until:
                pytest.fail((self._place / "log").read_text()[-3000:])
            time.sleep(0.2)

    def stop(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def ask(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        request = urllib.request.Request(
            f"{self.uri}/api/2.0/mlflow/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def _healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=20) as answer:
                return answer.status == 200
        except OSError:
            return False


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    made = Server(tmp_path_factory.mktemp("mlflow"))
    made.start()
    yield made
    made.stop()


class Desk:
    """A registry with a model of its own name, so that tests do not meet on the server."""

    def __init__(self, path: Path, name: str) -> None:
        self.name = name
        self.home = small_home(path)
        self.registry = Registry(self.home)

    def register(self, version: int) -> None:
        import dataclasses

        parts = dataclasses.replace(small_parts(version=version), name=self.name)
        parts.provenance.update(
            {
                "data": {"digest": "sha256:" + "d" * 64, "rows": 2000},
                "config": {
                    "training": {"rounds": 40},
                    "identity": {"purpose": "stop stolen cards", "tier": 2},
                },
            }
        )
        parts.validation.update(
            verdict="pass",
            demands=[{"metric": "auc race=x", "value": 0.9, "threshold": ">= 0.75", "verdict": "pass"}],
        )
        parts.metrics.update(metrics={"auc": 0.9}, intervals={"auc": [0.8, 0.95]})
        bundle = write_bundle(self.home.bundles, parts, SigningKey.load_or_create(self.home.keys))
        self.registry.register(bundle, by="ann", owner="cards", run=f"r{version}", commit="abc")

    def sync(self, uri: str) -> int:
        return main(["registry", "sync", "--uri", uri, "--home", str(self.home.root)])


def tags(shown: list[dict[str, str]]) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in shown}


def test_an_experiment_a_run_and_a_version_read_well(server: Server, tmp_path: Path) -> None:
    desk = Desk(tmp_path, "reads-well")
    desk.register(1)
    assert desk.sync(server.uri) == 0
    digest = desk.registry.get(desk.name).digest
    experiment = server.ask(f"experiments/get-by-name?experiment_name={desk.name}")["experiment"]
    (run,) = server.ask("runs/search", {"experiment_ids": [experiment["experiment_id"]]})["runs"]
    assert (run["info"]["run_name"], run["info"]["status"]) == (f"{desk.name} v1", "FINISHED")
    assert tags(run["data"]["params"])["training.rounds"] == "40"
    metrics = {metric["key"]: metric["value"] for metric in run["data"]["metrics"]}
    assert metrics == {
        "auc": 0.9, "auc.low": 0.8, "auc.high": 0.95, "gates/auc race_x": 0.9, "gates/auc race_x.passed": 1.0,
    }  # fmt: skip
    said = tags(run["data"]["tags"])
    assert (said["serinus.digest"], said["serinus.data"]) == (digest, "sha256:" + "d" * 64)
    assert (said["serinus.commit"], said["mlflow.user"]) == ("abc", "ann")
    assert run["inputs"]["dataset_inputs"][0]["dataset"]["digest"] == "d" * 32
    files = server.ask(f"artifacts/list?run_id={run['info']['run_id']}&path=bundle")["files"]
    assert {Path(file["path"]).name for file in files} >= {"card.html", "validation.json", "manifest.json"}
    model = server.ask(f"registered-models/get?name={desk.name}")["registered_model"]
    assert "stop stolen cards" in model["description"]
    version = server.ask(f"model-versions/get?name={desk.name}&version=1")["model_version"]
    assert version["run_id"] == run["info"]["run_id"]
    assert tags(version["tags"])["serinus.stage"] == "validated"
    assert "| auc race=x | 0.9 | >= 0.75 | pass |" in version["description"]


def test_aliases_follow_the_champion_and_the_canary(server: Server, tmp_path: Path) -> None:
    desk = Desk(tmp_path, "aliases")

    def aliases() -> dict[str, str]:
        model = server.ask(f"registered-models/get?name={desk.name}")["registered_model"]
        return {found["alias"]: found["version"] for found in model.get("aliases", [])}

    desk.register(1)
    desk.registry.set_stage(desk.name, 1, "champion", by="bob", reason="first")
    assert desk.sync(server.uri) == 0
    assert aliases() == {"champion": "1"}
    desk.register(2)
    desk.registry.set_stage(desk.name, 2, "canary", by="bob", reason="step 1")
    assert desk.sync(server.uri) == 0
    assert aliases() == {"champion": "1", "canary": "2"}
    desk.registry.set_stage(desk.name, 2, "champion", by="bob", reason="better")
    assert desk.sync(server.uri) == 0
    assert aliases() == {"champion": "2"}
    first = server.ask(f"model-versions/get?name={desk.name}&version=1")["model_version"]
    assert tags(first["tags"])["serinus.stage"] == "retired"


def test_mlflows_own_client_loads_by_the_alias(server: Server, tmp_path: Path) -> None:
    desk = Desk(tmp_path, "by-alias")
    desk.register(1)
    desk.registry.set_stage(desk.name, 1, "champion", by="bob", reason="first")
    assert desk.sync(server.uri) == 0
    script = (
        "import mlflow, pathlib; mlflow.set_tracking_uri({!r}); mlflow.set_registry_uri({!r}); "
        "place = mlflow.artifacts.download_artifacts('models:/{}@champion', dst_path={!r}); "
        "print(sorted(p.name for p in pathlib.Path(place).iterdir()))"
    ).format(server.uri, server.uri, desk.name, str(tmp_path / "down"))
    done = subprocess.run(
        [str(python("mlflow")), "-c", script], capture_output=True, text=True, timeout=200, check=True
    )
    assert "manifest.json" in done.stdout.splitlines()[-1]


def test_a_try_that_broke_off_is_gone_on_with_and_makes_no_second_run(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from serinus.errors import SerinusError
    from serinus.registry.mlflow_store import MlflowCatalogue

    desk = Desk(tmp_path, "broke-off")
    desk.register(1)

    def gone(*_: object) -> str:
        raise SerinusError("SRN-MLFLOW-002", "gone", hint="x")

    with monkeypatch.context() as broken:
        broken.setattr(MlflowCatalogue, "_version", gone)
        assert desk.sync(server.uri) == 1
    assert desk.sync(server.uri) == 0
    (run,) = server.ask("runs/search", {"experiment_ids": [experiment_of(server, desk.name)]})["runs"]
    version = server.ask(f"model-versions/get?name={desk.name}&version=1")["model_version"]
    assert version["run_id"] == run["info"]["run_id"]


def experiment_of(server: Server, name: str) -> str:
    return server.ask(f"experiments/get-by-name?experiment_name={name}")["experiment"]["experiment_id"]


def test_a_server_that_is_away_is_said_and_told_when_it_is_back(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    desk = Desk(tmp_path, "away")
    server.stop()
    try:
        desk.register(1)
        assert desk.sync(server.uri) == 1
        printed = capsys.readouterr()
        assert "SRN-MLFLOW-002" in printed.err
        assert "NO" in printed.out
        assert desk.registry.get(desk.name).version == 1, "the registration stands"
    finally:
        server.start()
    assert desk.sync(server.uri) == 0
    assert server.ask(f"model-versions/get?name={desk.name}&version=1")["model_version"]["version"] == "1"


async def told_by(keeper: Keeper, said: Callable[[], bool]) -> None:
    await keeper.start()
    try:
        async with asyncio.timeout(90):
            while not await asyncio.to_thread(said):
                await asyncio.sleep(0.2)
    finally:
        await keeper.stop()


def test_the_platform_tells_by_itself_while_it_is_up(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    desk = Desk(tmp_path, "platform")
    desk.register(1)
    keeper = catalogue_keeper(desk.home, os.environ.copy(), every=0.3)
    asyncio.run(told_by(keeper, lambda: pending(desk.registry, server.uri) == 0))
    version = server.ask(f"model-versions/get?name={desk.name}&version=1")["model_version"]
    assert tags(version["tags"])["serinus.stage"] == "validated"


def test_the_pipelines_last_step_tells_and_costs_no_registration_where_it_cannot(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from components.register.register import _tell_mlflow

    desk = Desk(tmp_path, "last-step")
    desk.register(1)
    assert _tell_mlflow(desk.registry, desk.name) == {}
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    assert _tell_mlflow(desk.registry, desk.name) == {"MLflow": "NOT told of 1 (serinus registry sync)"}
    assert "SRN-MLFLOW-002" in capsys.readouterr().err
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    assert _tell_mlflow(desk.registry, desk.name) == {"MLflow": "told"}
