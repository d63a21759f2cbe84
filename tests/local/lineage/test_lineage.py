"""Real runs told to a real HTTP receiver by OpenLineage's own client; every event by the official schemas."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from pipelines.training import STEPS
from serinus.home import Home
from serinus.lineage import journal
from serinus.lineage.ancestry import ancestry
from serinus.lineage.context import Context
from serinus.lineage.types import RunEvent
from serinus.registry import Registry
from tests.support.openlineage_schema import problems
from tests.support.openlineage_server import Receiver, receiving
from tests.support.ports import refusing
from tests.unit.components.support import lay_out

pytestmark = pytest.mark.local
ROOT = Path(__file__).resolve().parents[3]
CONFIG = {"name": "loans", "training": {"rounds": 20, "out_of_fold_rows": 0}}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lay_out(tmp_path_factory.mktemp("lineage"), CONFIG)


@pytest.fixture(scope="module")
def receiver() -> Generator[Receiver]:
    with receiving() as made:
        yield made


def environment(place: Path, **more: str) -> dict[str, str]:
    left_out = ("OPENLINEAGE", "SERINUS_LINEAGE")
    plain = {key: value for key, value in os.environ.items() if not key.startswith(left_out)}
    return {**plain, "PYTHONPATH": str(ROOT), "HOME": str(place), **more}


def command(config: str = "model.yaml") -> list[str]:
    return [
        sys.executable, "-m", "pipelines", "run", "--output", "json", "--contract", "contract.yaml",
        "--data", "loans.csv", "--config", config, "--home", "home", "--as", "ann",
    ]  # fmt: skip


def run(place: Path, arguments: list[str], **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        arguments, cwd=place, env=environment(place, **more), capture_output=True, text=True, timeout=560
    )


def serinus(place: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; from serinus.cli import main; sys.exit(main(sys.argv[1:]))"
    return run(place, [sys.executable, "-c", code, *arguments, "--home", "home"], **more)


def files(place: Path) -> set[Path]:
    return set(Home(place / "home").lineage.glob("2*.ndjson"))


@pytest.fixture(scope="module")
def first(place: Path, receiver: Receiver) -> dict[str, Any]:
    done = run(place, command(), OPENLINEAGE_URL=receiver.url, OPENLINEAGE_API_KEY="k3y")
    assert done.returncode == 0, done.stderr
    assert "lineage" not in done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def without_the_clients(body: dict[str, Any]) -> dict[str, Any]:
    """An event without what OpenLineage's client adds: its version as a tag, and empty lists and objects."""
    plain = json.loads(json.dumps(body))
    facets = plain["run"]["facets"]
    tags = [tag for tag in facets["tags"]["tags"] if tag["source"] != "OPENLINEAGE_CLIENT"]
    facets |= {"tags": facets["tags"] | {"tags": tags}}
    if not tags:
        del facets["tags"]
    return pruned(plain)


def pruned(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {key: pruned(each) for key, each in value.items()}
        return {key: each for key, each in kept.items() if each not in ({}, [])}
    return [pruned(each) for each in value] if isinstance(value, list) else value


def test_every_step_and_the_run_around_them_reach_the_backend(
    place: Path, receiver: Receiver, first: dict[str, Any]
) -> None:
    kept = [
        *journal.read(next(iter(files(place)))),
        *journal.read(Home(place / "home").lineage / "registry.ndjson"),
    ]
    assert len(receiver.bodies) == len(kept) == 2 * (len(STEPS) + 2)
    assert [problem for body in receiver.bodies for problem in problems(body)] == []
    sent = {json.dumps(without_the_clients(body), sort_keys=True) for body in receiver.bodies}
    assert sent == {json.dumps(msgspec.to_builtins(event), sort_keys=True) for event in kept}
    assert {headers["Authorization"] for headers in receiver.headers} == {"Bearer k3y"}
    assert [(body["eventType"], body["job"]["name"]) for body in receiver.bodies[:2]] == [
        ("START", "loans.training"), ("START", "loans.training.ingest"),
    ]  # fmt: skip


def test_the_lineage_of_the_version_leads_from_the_file_to_its_stage(
    place: Path, first: dict[str, Any]
) -> None:
    home = Home(place / "home")
    graph = ancestry(home, Registry(home).get("loans"))
    assert [node.label for node in graph.nodes if node.kind == "step"] == list(STEPS)
    assert graph.nodes[0].label == str(place / "loans.csv")
    assert graph.node("bundle").digest == first["digest"]
    assert graph.notes == ()
    shown = serinus(place, "lineage", "loans.csv")
    assert shown.returncode == 0, shown.stderr
    assert "validated" in shown.stdout


def test_a_backend_that_is_down_fails_nothing_and_gets_all_of_it_later(
    place: Path, receiver: Receiver, first: dict[str, Any]
) -> None:
    before = files(place)
    with refusing() as port:
        down = f"http://127.0.0.1:{port}"
        done = run(place, command(), OPENLINEAGE_URL=down)
    assert done.returncode == 0, done.stderr
    [path] = files(place) - before
    told = journal.read(path)
    assert f"0 reached {down}" in done.stderr
    assert f"{len(told)} are kept" in done.stderr
    assert "serinus lineage send" in done.stderr

    # Cached steps tell what they once read and wrote, under this run.
    cached = [event for event in told if event.job.name.endswith(".train")]
    assert [event.event_type for event in cached] == ["START", "COMPLETE"]
    assert {tag["key"] for tag in cached[0].run.facets["tags"]["tags"]} == {"cached", "computed_by"}
    earlier = [e for e in journal.read(next(iter(before))) if e.job.name.endswith(".train")]
    assert [each.key for each in cached[1].outputs] == [each.key for each in earlier[1].outputs]
    assert [problem for event in told for problem in problems(event)] == []

    had = len(receiver.bodies)
    sent = serinus(place, "lineage", "send", OPENLINEAGE_URL=receiver.url)
    assert (sent.returncode, sent.stderr) == (0, "")
    got = [without_the_clients(body) for body in receiver.bodies[had:]]
    assert got == [json.loads(msgspec.json.encode(event)) for event in told]
    assert "it has all of them" in serinus(place, "lineage", "send", OPENLINEAGE_URL=receiver.url).stdout


def test_what_the_backend_will_not_have_is_said_and_holds_up_nothing(
    place: Path, receiver: Receiver, first: dict[str, Any]
) -> None:
    receiver.answer = 422
    try:
        sent = serinus(place, "lineage", "send", "--again", OPENLINEAGE_URL=receiver.url)
    finally:
        receiver.answer = 201
    assert sent.returncode == 1
    assert "refused" in sent.stderr
    assert "Traceback" not in sent.stderr


def test_any_transport_of_the_client_takes_them(place: Path, first: dict[str, Any]) -> None:
    log = place / "events.json"
    config = {"transport": {"type": "file", "log_file_path": str(log), "append": True}}
    (place / "elsewhere.yml").write_text(yaml.safe_dump(config))
    sent = serinus(place, "lineage", "send", "--again", OPENLINEAGE_CONFIG=str(place / "elsewhere.yml"))
    assert sent.returncode == 0, sent.stderr
    written = [json.loads(line) for line in log.read_text().splitlines()]
    assert len(written) >= 2 * (len(STEPS) + 2)
    assert [problem for body in written for problem in problems(body)] == []


def until(condition: Callable[[], bool], what: str, seconds: float = 120) -> None:
    tick, deadline = threading.Event(), time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        tick.wait(0.02)
    pytest.fail(f"{what} did not come within {seconds:g} s")


def begun(place: Path, before: set[Path], step: str) -> list[RunEvent]:
    return [
        event
        for path in files(place) - before
        for event in journal.read(path)
        if event.job.name.endswith(f".{step}")
    ]


@pytest.mark.parametrize(
    ("ends", "kind", "code"), [("the run is interrupted", "ABORT", 130), ("the step is killed", "FAIL", 1)]
)
def test_a_step_that_cannot_say_its_end_is_told_of_by_the_runner(
    place: Path, first: dict[str, Any], ends: str, kind: str, code: int
) -> None:
    before = files(place)
    slow = CONFIG | {
        "training": {"rounds": 10_000, "early_stopping": 0}
    }  # it does not end by itself meanwhile
    (place / "slow.yaml").write_text(yaml.safe_dump(slow))
    process = subprocess.Popen(
        command("slow.yaml"),
        cwd=place,
        env=environment(place),
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    until(lambda: bool(begun(place, before, "train")), "the step train")
    [path] = files(place) - before
    if kind == "ABORT":
        process.send_signal(signal.SIGINT)
    else:
        began = place / "home" / "runs" / path.stem / "steps" / "train.began.json"
        os.kill(json.loads(began.read_text())["pid"], signal.SIGKILL)
    process.communicate(timeout=120)
    assert process.returncode == code
    told = journal.read(path)
    assert [(event.event_type, event.job.name) for event in told[-2:]] == [
        (kind, "loans.training.train"), (kind, "loans.training"),
    ]  # fmt: skip
    assert list(journal.unfinished(told)) == []
    assert [problem for event in told for problem in problems(event)] == []
    failed = [event.run.facets.get("errorMessage", {}).get("message", "") for event in told[-2:]]
    assert all(("SRN-PIPELINE-002" in message) is (kind == "FAIL") for message in failed)


def test_switched_off_nothing_is_kept_and_lineage_says_what_it_lacks(
    place: Path, first: dict[str, Any]
) -> None:
    before = files(place)
    config = CONFIG | {"name": "unseen"}
    (place / "unseen.yaml").write_text(yaml.safe_dump(config))
    assert run(place, command("unseen.yaml"), SERINUS_LINEAGE="off").returncode == 0
    assert files(place) == before
    shown = serinus(place, "lineage", "unseen")
    assert shown.returncode == 0
    assert "the events of the run" in shown.stderr


STEP = """
import json, sys
import openlineage.client  # read ahead: on a busy machine that alone may take longer than a step waits at its end
from components.step import run_step
run_step("features", lambda: {"rows": "7"})
"""


def pod(place: Path, url: str) -> subprocess.CompletedProcess[str]:
    """A step as it runs in a pod: it has a run and a backend, and no file to keep events in."""
    context = Context(model="loans").to_environment()
    identity = "01a221f6-8519-7e4d-a501-4d5c4f074086"
    told = json.dumps({"inputs": {}, "outputs": {}})
    return run(
        place, [sys.executable, "-c", STEP, "--executor_input", told],
        OPENLINEAGE_URL=url, SERINUS_LINEAGE_RUN=identity, **context,
    )  # fmt: skip


def test_a_pod_sends_its_own_events(place: Path) -> None:
    with receiving() as receiver:
        done = pod(place, receiver.url)
        assert (done.returncode, done.stderr) == (0, "")
        assert [body["eventType"] for body in receiver.bodies] == ["START", "COMPLETE"]
        assert [problem for body in receiver.bodies for problem in problems(body)] == []
        parents = {body["run"]["facets"]["parent"]["run"]["runId"] for body in receiver.bodies}
        assert parents == {"01a221f6-8519-7e4d-a501-4d5c4f074086"}


def test_a_pod_does_not_wait_for_a_backend_that_never_answers_and_its_log_keeps_the_events(
    place: Path,
) -> None:
    with receiving() as receiver:
        receiver.released.clear()
        done = pod(place, receiver.url)
        assert done.returncode == 0
        assert receiver.asked.wait(60)
        assert "2 lineage events were not sent (no answer within 5 s)" in done.stderr
        (place / "pod.log").write_text(done.stderr)
    with receiving() as later:
        sent = serinus(place, "lineage", "send", "pod.log", OPENLINEAGE_URL=later.url)
        assert sent.returncode == 0, sent.stderr
        assert [body["eventType"] for body in later.bodies] == ["START", "COMPLETE"]
