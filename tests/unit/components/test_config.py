"""model.yaml: every key optional, every mistake named."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from components.config import Gates, ModelConfig, Split, load_config, parse_config
from pipelines.run import parts_of
from serinus.errors import SerinusError

ROOT = Path(__file__).resolve().parents[3]


def refused(tmp_path: Path, text: str) -> SerinusError:
    path = tmp_path / "model.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SerinusError) as caught:
        load_config(path)
    assert caught.value.where.removesuffix(" line 1") == str(path)
    return caught.value


def test_no_config_is_the_defaults_and_so_is_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "model.yaml").write_text("# nothing\n")
    assert load_config(None) == load_config(tmp_path / "model.yaml") == ModelConfig()


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("training: {roundz: 3}", "SRN-PIPELINE-021", "roundz"),
        ("training: {parameters: {scale_pos_weight: 9}}", "SRN-PIPELINE-021", "scale_pos_weight"),
        ("training: {parameters: {learning_rate: 0}}", "SRN-PIPELINE-021", "learning_rate"),
        ("split: {train: 0.9}", "SRN-PIPELINE-022", "add up to 1.3"),
        ("split: {gap: a week}", "SRN-PIPELINE-022", "split.gap"),
        ("gates: {metrics: [{metric: acc, min: 0.5}]}", "SRN-PIPELINE-022", "average_precision"),
        ("gates: {metrics: [{metric: auc}]}", "SRN-PIPELINE-022", "needs min or max"),
        ("training: [", "SRN-PIPELINE-020", "is not valid YAML"),
    ],
)
def test_a_mistake_is_named_with_its_key(tmp_path: Path, text: str, code: str, says: str) -> None:
    error = refused(tmp_path, text)
    assert error.code == code
    assert says in error.what


def test_an_absent_file_is_named() -> None:
    with pytest.raises(SerinusError) as caught:
        load_config("absent.yaml")
    assert caught.value.code == "SRN-PIPELINE-020"


def test_the_parts_read_back_as_they_were() -> None:
    config = load_config(ROOT / "models/credit/model-mitigated.yaml")
    parts = parts_of(config)
    assert parse_config(parts["split_config"], Split, where="split") == config.split
    assert parse_config(parts["gates_config"], Gates, where="gates") == config.gates


def test_the_mitigated_credit_model_answers_to_the_gates_of_the_first_one() -> None:
    first, second = (
        load_config(ROOT / f"models/credit/{name}.yaml") for name in ("model", "model-mitigated")
    )
    assert first.gates == second.gates
    assert first.split == second.split
    assert first.training != second.training


@pytest.mark.parametrize("path", sorted((ROOT / "models").glob("*/model*.yaml")), ids=lambda path: path.name)
def test_every_config_we_ship_is_sound(path: Path) -> None:
    assert load_config(path).name == yaml.safe_load(path.read_text())["name"]
