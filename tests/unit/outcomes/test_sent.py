"""Lines that are posted instead of read from files: the same join, each line once, and nothing lost on the way."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from serinus.errors import SerinusError
from serinus.follow import FEEDBACK, matching
from serinus.shipping import MemoryChannel, Shipper, Untaken, run
from serving.outcomes.engine import MAX_WAITING, BusyError
from serving.outcomes.http import MAX_BODY, build_app
from tests.unit.outcomes.lines import DAY, START, decision, feedback, protected
from tests.unit.outcomes.test_engine import World, series


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.engine.stop()


@pytest.fixture
def client(world: World) -> Iterator[TestClient]:
    world.engine.start(read_every=0.05)
    with TestClient(build_app(world.engine)) as client:
        yield client


def test_what_is_posted_is_joined_as_if_it_had_been_read(world: World, client: TestClient) -> None:
    lines = [decision(f"r{i}", START + i, predictor="p-1" if i % 2 else "p-2") for i in range(200)]
    assert client.post("/decisions", content=b"".join(lines)).json() == {"lines": 200, "unreadable": 0}
    assert client.post("/decisions", content=b"".join(lines)).json() == {"lines": 200, "unreadable": 0}
    labels = b"".join(feedback(f"r{i}", i % 3 == 0) for i in range(100))
    assert client.post("/feedback", content=labels).json() == {"lines": 100, "unreadable": 0}
    one = b'{"request_id": "r150", "label": 1, "time": "2025-10-20T00:00:00Z"}\n\n{"nonsense": 1}\n'
    assert client.post("/labels", content=one).json() == {"lines": 2, "unreadable": 1}
    assert client.post("/protected", content=protected("r1", sex="f")).json()["unreadable"] == 0
    world.engine.stop()
    world.now = START + 20 * DAY
    page = world.pages()
    assert series(page, "serinus_outcomes_decisions_total", predictor="p-1") == 100
    assert series(page, "serinus_outcomes_decisions_total", predictor="p-2") == 100
    assert series(page, "serinus_labels_total", result="joined") == 101
    assert series(page, "serinus_labels_total", result="repeated") == 200, "decisions that came twice"
    assert series(page, "serinus_labels_total", result="unreadable") == 1
    assert series(page, "serinus_outcomes_total", predictor="p-1", outcome="bad") is not None


def test_a_body_that_is_too_large_is_refused_whole(world: World, client: TestClient) -> None:
    answer = client.post("/decisions", content=b"x" * (MAX_BODY + 1))
    assert (answer.status_code, answer.json()["code"]) == (413, "SRN-OUTCOMES-004")
    world.engine.stop()
    assert world.pages().count("serinus_outcomes_decisions_total{") == 0


def test_lines_that_the_store_does_not_take_are_asked_for_again(
    world: World, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    taking = world.store.apply
    full = [True]

    def apply(**what: object) -> None:
        if full[0]:
            raise SerinusError("SRN-OUTCOMES-001", "the disk is full", hint="Make room.")
        taking(**what)  # type: ignore[arg-type]

    monkeypatch.setattr(world.store, "apply", apply)
    answer = client.post("/decisions", content=decision("a"))
    assert (answer.status_code, answer.json()["code"]) == (503, "SRN-OUTCOMES-005")
    assert "disk is full" in answer.json()["what"]
    full[0] = False
    assert client.post("/decisions", content=decision("a")).status_code == 200
    world.engine.stop()
    assert series(world.pages(), "serinus_outcomes_decisions_total", predictor="champion") == 1


def test_no_more_than_some_batches_wait_and_what_waits_at_the_end_is_refused(world: World) -> None:
    waiting = [world.engine.send("decisions", [decision(f"r{i}")]) for i in range(MAX_WAITING)]
    with pytest.raises(BusyError):
        world.engine.send("decisions", [decision("one more")]).result(0)
    world.engine.take()
    assert {future.result(0).lines for future in waiting} == {1}
    late = world.engine.send("decisions", [decision("late")])
    world.engine.start()
    world.engine.stop()
    # It was taken before the end, or refused: never left without an answer.
    assert late.done()


def test_a_program_whose_thread_ended_is_not_alive(world: World, client: TestClient) -> None:
    assert client.get("/health/live").status_code == 200
    world.engine.stop()
    assert client.get("/health/live").status_code == 503


# --- the sender ---------------------------------------------------------------


def logs(path: Path, *, pod: str = "fraud-p-0123456789-7f-x") -> dict[str, Path]:
    return {
        "decisions": path / f"fraud-{pod}.jsonl",
        "feedback": path / f"fraud-{pod}.feedback.jsonl",
    }


def shipper(path: Path, channel: MemoryChannel, state: Path) -> Shipper:
    sources = {
        "decisions": matching(path, "fraud-*.jsonl", leave_out=FEEDBACK),
        "feedback": matching(path, "fraud-*.feedback*.jsonl"),
    }
    return Shipper(sources, channel, state)


@settings(max_examples=40, deadline=None)
@given(
    steps=st.lists(st.sampled_from(["write", "label", "send", "down", "restart", "rotate"]), max_size=30),
)
def test_every_line_arrives_in_order_whatever_happens_between(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    path = tmp_path_factory.mktemp("logs")
    files, channel, state = logs(path), MemoryChannel(), path / "state" / "places.json"
    written: dict[str, list[bytes]] = {"decisions": [], "feedback": []}
    sender = shipper(path, channel, state)
    rotated = 0
    for step in [*steps, "send", "send"]:
        match step:
            case "write" | "label":
                kind = "decisions" if step == "write" else "feedback"
                number = len(written[kind])
                line = decision(f"r{number}") if kind == "decisions" else feedback(f"r{number}", 1)
                with files[kind].open("ab") as file:
                    file.write(line)
                written[kind].append(line.strip())
            case "send":
                channel.down = False
                sender.send()
            case "down":
                channel.down = True
                if any(path.glob("*.jsonl")):
                    with contextlib.suppress(Untaken):
                        sender.send()
            case "restart":
                sender = shipper(path, channel, state)
            case _ if files["decisions"].exists():
                rotated += 1
                files["decisions"].rename(path / f"{files['decisions'].stem}.{rotated:06d}.jsonl")
            case _:
                pass
    for kind, lines in written.items():
        assert [line for of, line in channel.sent if of == kind] == lines


def test_a_line_that_is_not_whole_waits(tmp_path: Path) -> None:
    channel = MemoryChannel()
    sender = shipper(tmp_path, channel, tmp_path / "places.json")
    whole = decision("a")
    file = logs(tmp_path)["decisions"]
    file.write_bytes(whole + decision("b")[:40])
    assert sender.send() == 1
    assert channel.sent == [("decisions", whole.strip())]


def test_a_place_that_cannot_be_read_sends_everything_again(tmp_path: Path) -> None:
    channel, state = MemoryChannel(), tmp_path / "places.json"
    logs(tmp_path)["decisions"].write_bytes(decision("a"))
    shipper(tmp_path, channel, state).send()
    state.write_bytes(b"{")
    shipper(tmp_path, channel, state).send()
    assert len(channel.sent) == 2


def test_after_the_end_was_asked_for_what_is_left_is_sent(tmp_path: Path) -> None:
    channel, stopping, alive = MemoryChannel(), threading.Event(), tmp_path / "alive"
    logs(tmp_path)["decisions"].write_bytes(b"".join(decision(f"r{i}") for i in range(3)))
    stopping.set()
    run(shipper(tmp_path, channel, tmp_path / "places.json"), 0.01, 0.0, stopping, alive.touch)
    assert len(channel.sent) == 3
    assert alive.exists()


def test_an_end_without_anybody_to_send_to_is_an_end(tmp_path: Path) -> None:
    channel, stopping = MemoryChannel(), threading.Event()
    channel.down = True
    logs(tmp_path)["decisions"].write_bytes(decision("a"))
    stopping.set()
    run(shipper(tmp_path, channel, tmp_path / "places.json"), 0.01, 0.0, stopping)
    assert channel.sent == []


def test_feedback_is_no_decision_log(tmp_path: Path) -> None:
    for file in logs(tmp_path).values():
        file.touch()
    decisions = matching(tmp_path, "fraud-*.jsonl", leave_out=FEEDBACK)()
    assert [path.name for path in decisions] == ["fraud-fraud-p-0123456789-7f-x.jsonl"]
