from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serinus.kfp import HttpServer
from serving.retrain.kfp import KfpRunner
from serving.retrain.policy import Ledger, Run
from serving.retrain.runner import MemoryRunner, RunFailed, RunStopped
from serving.retrain.store import MemoryStore
from tests.support.kfp_server import KfpServer
from tests.unit.retrain.test_retrain import Desk


@pytest.fixture
def kfp() -> Iterator[KfpServer]:
    server = KfpServer()
    yield server
    server.close()


class Time:
    """A clock that moves only when somebody waits."""

    def __init__(self, stop_after: int = 10_000) -> None:
        self.now = 0.0
        self.waits = 0
        self._stop_after = stop_after

    def wait(self, seconds: float) -> bool:
        self.now += seconds
        self.waits += 1
        return self.waits >= self._stop_after


def runner(kfp: KfpServer, time: Time | None = None, **changes: Any) -> KfpRunner:
    time = time or Time()
    arguments: dict[str, Any] = {
        "parameters": {"name": "{model}", "reason": "{reason}", "rows": 5, "quick": False},
        "clock": lambda: time.now,
        "wait": time.wait,
        **changes,
    }
    return KfpRunner(HttpServer(kfp.url), arguments.pop("pipeline", "serinus-training"), **arguments)


def start(kfp: KfpServer, **changes: Any) -> dict[str, Any] | None:
    return runner(kfp, **changes).run(run="retrain-1", model="fraud", reason="alert X on fraud: {model}")


def test_a_run_is_created_with_what_the_alert_said_and_followed_to_its_end(kfp: KfpServer) -> None:
    kfp.states = lambda run: "SUCCEEDED" if run["looked_at"] > 3 else "RUNNING"
    result = start(kfp, service_account="pipeline-runner")
    assert result is not None
    assert result["kfp_run_id"] == "r1"
    (run,) = kfp.runs
    assert run["display_name"] == "retrain-1"
    assert run["pipeline_version_reference"] == {"pipeline_id": "p1", "pipeline_version_id": "v-new"}
    assert run["service_account"] == "pipeline-runner"
    assert run["runtime_config"]["parameters"] == {
        "name": "fraud",
        "reason": "alert X on fraud: {model}",
        "rows": 5,
        "quick": False,
    }


def test_a_named_version_is_run_and_an_unknown_one_is_a_failure(kfp: KfpServer) -> None:
    start(kfp, version="v-old")
    assert kfp.runs[0]["pipeline_version_reference"]["pipeline_version_id"] == "v-old"
    with pytest.raises(RunFailed, match="no version 'v-7'"):
        runner(kfp, version="v-7").run(run="retrain-2", model="fraud", reason="x")


@pytest.mark.parametrize(
    ("trouble", "says"),
    [
        ({"pipeline": "other"}, r"refused GET /pipelines/names/other \(404\): pipeline other not found"),
        ({"states": "FAILED"}, "ended as FAILED: the gate stopped it"),
        ({"states": "CANCELED"}, "ended as CANCELED"),
        ({"states": "SKIPPED"}, "ended as SKIPPED"),
    ],
)
def test_what_does_not_succeed_has_failed_and_says_why(
    kfp: KfpServer, trouble: dict[str, Any], says: str
) -> None:
    state = trouble.pop("states", "SUCCEEDED")
    kfp.states = lambda run: state
    with pytest.raises(RunFailed, match=says):
        start(kfp, **trouble)


def test_a_run_that_was_started_before_is_followed_and_not_started_again(kfp: KfpServer) -> None:
    start(kfp)
    start(kfp)
    assert len(kfp.runs) == 1
    assert len(kfp.experiments) == 1


def test_a_lost_answer_to_the_creation_does_not_double_the_run(kfp: KfpServer) -> None:
    kfp.lose_answer_of_create = True
    assert start(kfp) is not None
    assert len(kfp.runs) == 1


def test_a_server_that_is_away_for_a_while_is_waited_for(kfp: KfpServer) -> None:
    kfp.refuse = [503, 502, 429, 504]
    assert start(kfp) is not None
    kfp.refuse = [503] * 10_000
    time = Time()
    with pytest.raises(RunFailed, match="cannot be reached: status 503"):
        start(kfp, time=time, patience=60.0)
    assert 60 < time.now < 120


def test_a_run_beyond_its_time_is_terminated(kfp: KfpServer) -> None:
    kfp.states = lambda run: "RUNNING"
    with pytest.raises(RunFailed, match="took more than 100 s and was terminated"):
        start(kfp, timeout=100.0)
    assert kfp.terminated == ["r1"]


def test_the_token_is_read_anew_for_each_request(kfp: KfpServer, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first\n", encoding="utf-8")
    server = HttpServer(kfp.url, token)
    server.call("GET", "/experiments")
    token.write_text("second\n", encoding="utf-8")
    server.call("GET", "/experiments")
    assert kfp.tokens == {"Bearer first", "Bearer second"}


def test_a_receiver_that_ends_leaves_the_run_to_the_next_one(kfp: KfpServer, tmp_path: Path) -> None:
    kfp.states = lambda run: "RUNNING"
    first = Desk(tmp_path / "a", runner=runner(kfp, Time(stop_after=3)))
    assert first.arrives() == "started"
    assert [run.outcome for run in first.receiver.ledger().runs] == ["running"]
    kfp.states = lambda run: "SUCCEEDED"
    second = Desk(tmp_path / "a", runner=runner(kfp), store=first.store)
    assert second.receiver.wait(60)
    (run,) = second.receiver.ledger().runs
    assert run.outcome == "succeeded"
    assert len(kfp.runs) == 1
    assert [notice["run"] for notice in second.notifier.told] == [run.id]


def test_a_run_on_this_machine_died_with_its_receiver_and_is_not_repeated(tmp_path: Path) -> None:
    store = MemoryStore()
    left = Run(id="r", model="fraud", cause="fraud/X", key="k", reason="alert", started=1.0)
    store.save(Ledger(runs=[left]))
    desk = Desk(tmp_path, runner=MemoryRunner(), store=store)
    assert [run.outcome for run in desk.receiver.ledger().runs] == ["interrupted"]


def test_stopping_is_told_from_failing(kfp: KfpServer) -> None:
    kfp.states = lambda run: "RUNNING"
    with pytest.raises(RunStopped):
        start(kfp, time=Time(stop_after=2))
