"""The compiled pipeline beside the code is the code's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from components.image import IMAGE
from pipelines.cli import app
from pipelines.compile import COMPILED, compile_pipeline
from pipelines.training import STEPS


@pytest.fixture(scope="module")
def spec() -> dict[str, Any]:
    return yaml.safe_load(COMPILED.read_text(encoding="utf-8"))


def test_compiling_again_changes_nothing(tmp_path: Path) -> None:
    compile_pipeline(tmp_path / "again.yaml")
    assert (tmp_path / "again.yaml").read_text() == COMPILED.read_text(), "run `serinus pipeline compile`"


def test_every_step_is_a_task_of_its_own(spec: dict[str, Any]) -> None:
    assert set(spec["root"]["dag"]["tasks"]) == set(STEPS)


def test_every_step_but_register_is_cached(spec: dict[str, Any]) -> None:
    cached = {
        name
        for name, task in spec["root"]["dag"]["tasks"].items()
        if task["cachingOptions"].get("enableCache", False)
    }
    assert cached == set(STEPS) - {"register"}


def test_register_comes_after_the_gate_and_the_card(spec: dict[str, Any]) -> None:
    assert {"gate", "card"} <= set(spec["root"]["dag"]["tasks"]["register"]["dependentTasks"])
    assert "gate" in spec["root"]["dag"]["tasks"]["card"]["dependentTasks"]


def test_components_run_in_our_image_and_install_nothing(spec: dict[str, Any]) -> None:
    for executor in spec["deploymentSpec"]["executors"].values():
        assert executor["container"]["image"] == IMAGE
        assert "pip install" not in " ".join(executor["container"]["command"])


def test_only_data_and_contract_must_be_given(spec: dict[str, Any]) -> None:
    inputs = spec["root"]["inputDefinitions"]["parameters"]
    assert {name for name, value in inputs.items() if "defaultValue" not in value} == {"data", "contract"}


def test_the_command_lists_the_steps_in_order() -> None:
    shown = CliRunner().invoke(app, ["steps", "--output", "json"])
    assert json.loads(shown.stdout) == list(STEPS)
    text = CliRunner().invoke(app, ["steps"]).stdout
    assert "Stop what does not reach every demand." in text


def test_the_command_compiles_to_a_file(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["compile", "-o", str(tmp_path / "p.yaml")])
    assert done.exit_code == 0
    assert (tmp_path / "p.yaml").read_text() == COMPILED.read_text()
