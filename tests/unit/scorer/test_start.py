"""What keeps a scorer from starting, and how its flags read."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from serinus.bundle import SigningKey, write_bundle
from serinus.errors import SerinusError
from serinus.events import DecisionLog
from serving.scorer.config import Settings, parse
from serving.scorer.server import serve
from tests.support.bundles import small_bundle, small_home, small_parts


def settings(place: Path, bundle: Path, *flags: str) -> Settings:
    return parse(["--bundle", str(bundle), "--home", str(place / "home"), "--port", "0", *flags], {})


def nothing_there(place: Path) -> Settings:
    return settings(place, place / "nowhere")


def signed_by_a_stranger(place: Path) -> Settings:
    return parse(
        ["--bundle", str(small_bundle(place).path), "--home", str(place / "other"), "--port", "0"], {}
    )


def scores_differently(place: Path) -> Settings:
    parts = small_parts()
    parts = replace(parts, golden_scores=np.asarray(parts.golden_scores) + 1e-6)
    home = small_home(place)
    return settings(place, write_bundle(home.bundles, parts, SigningKey.load_or_create(home.keys)).path)


def changed(place: Path) -> Settings:
    copy = place / "copy"
    shutil.copytree(small_bundle(place).path, copy)
    (copy / "contract.json").write_text("{}")
    return settings(place, copy, "--untrusted")


def another_machines_address(place: Path) -> Settings:
    return settings(place, small_bundle(place).path, "--host", "192.0.2.1")


def wrong_payload_url(place: Path) -> Settings:
    return settings(place, small_bundle(place).path, "--payload-url", "ftp://x")


@pytest.mark.parametrize(
    ("case", "code"),
    [
        (nothing_there, "SRN-BUNDLE-001"),
        (changed, "SRN-BUNDLE-003"),
        (signed_by_a_stranger, "SRN-BUNDLE-005"),
        (scores_differently, "SRN-SCORE-002"),
        (another_machines_address, "SRN-SCORER-002"),
        (wrong_payload_url, "SRN-SCORER-004"),
    ],
)
def test_it_does_not_start_and_says_why(
    case: Callable[[Path], Settings], code: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SerinusError) as caught:
        serve(case(tmp_path))
    assert caught.value.code == code
    assert capsys.readouterr().out == ""


def test_a_log_that_another_process_writes_is_not_shared(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "log.jsonl")
    with pytest.raises(SerinusError, match="SRN-AUDIT-001"):
        serve(settings(tmp_path, small_bundle(tmp_path).path, "--log", str(log.path)))


def test_flags_default_to_the_environment_of_a_seldon_pod() -> None:
    pod = {
        "PREDICTIVE_UNIT_HTTP_SERVICE_PORT": "9001",
        "PREDICTIVE_UNIT_ID": "classifier",
        "PREDICTOR_ID": "canary",
        "SELDON_DEPLOYMENT_ID": "shop",
        "POD_NAMESPACE": "bank",
    }
    made = parse(["--bundle", "b"], pod)
    assert (made.port, made.model, made.predictor) == (9001, "classifier", "canary")
    assert (made.deployment, made.namespace, made.host) == ("shop", "bank", "127.0.0.1")
    made = parse(["--bundle", "b", "--port", "1", "--model", "m", "--predictor", "p"], pod)
    assert (made.port, made.model, made.predictor) == (1, "m", "p")
    made = parse(["--bundle", "b"], {})
    assert (made.port, made.model, made.predictor, made.explain) == (9000, None, "default", "adverse")


@pytest.mark.parametrize(
    ("flags", "environment", "wanted"),
    [
        ([], {}, 64 << 20),
        (["--model-memory", "4MiB"], {}, 4 << 20),
        ([], {"SERINUS_MODEL_MEMORY": "512KiB"}, 512 << 10),
        (["--model-memory", "1GiB"], {"SERINUS_MODEL_MEMORY": "512KiB"}, 1 << 30),
    ],
)
def test_the_memory_for_trees_is_a_flag(flags: list[str], environment: dict[str, str], wanted: int) -> None:
    assert parse(["--bundle", "b", *flags], environment).model_memory == wanted


WRONG = [
    "--port 70000",
    "--port x",
    "--predictor a!b",
    "--model a/b",
    "--explain some",
    "--max-body 0",
    "--model-memory 0",
    "--model-memory never",
    "--colour red",
]


@pytest.mark.parametrize("flags", WRONG)
def test_a_wrong_flag_exits_with_2(flags: str) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(["--bundle", "b", *flags.split()], {})
    assert caught.value.code == 2
