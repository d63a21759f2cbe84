"""A step's process: how its end is told to whoever watches."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from components.step import (
    CANCELLED,
    STEPS_DIRECTORY,
    SUMMARY,
    Ended,
    Failed,
    StepError,
    read_json,
    read_struct,
    run_step,
)
from serinus.errors import SerinusError


@pytest.fixture
def steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(STEPS_DIRECTORY, str(tmp_path))
    return tmp_path


def raises(error: Exception) -> None:
    def function() -> dict[str, object]:
        raise error

    run_step("train", function)


def test_a_result_leaves_its_numbers_and_its_process_id(steps: Path) -> None:
    metadata = run_step("train", lambda rows: {"rows": rows, "trees": 3}, rows=2)
    assert json.loads(metadata[SUMMARY]) == {"rows": 2, "trees": 3}
    assert read_struct(steps / "train.ended.json", Ended).summary == {"rows": 2, "trees": 3}
    assert read_json(steps / "train.began.json") == {"pid": os.getpid()}


def test_our_error_leaves_the_process_whole_without_a_traceback(
    steps: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        raises(StepError("SRN-GATE-001", "too low", where="gate", hint="Train better.", details={"a": 1}))
    back = read_struct(steps / "train.failed.json", Failed).error()
    assert (back.to_dict(), back.details) == (
        {"code": "SRN-GATE-001", "what": "too low", "where": "gate", "hint": "Train better."},
        {"a": 1},
    )
    assert capsys.readouterr().err == "serinus: SRN-GATE-001 gate: too low. Train better.\n"
    assert not (steps / "train.ended.json").exists()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/x"), "SRN-PIPELINE-004"),
        (RuntimeError("IO Error: could not write: No space left on device"), "SRN-PIPELINE-004"),
        (MemoryError(), "SRN-PIPELINE-003"),
        (SerinusError("SRN-DATA-001", "empty", hint="Give rows."), "SRN-DATA-001"),
    ],
)
def test_what_the_machine_lacks_is_said_as_such(steps: Path, error: Exception, code: str) -> None:
    with pytest.raises(SystemExit):
        raises(error)
    assert read_struct(steps / "train.failed.json", Failed).code == code


def test_a_fault_of_ours_keeps_its_traceback(steps: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        raises(ZeroDivisionError())
    assert not (steps / "train.failed.json").exists()


def test_a_step_that_starts_after_the_run_was_stopped_does_nothing(steps: Path) -> None:
    (steps / CANCELLED).touch()
    with pytest.raises(SystemExit):
        run_step("register", lambda: pytest.fail("it ran"))


def test_on_a_server_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(STEPS_DIRECTORY, raising=False)
    monkeypatch.chdir(tmp_path)
    run_step("train", dict)
    assert list(tmp_path.iterdir()) == []
