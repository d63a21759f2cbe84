"""The pipeline by kfp.local, every step a process of its own, on a small data set."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from components.step import Began, read_json, read_struct
from pipelines.training import STEPS
from serinus.bundle import Keyring, open_bundle
from serinus.home import Home
from serinus.registry import Registry
from serinus.scoring import Scorer
from tests.unit.components.support import lay_out, loans, write_csv

pytestmark = pytest.mark.local
ROOT = Path(__file__).resolve().parents[3]
CONFIG = {"name": "loans", "training": {"rounds": 20, "out_of_fold_rows": 0}}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a contract, a config and data; its home is filled by the tests in turn."""
    return lay_out(tmp_path_factory.mktemp("pipeline"), CONFIG)


def command(place: Path, data: str = "loans.csv", **options: str) -> list[str]:
    given = {
        "contract": "contract.yaml",
        "data": data,
        "config": "model.yaml",
        "home": "home",
        "as": "ann",
    } | options
    return [
        sys.executable, "-m", "pipelines", "run", "--output", "json",
        *(text for key, value in given.items() for text in (f"--{key}", value)),
    ]  # fmt: skip


def environment(*first: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (*first, ROOT)))}


def run(place: Path, data: str = "loans.csv", **options: str) -> tuple[int, dict[str, Any], str]:
    done = subprocess.run(
        command(place, data, **options),
        cwd=place,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=560,
    )
    return done.returncode, json.loads(done.stdout.splitlines()[-1]), done.stderr


def until(condition: Callable[[], bool], what: str, seconds: float = 120) -> None:
    tick, deadline = threading.Event(), time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        tick.wait(0.02)
    pytest.fail(f"{what} did not come within {seconds:g} s")


@pytest.fixture(scope="module")
def first(place: Path) -> dict[str, Any]:
    code, result, errors = run(place)
    assert code == 0, errors
    for step in STEPS:
        assert f"✓ {step}" in errors
    return result


def test_a_run_registers_a_version_that_scores(place: Path, first: dict[str, Any]) -> None:
    home = Home(place / "home")
    assert (first["name"], first["version"], first["gate"]["verdict"]) == ("loans", 1, "pass")
    bundle = open_bundle(first["bundle"], trusted=Keyring.load(home.keys))
    assert bundle.digest == first["digest"] == Registry(home).get("loans").digest
    Scorer(bundle).self_test()
    assert set(first["seconds"]) == {*STEPS, "start", "total"}


def test_a_second_run_takes_all_but_register_from_the_cache_by_content(
    place: Path, first: dict[str, Any]
) -> None:
    shutil.copy(place / "loans.csv", place / "same-under-another-name.csv")
    code, result, errors = run(place, "same-under-another-name.csv")
    assert code == 0, errors
    assert result["cached"] == [step for step in STEPS if step != "register"]
    assert (result["digest"], result["version"], result["created"]) == (first["digest"], 1, False)
    assert "rows 1,500" in errors  # a cached step shows its numbers too


def test_new_gates_do_not_train_again_and_what_fails_them_is_not_registered(
    place: Path, first: dict[str, Any]
) -> None:
    strict = CONFIG | {"gates": {"metrics": [{"metric": "auc", "min": 0.999}, {"metric": "brier", "max": 1}]}}
    (place / "strict.yaml").write_text(yaml.safe_dump(strict))
    code, result, errors = run(place, config="strict.yaml")
    assert code == 1
    assert result["error"]["code"] == "SRN-GATE-001"
    verdicts = {d["metric"]: d["verdict"] for d in result["gate"]["demands"]}
    assert (verdicts["auc"], verdicts["brier"]) == ("fail", "pass")
    assert "Validation gate" in errors
    assert "Traceback" not in errors
    assert ["✓", "train", "cached"] in [line.split()[:3] for line in errors.splitlines()]
    assert [v.version for v in Registry(Home(place / "home")).versions("loans")] == [1]


def test_a_bad_value_is_told_in_the_words_of_its_file(place: Path, first: dict[str, Any]) -> None:
    columns = loans()
    write_csv(
        place / "bad.csv",
        columns | {"income": np.where(np.arange(1500) == 7, "abc", columns["income"].astype(str))},
    )
    code, result, errors = run(place, "bad.csv")
    assert code == 1
    assert result["error"]["code"] == "SRN-CONTRACT-003"
    assert "bad.csv line 9" in errors
    assert "Traceback" not in errors


HELD = """
import importlib.util, signal, sys

class Held:
    def find_spec(self, name, path, target=None):
        if name != "components.step":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module
        spec.loader.exec_module = lambda module: (load(module), hold(module))
        return spec

def hold(step):
    report = step._report
    def held(steps, name, value):
        report(steps, name, value)
        if name == "train.began.json":
            signal.pause()
    step._report = held

sys.meta_path.insert(0, Held())
"""
"""As sitecustomize.py: the step train waits where it has said that it began, however fast the machine is."""


def started(place: Path, seed: int) -> subprocess.Popen[str]:
    write_csv(place / f"{seed}.csv", loans(seed=seed))
    (place / "held").mkdir(exist_ok=True)
    (place / "held" / "sitecustomize.py").write_text(HELD)
    return subprocess.Popen(
        command(place, f"{seed}.csv"),
        cwd=place,
        env=environment(place / "held"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def pid_of(place: Path, before: set[Path], step: str) -> int:
    found: list[int] = []

    def look() -> bool:
        for directory in set((place / "home/runs").iterdir()) - before:
            path = directory / "steps" / f"{step}.began.json"
            if path.exists():
                found.append(read_struct(path, Began).pid)
        return bool(found)

    until(look, f"the step {step}")
    return found[0]


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):  # before it was read, or meanwhile
        return True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_leaves_no_process_and_no_version(
    place: Path, first: dict[str, Any], number: int
) -> None:
    before = set((place / "home/runs").iterdir())
    process = started(place, seed=50 + number)
    pid = pid_of(place, before, "train")
    process.send_signal(number)  # to the runner alone, as a supervisor would
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "serinus: stopped; nothing was registered"
    until(lambda: gone(pid), "the end of the step", 60)
    assert [v.version for v in Registry(Home(place / "home")).versions("loans")] == [1]


def test_a_killed_step_is_named_and_the_next_run_goes_on_where_it_was(
    place: Path, first: dict[str, Any]
) -> None:
    before = set((place / "home/runs").iterdir())
    process = started(place, seed=70)
    os.kill(pid_of(place, before, "train"), signal.SIGKILL)
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert json.loads(out.splitlines()[-1])["error"]["code"] == "SRN-PIPELINE-002"
    assert "the step train was killed" in errors
    assert [v.version for v in Registry(Home(place / "home")).versions("loans")] == [1]
    code, result, errors = run(place, "70.csv")
    assert code == 0, errors
    assert result["cached"] == ["ingest", "validate", "features", "split"]
    assert result["version"] == 2


def test_the_runs_record_says_what_happened(place: Path, first: dict[str, Any]) -> None:
    record = read_json(place / "home/runs" / first["run"] / "run.json")
    assert record["digest"] == first["digest"]
    assert (place / "home/runs" / first["run"] / "card.html").is_file()
    assert not (place / "home/runs" / first["run"] / "tmp").exists()
