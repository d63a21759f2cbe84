"""The compiled pipeline beside the code is the code's, and it is what a KFP server should run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from pipelines.cli import app
from pipelines.compile import COMPILED, compile_pipeline
from pipelines.server import Resources, Server
from pipelines.training import STEPS
from serinus.errors import SerinusError
from serinus.lineage.context import Context, read_context

IMAGE = "serinus/pipeline:0.1.0"
PINNED = "registry.example/serinus/pipeline@sha256:" + "9f" * 32
EVERYTHING = Path(__file__).with_name("everything.yaml")
FLAGS = {
    COMPILED: ["--image", IMAGE, "--allow-tag"],
    EVERYTHING: [
        "--image", PINNED, "--bundles", "s3://models/bundles", "--s3-secret", "models-s3", "--signing-secret",
        "models-key", "--home-claim", "registry", "--pull-secret", "regcred", "--resources", "train=4/16Gi",
        "--retries", "3", "--timeout", "90m", "--mlflow", "https://mlflow.example", "--mlflow-secret", "mlflow",
        "--registrar", "https://serinus-records.serinus-system:8080", "--registrar-secret", "records",
    ],
}  # fmt: skip


def run(*flags: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["compile", *flags], env={"SERINUS_PIPELINE_IMAGE": ""})
    return done.exit_code, done.stdout, done.stderr


def documents(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The pipeline and the platform's part of it."""
    spec, platform = yaml.safe_load_all(path.read_text(encoding="utf-8"))
    return spec, platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


@pytest.fixture(params=[COMPILED, EVERYTHING], ids=["kept", "everything"], scope="module")
def spec(request: pytest.FixtureRequest) -> dict[str, Any]:
    return documents(request.param)[0]


@pytest.mark.parametrize("golden", FLAGS, ids=lambda path: path.stem)
def test_compiling_again_changes_nothing(tmp_path: Path, golden: Path) -> None:
    code, out, error = run(*FLAGS[golden], "-o", str(tmp_path / "again.yaml"))
    assert (code, out.strip()) == (0, str(tmp_path / "again.yaml")), error
    again = " ".join(FLAGS[golden])
    assert (tmp_path / "again.yaml").read_text() == golden.read_text(), (
        f"run: serinus pipeline compile {again} -o {golden}"
    )


def test_every_step_is_a_task_of_its_own(spec: dict[str, Any]) -> None:
    assert set(spec["root"]["dag"]["tasks"]) == set(STEPS)


def test_every_step_but_those_that_meet_the_world_is_cached(spec: dict[str, Any]) -> None:
    cached = {
        name
        for name, task in spec["root"]["dag"]["tasks"].items()
        if task["cachingOptions"].get("enableCache", False)
    }
    assert cached == set(STEPS) - {"ingest", "register"}


def test_register_comes_after_the_gate_and_the_card(spec: dict[str, Any]) -> None:
    assert {"gate", "card"} <= set(spec["root"]["dag"]["tasks"]["register"]["dependentTasks"])
    assert "gate" in spec["root"]["dag"]["tasks"]["card"]["dependentTasks"]


def test_components_run_in_the_given_image_and_install_nothing(spec: dict[str, Any]) -> None:
    for executor in spec["deploymentSpec"]["executors"].values():
        assert executor["container"]["image"] in (IMAGE, PINNED)
        assert "pip install" not in " ".join(executor["container"]["command"])


def test_only_data_and_contract_must_be_given(spec: dict[str, Any]) -> None:
    inputs = spec["root"]["inputDefinitions"]["parameters"]
    assert {name for name, value in inputs.items() if "defaultValue" not in value} == {"data", "contract"}


def test_every_step_has_bounds_and_all_but_the_gate_another_try() -> None:
    spec, platform = documents(EVERYTHING)
    for step in STEPS:
        container = spec["deploymentSpec"]["executors"][f"exec-{step}"]["container"]
        amount = container["resources"]
        assert amount["resourceMemoryLimit"] == amount["resourceMemoryRequest"]
        assert amount["resourceCpuLimit"] == amount["resourceCpuRequest"]
        assert platform[f"exec-{step}"]["activeDeadlineSeconds"] == "5400"
        retried = spec["root"]["dag"]["tasks"][step].get("retryPolicy", {})
        assert retried.get("maxRetryCount") == (None if step == "gate" else 3)
    train = spec["deploymentSpec"]["executors"]["exec-train"]["container"]
    assert train["resources"]["resourceMemoryLimit"] == "16Gi"
    assert {"name": "OMP_NUM_THREADS", "value": "4"} in train["env"]


def test_secrets_reach_the_steps_that_need_them_and_no_other() -> None:
    spec, platform = documents(EVERYTHING)
    with_s3 = {name for name, value in platform.items() if "secretAsEnv" in value}
    with_key = {name for name, value in platform.items() if "secretAsVolume" in value}
    assert (with_s3, with_key) == ({"exec-ingest", "exec-champion", "exec-register"}, {"exec-register"})
    assert platform["exec-register"]["pvcMount"][0]["mountPath"] == "/var/lib/serinus"
    wanted = {
        v["envVar"]: part["optional"]
        for part in platform["exec-ingest"]["secretAsEnv"]
        for v in part["keyToEnv"]
    }
    assert {name for name, optional in wanted.items() if not optional} == {
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
    }
    assert {name for name, optional in wanted.items() if optional} == {
        "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_SESSION_TOKEN",
    }  # fmt: skip
    assert not re.search("models-s3|models-key", json.dumps(spec)), "the spec itself names no secret"


def test_provenance_names_the_image() -> None:
    inputs = documents(EVERYTHING)[0]["root"]["inputDefinitions"]["parameters"]
    assert json.loads(inputs["code"]["defaultValue"]) == {"image": PINNED}
    assert inputs["bundles"]["defaultValue"] == "s3://models/bundles"


def test_without_a_claim_the_home_is_writable_and_that_is_said(tmp_path: Path) -> None:
    _, _, error = run("--image", PINNED, "-o", str(tmp_path / "p.yaml"))
    assert "without --home-claim the registry ends with the run" in error
    assert (
        documents(tmp_path / "p.yaml")[1]["exec-register"]["emptyDirMounts"][0]["mountPath"]
        == "/var/lib/serinus"
    )


def test_the_last_step_knows_the_record_keeper_and_no_other_does() -> None:
    spec, platform = documents(EVERYTHING)
    told = {
        step: {
            v["name"]: v["value"] for v in executor["container"].get("env", []) if "REGISTRAR" in v["name"]
        }
        for step, executor in spec["deploymentSpec"]["executors"].items()
    }
    assert {step for step, names in told.items() if names} == {"exec-register"}
    assert told["exec-register"] == {
        "SERINUS_REGISTRAR": "https://serinus-records.serinus-system:8080",
        "SERINUS_REGISTRAR_SECRETS": "/etc/serinus/registrar",
    }
    mounted = {part["mountPath"] for part in platform["exec-register"]["secretAsVolume"]}
    assert mounted == {"/etc/serinus/signing", "/etc/serinus/registrar"}


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (["--registrar", "records"], "--registrar 'records' is not http"),
        (["--registrar", "https://u:p@records"], "is not http"),
        (["--registrar-secret", "records"], "go with --registrar"),
        (["--registrar-token", "/token"], "go with --registrar"),
        (["--registrar", "https://records", "--registrar-secret", "A B"], "is not a name of Kubernetes"),
        (["--registrar", "https://records", "--registrar-token", "token"], "whole path"),
    ],
)
def test_a_record_keeper_that_cannot_be_is_refused(tmp_path: Path, flags: list[str], why: str) -> None:
    code, _, error = run("--image", PINNED, *flags, "-o", str(tmp_path / "p.yaml"))
    assert code == 1
    assert "SRN-PIPELINE-041" in error
    assert why in error
    assert ":p@" not in error
    assert not (tmp_path / "p.yaml").exists()


def test_every_step_sends_its_lineage_and_knows_its_run(tmp_path: Path) -> None:
    flags = [
        "--lineage-url",
        "http://marquez:5000",
        "--lineage-namespace",
        "cards",
        "--lineage-secret",
        "marquez",
    ]
    code, _, error = run("--image", PINNED, *flags, "-o", str(tmp_path / "p.yaml"))
    assert code == 0, error
    spec, platform = documents(tmp_path / "p.yaml")
    contexts: dict[str, Context] = {}
    for step in STEPS:
        container = spec["deploymentSpec"]["executors"][f"exec-{step}"]["container"]
        environment = {each["name"]: each["value"] for each in container["env"]}
        assert environment["OPENLINEAGE_URL"] == "http://marquez:5000"
        assert environment["OPENLINEAGE_NAMESPACE"] == "cards"
        on_pod = platform[f"exec-{step}"]
        assert on_pod["fieldPathAsEnv"] == [
            {"name": "SERINUS_LINEAGE_RUN", "fieldPath": "metadata.labels['pipeline/runid']"}
        ]
        assert "marquez" in {each["secretName"] for each in on_pod["secretAsEnv"]}
        context = read_context(environment | {"SERINUS_LINEAGE_RUN": "0f8e"})
        assert context is not None
        assert (context.run, context.file) == ("0f8e", "")
        assert context.code is not None
        assert context.code.version == PINNED.partition("@")[2]
        contexts[step] = context
    assert [step for step, context in contexts.items() if context.opens] == ["ingest"]
    assert [step for step, context in contexts.items() if context.closes] == ["register"]
    assert [step for step, context in contexts.items() if context.last_try] == ["gate"]


def test_without_a_backend_no_step_is_told_of_lineage() -> None:
    assert not re.search("LINEAGE", EVERYTHING.read_text())


@pytest.mark.parametrize(
    ("flags", "code", "says"),
    [
        (["--image", IMAGE], "SRN-PIPELINE-040", "by digest"),
        (["--image", "serinus/pipeline"], "SRN-PIPELINE-040", "by digest"),
        (["--image", "serinus/pipeline@sha256:12"], "SRN-PIPELINE-041", "not a reference"),
        (["--image", "Not An Image", "--allow-tag"], "SRN-PIPELINE-041", "not a reference"),
        (["--image", PINNED, "--s3-secret", "Not_A_Name"], "SRN-PIPELINE-041", "--s3-secret"),
        (["--image", PINNED, "--resources", "fly=1/1Gi"], "SRN-PIPELINE-041", "fly=1/1Gi"),
        (["--image", PINNED, "--resources", "train=lots"], "SRN-PIPELINE-041", "train=4/16Gi"),
        (["--image", PINNED, "--bundles", "models"], "SRN-STORE-001", "no scheme"),
        (["--image", PINNED, "--lineage-url", "marquez:5000"], "SRN-PIPELINE-041", "--lineage-url"),
        (["--image", PINNED, "--lineage-url", "http://ann:pw@marquez"], "SRN-PIPELINE-041", "--lineage-url"),
        (["--image", PINNED, "--mlflow", "mlflow:5000"], "SRN-PIPELINE-041", "--mlflow"),
        (["--image", PINNED, "--mlflow-secret", "mlflow"], "SRN-PIPELINE-041", "goes with --mlflow"),
        (["--image", PINNED, "--lineage-secret", "marquez"], "SRN-PIPELINE-041", "go with --lineage-url"),
    ],
)
def test_what_a_server_could_not_run_is_refused(
    tmp_path: Path, flags: list[str], code: str, says: str
) -> None:
    done, out, error = run(*flags, "-o", str(tmp_path / "p.yaml"), "--output", "json")
    assert done == 1
    assert json.loads(out)["error"]["code"] == code
    assert says in error
    assert list(tmp_path.iterdir()) == []


def test_an_image_must_be_named(tmp_path: Path) -> None:
    code, _, error = run("-o", str(tmp_path / "p.yaml"))
    assert code == 2
    assert "--image" in error


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SerinusError, match="SRN-HOME-002"):
        compile_pipeline(tmp_path / "file" / "p.yaml", Server(image=PINNED))


@pytest.mark.parametrize(("cpu", "threads"), [("500m", 1), ("1", 1), ("1.5", 2), ("4", 4), ("2500m", 3)])
def test_threads_fill_the_cores(cpu: str, threads: int) -> None:
    assert Resources(cpu, "1Gi").threads == threads


def test_the_command_lists_the_steps_in_order() -> None:
    shown = CliRunner().invoke(app, ["steps", "--output", "json"])
    assert json.loads(shown.stdout) == list(STEPS)
    text = CliRunner().invoke(app, ["steps"]).stdout
    assert "Stop what does not reach every demand." in text
