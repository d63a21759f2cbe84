"""Submitting does once what is asked for twice, and says how it ends."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pipelines.cli import app
from pipelines.compile import COMPILED
from pipelines.submit import read_cron
from serinus.errors import SerinusError
from tests.support.kfp_server import KfpServer
from tests.unit.pipelines.test_compiled import EVERYTHING

ROOT = Path(__file__).parents[3]
CONTRACT = ROOT / "models" / "fraud" / "contract.yaml"
CONFIG = ROOT / "models" / "fraud" / "model.yaml"


@pytest.fixture
def kfp() -> Iterator[KfpServer]:
    server = KfpServer()
    server.pipelines.clear()
    yield server
    server.close()


class Told:
    """What a command said."""

    def __init__(self, done: Any) -> None:
        self.code, self.out, self.error = done.exit_code, done.stdout, done.stderr

    @property
    def json(self) -> Any:
        return json.loads(self.out.strip().splitlines()[-1])

    @property
    def only(self) -> Any:
        (one,) = self.json["submitted"]
        return one


def submit(
    kfp: KfpServer,
    *flags: str,
    data: str = "s3://records/a.csv",
    pipeline: Path = EVERYTHING,
    stdin: str = "",
) -> Told:
    command = ["submit", "--host", kfp.url, "--pipeline", str(pipeline), "--contract", str(CONTRACT)]
    command += ["--data", data, "--as", "ann", "--poll", "1ms", "--output", "json", *flags]
    return Told(CliRunner().invoke(app, command, input=stdin))


def test_a_run_is_started_with_the_published_pipeline_and_whole_parameters(kfp: KfpServer) -> None:
    told = submit(
        kfp, "--config", str(CONFIG), "--service-account", "runner", "--pipeline-root", "s3://artefacts"
    )
    assert told.code == 0, told.error
    (run,) = kfp.runs
    assert told.only["created"] is True
    assert told.only["id"] == run["run_id"]
    assert run["display_name"].startswith("fraud-")
    assert kfp.uploads == {told.only["version"]: EVERYTHING.read_bytes()}
    assert run["pipeline_version_reference"]["pipeline_version_id"] == told.only["version"]
    given = run["runtime_config"]["parameters"]
    assert json.loads(given["contract"])["name"] == "fraud"
    assert (given["data"], given["by"], given["run"]) == ("s3://records/a.csv", "ann", run["display_name"])
    assert json.loads(given["identity"])["owner"]
    assert "code" not in given, "the compiled pipeline names its image itself"
    assert run["runtime_config"]["pipeline_root"] == "s3://artefacts"
    assert run["service_account"] == "runner"


def test_the_champion_to_compare_with_is_a_parameter_and_part_of_what_a_run_is(kfp: KfpServer) -> None:
    place = "s3://models/bundles/" + "9f" * 32
    first, against = submit(kfp).only["id"], submit(kfp, "--champion", place).only["id"]
    assert first != against
    sent = [run["runtime_config"]["parameters"].get("champion_bundle") for run in kfp.runs]
    assert sent == [None, place]


def test_the_same_again_is_found_and_other_data_are_another_run(kfp: KfpServer) -> None:
    first, again = submit(kfp).only, submit(kfp).only
    assert (again["id"], again["created"]) == (first["id"], False)
    assert submit(kfp, data="s3://records/b.csv").only["id"] != first["id"]
    assert len(kfp.runs) == 2
    assert len(kfp.versions) == 1 + 2


def test_another_run_of_the_same_is_started_when_asked_for_and_gets_a_number(kfp: KfpServer) -> None:
    first = submit(kfp).only["name"]
    assert [submit(kfp, "--again").only["name"] for _ in range(2)] == [f"{first}-2", f"{first}-3"]


def test_a_name_that_is_taken_by_something_else_starts_nothing(kfp: KfpServer) -> None:
    submit(kfp, "--run-name", "november")
    told = submit(kfp, "--run-name", "november", data="s3://records/b.csv")
    assert told.code == 1
    assert told.json["error"]["code"] == "SRN-KFP-008"
    assert "parameter data" in told.error
    assert len(kfp.runs) == 1


def test_a_recurring_run_runs_one_at_a_time_and_does_not_catch_up(kfp: KfpServer) -> None:
    told = submit(kfp, "--cron", "0 3 * * 1")
    assert told.code == 0, told.error
    (recurring,) = kfp.recurring
    assert recurring["trigger"] == {"cron_schedule": {"cron": "0 0 3 * * 1"}}
    assert (recurring["max_concurrency"], recurring["no_catchup"], recurring["mode"]) == ("1", True, "ENABLE")
    assert recurring["display_name"] == "fraud-recurring"
    assert recurring["runtime_config"]["parameters"]["run"] == "fraud-recurring-[[ScheduledTime]]"
    assert submit(kfp, "--cron", "0 3 * * 1").only["created"] is False
    assert len(kfp.recurring) == 1


def test_a_recurring_run_is_replaced_only_when_asked_for(kfp: KfpServer) -> None:
    submit(kfp, "--cron", "0 3 * * 1")
    other = ("--cron", "0 4 * * 1")
    refused = submit(kfp, *other)
    assert (refused.code, refused.json["error"]["code"]) == (1, "SRN-KFP-008")
    assert "differs in the schedule" in refused.error
    assert kfp.recurring[0]["trigger"]["cron_schedule"]["cron"] == "0 0 3 * * 1"
    assert submit(kfp, *other, "--replace").only["created"] is True
    (left,) = kfp.recurring
    assert left["trigger"]["cron_schedule"]["cron"] == "0 0 4 * * 1"


def alert(**changes: Any) -> dict[str, Any]:
    labels = {"alertname": "SerinusFeatureDrift", "model": "fraud", "retrain": "true"} | changes.pop(
        "labels", {}
    )
    return {
        "status": "firing",
        "labels": labels,
        "annotations": {"summary": "amount drifts"},
        "startsAt": "2026-11-28T08:00:00.5Z",
        "fingerprint": "abc123",
        **changes,
    }


def webhook(*alerts: dict[str, Any]) -> str:
    return json.dumps({"version": "4", "alerts": list(alerts)})


def test_an_alert_starts_one_run_however_often_it_is_repeated(kfp: KfpServer) -> None:
    for _ in range(3):
        told = submit(kfp, "--alert", "-", stdin=webhook(alert()))
        assert told.code == 0, told.error
    (run,) = kfp.runs
    assert run["display_name"] == "fraud-alert-abc123-20261128080000"
    assert run["description"] == "alert SerinusFeatureDrift on fraud: amount drifts"
    submit(kfp, "--alert", "-", stdin=webhook(alert(startsAt="2026-11-29T08:00:00Z")))
    assert len(kfp.runs) == 2, "the alert fired anew"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"status": "resolved"}, "it is resolved"),
        ({"labels": {"retrain": "false"}}, "does not ask for retraining"),
        ({"labels": {"model": "credit"}}, "about credit, not fraud"),
    ],
)
def test_other_alerts_start_nothing_and_that_is_said(
    kfp: KfpServer, changes: dict[str, Any], why: str
) -> None:
    told = submit(kfp, "--alert", "-", stdin=webhook(alert(**changes)))
    assert (told.code, told.json) == (0, {"submitted": []})
    assert why in told.error
    assert kfp.runs == []


def test_waiting_tells_the_steps_and_the_end(kfp: KfpServer) -> None:
    def tasks(run: dict[str, Any]) -> list[dict[str, Any]]:
        state = "SUCCEEDED" if run["looked_at"] > 2 else "RUNNING"
        names = ("root", "root-driver", "ingest-driver", "executor")
        return [
            {"display_name": "ingest", "state": state},
            *({"display_name": n, "state": state} for n in names),
        ]

    kfp.tasks = tasks
    kfp.states = lambda run: "SUCCEEDED" if run["looked_at"] > 4 else "RUNNING"
    told = submit(kfp, "--wait")
    assert told.code == 0, told.error
    assert told.only["state"] == "SUCCEEDED"
    assert told.only["tasks"] == {"ingest": "SUCCEEDED"}
    said = [line.split()[1:] for line in told.error.splitlines()]
    assert said == [["run", "RUNNING"], ["ingest", "RUNNING"], ["ingest", "SUCCEEDED"], ["run", "SUCCEEDED"]]


@pytest.mark.parametrize("state", ["FAILED", "CANCELED", "SKIPPED"])
def test_what_does_not_succeed_fails_the_command(kfp: KfpServer, state: str) -> None:
    kfp.states = lambda run: state
    told = submit(kfp, "--wait")
    assert (told.code, told.only["state"]) == (1, state)
    assert f"ended as {state}" in told.error


def test_a_run_that_takes_too_long_goes_on_and_is_found_again(kfp: KfpServer) -> None:
    kfp.states = lambda run: "RUNNING"
    told = submit(kfp, "--wait", "--timeout", "20ms")
    assert (told.code, told.json["error"]["code"]) == (1, "SRN-KFP-010")
    assert kfp.terminated == []
    kfp.states = lambda run: "SUCCEEDED"
    assert submit(kfp, "--wait").code == 0
    assert len(kfp.runs) == 1


def test_an_interrupted_wait_says_that_the_run_goes_on(
    kfp: KfpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    kfp.states = lambda run: "RUNNING"
    monkeypatch.setattr(time, "sleep", interrupt)
    told = submit(kfp, "--wait")
    assert told.code == 130
    assert "goes on" in told.error


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        (["--parameter", "speed=1"], "SRN-KFP-007"),
        (["--parameter", "speed"], "SRN-KFP-002"),
        (["--cron", "every monday"], "SRN-KFP-009"),
        (["--pipeline", str(COMPILED)], "SRN-PIPELINE-040"),
        (["--pipeline", str(CONTRACT)], "SRN-KFP-006"),
        (["--pipeline", "absent.yaml"], "SRN-KFP-006"),
        (["--alert", "absent.json"], "SRN-RETRAIN-001"),
        (["--host", "ml-pipeline:8888"], "SRN-KFP-001"),
        (["--host", "http://127.0.0.1:1", "--patience", "1ms"], "SRN-KFP-003"),
    ],
)
def test_what_cannot_be_started_changes_nothing(kfp: KfpServer, flags: list[str], code: str) -> None:
    told = submit(kfp, *flags)
    assert told.code == 1
    assert told.json["error"]["code"] == code
    assert (kfp.runs, kfp.recurring, kfp.uploads) == ([], [], {})


@pytest.mark.parametrize(
    "flags",
    [
        ["--cron", "0 3 * * 1", "--wait"],
        ["--cron", "0 3 * * 1", "--alert", "-"],
        ["--replace"],
        ["--poll", "often"],
    ],
)
def test_flags_that_do_not_go_together_are_wrong_usage(kfp: KfpServer, flags: list[str]) -> None:
    assert submit(kfp, *flags).code == 2


def test_a_pipeline_by_tag_is_taken_when_told_to(kfp: KfpServer) -> None:
    assert submit(kfp, "--allow-tag", pipeline=COMPILED).code == 0


@pytest.mark.parametrize(
    ("text", "six"),
    [
        ("0 3 * * 1", "0 0 3 * * 1"),
        ("30 0 3 * * MON-FRI", "30 0 3 * * MON-FRI"),
        ("*/15 * * * *", "0 */15 * * * *"),
        ("@daily", "@daily"),
        ("@every 6h", "@every 6h"),
    ],
)
def test_cron_gets_its_seconds(text: str, six: str) -> None:
    assert read_cron(text) == six


@pytest.mark.parametrize("text", ["", "* * *", "a;b * * * *", "1 2 3 4 5 6 7", "@sometimes"])
def test_what_is_no_cron_is_refused(text: str) -> None:
    with pytest.raises(SerinusError, match="SRN-KFP-009"):
        read_cron(text)
