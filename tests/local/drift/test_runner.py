"""Runs as real child processes."""

import sys
import threading
from pathlib import Path

import pytest

from serving.retrain.runner import LocalRunner, RunFailed
from tests.local.drift.support import until

pytestmark = pytest.mark.local


def runner(tmp_path: Path, script: str, timeout: float = 120.0) -> LocalRunner:
    return LocalRunner([sys.executable, "-c", script, "{model}", "{reason}"], tmp_path, timeout)


def test_the_last_line_of_a_run_is_its_result_and_no_shell_reads_the_reason(tmp_path: Path) -> None:
    script = "import json, sys; print('step 1'); print(json.dumps(dict(argv=sys.argv[1:])))"
    result = runner(tmp_path, script).run(run="r1", model="fraud", reason="alert $(touch x); `id` {model}")
    assert result == {"argv": ["fraud", "alert $(touch x); `id` {model}"]}


@pytest.mark.parametrize("script", ["pass", "print('done')", "print('[1]')"])
def test_a_run_may_tell_nothing(tmp_path: Path, script: str) -> None:
    assert runner(tmp_path, script).run(run="r1", model="fraud", reason="alert") is None


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("import sys; sys.exit('gate: AUC 0.6 < 0.8')", "code 1: gate: AUC 0.6 < 0.8"),
        ("import os; os.kill(os.getpid(), 9)", "killed by signal 9"),
    ],
)
def test_a_run_that_fails_says_how(tmp_path: Path, script: str, says: str) -> None:
    with pytest.raises(RunFailed, match=says):
        runner(tmp_path, script).run(run="r1", model="fraud", reason="alert")


def test_a_program_that_is_not_there_is_a_failed_run(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match="no program /nowhere/run"):
        LocalRunner(["/nowhere/run"], tmp_path).run(run="r1", model="fraud", reason="alert")


def test_a_run_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match="more than"):
        runner(tmp_path, "import signal; signal.pause()", 0.3).run(run="r1", model="fraud", reason="alert")


def test_stopping_ends_what_runs_and_starts_no_more(tmp_path: Path) -> None:
    script = f"import signal; open({str(tmp_path / 'begun')!r}, 'w'); signal.pause()"
    one, caught = runner(tmp_path, script), list[RunFailed]()

    def run() -> None:
        try:
            one.run(run="r1", model="fraud", reason="alert")
        except RunFailed as failure:
            caught.append(failure)

    thread = threading.Thread(target=run)
    thread.start()
    until((tmp_path / "begun").exists)
    one.stop()
    thread.join(60)
    assert [str(failure)[:25] for failure in caught] == ["it was killed by signal 1"]
    with pytest.raises(RunFailed, match="shutting down"):
        one.run(run="r2", model="fraud", reason="alert")
