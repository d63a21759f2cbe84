"""Sending: in order, once, from the files, and never longer than its bound."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serinus.errors import SerinusError
from serinus.lineage import journal
from serinus.lineage.backend import MemoryBackend
from serinus.lineage.outbox import Courier, Delivery, Direct, deliver, forget, kept
from serinus.lineage.types import RunEvent
from tests.unit.lineage.support import Failing, told


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.ndjson"


def jobs(backend: MemoryBackend) -> list[str]:
    return [event.job.name for event in backend.events]


def test_what_was_sent_is_not_sent_again(path: Path) -> None:
    backend = MemoryBackend()
    journal.append(path, told("a"), told("b"))
    assert deliver(path, backend) == Delivery(sent=2)
    assert deliver(path, backend) == Delivery()
    journal.append(path, told("c"))
    assert deliver(path, backend) == Delivery(sent=1)
    assert jobs(backend) == ["a", "b", "c"]


def test_a_backend_that_is_down_keeps_what_follows_and_gets_it_later(path: Path) -> None:
    backend = Failing()
    journal.append(path, told("a"), told("down"), told("b"))
    done = deliver(path, backend)
    assert (done.sent, done.kept, done.refused) == (1, 2, 0)
    assert "Connection refused" in done.why
    assert kept(path) == 2
    backend.down = False
    assert deliver(path, backend) == Delivery(sent=2)
    assert jobs(backend) == ["a", "down", "b"]


def test_a_refused_event_does_not_hold_up_the_others(path: Path) -> None:
    backend = Failing()
    journal.append(path, told("a"), told("refused"), told("b"))
    assert deliver(path, backend) == Delivery(sent=2, refused=1)
    assert jobs(backend) == ["a", "b"]
    assert kept(path) == 0


def test_a_line_that_is_still_being_written_waits(path: Path) -> None:
    backend = MemoryBackend()
    journal.append(path, told("a"), told("b"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    assert deliver(path, backend) == Delivery(sent=1)
    path.write_bytes(whole)
    assert deliver(path, backend) == Delivery(sent=1)
    assert jobs(backend) == ["a", "b"]


def test_a_line_that_a_full_disk_cut_costs_no_other(path: Path) -> None:
    journal.append(path, told("a"), told("b"))
    path.write_bytes(path.read_bytes()[:-10])
    journal.append(path, told("c"))
    backend = MemoryBackend()
    assert deliver(path, backend) == Delivery(sent=2)
    assert jobs(backend) == ["a", "c"]


def test_an_event_that_is_written_in_part_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:7]))
    with pytest.raises(OSError, match="No space left"):
        journal.append(path, told("a"))


def test_lines_that_are_no_events_are_passed_over(path: Path) -> None:
    path.write_bytes(b"a log line\n{}\n\n")
    journal.append(path, told("a"))
    backend = MemoryBackend()
    assert deliver(path, backend) == Delivery(sent=1)


def test_forgetting_sends_all_of_it_to_another_backend(path: Path) -> None:
    journal.append(path, told("a"))
    deliver(path, MemoryBackend())
    forget(path)
    other = MemoryBackend()
    assert deliver(path, other) == Delivery(sent=1)


@settings(max_examples=40, deadline=None)
@given(names=st.lists(st.sampled_from(["a", "refused", "down"]), max_size=8), outages=st.integers(0, 3))
def test_every_event_is_sent_or_refused_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], outages: int
) -> None:
    path = tmp_path_factory.mktemp("outbox") / "run.ndjson"
    events = [told(name) for name in names]
    journal.append(path, *events)
    backend, total = Failing(), Delivery()
    for _ in range(outages):
        done = deliver(path, backend)
        total += Delivery(done.sent, done.refused)
    backend.down = False
    total += deliver(path, backend)
    assert backend.events == [event for event in events if event.job.name != "refused"]
    assert total == Delivery(sent=len(backend.events), refused=names.count("refused"))


def test_the_courier_sends_what_is_written_while_it_runs_and_all_of_it_by_the_end(path: Path) -> None:
    backend = MemoryBackend()
    journal.append(path, told("a"))
    courier = Courier([path, path.with_name("absent.ndjson")], lambda: backend, patience=60)
    journal.append(path, told("b"))
    assert courier.close() == Delivery(sent=2)
    assert jobs(backend) == ["a", "b"]


def refuses_to_open() -> MemoryBackend:
    raise SerinusError("SRN-LINEAGE-003", "the configuration is wrong", hint="Mend it.")


@pytest.mark.parametrize(
    ("opening", "why"), [(Failing, "Connection refused"), (refuses_to_open, "the configuration is wrong")]
)
def test_a_courier_that_cannot_deliver_says_so_and_how_much_is_kept(
    path: Path, opening: Callable[[], MemoryBackend], why: str
) -> None:
    journal.append(path, told("down"))
    courier = Courier([path], opening, patience=60)
    journal.append(path, told("b"), told("c"))
    done = courier.close()
    assert (done.sent, done.kept) == (0, 3)
    assert why in done.why


class Hanging(MemoryBackend):
    """Takes the first event and never answers on the second."""

    def __init__(self) -> None:
        super().__init__()
        self.release = threading.Event()
        self.stuck = threading.Event()

    def send(self, event: RunEvent) -> None:
        if self.events:
            self.stuck.set()
            self.release.wait()
        super().send(event)


def test_nobody_waits_for_a_backend_that_does_not_answer(path: Path) -> None:
    backend = Hanging()
    journal.append(path, told("a"), told("b"), told("c"))
    courier = Courier([path], lambda: backend, patience=0)
    assert backend.stuck.wait(60)
    done = courier.close()
    assert done.kept == 2
    assert "no answer within 0 s" in done.why
    backend.release.set()


def test_a_process_without_files_sends_at_once() -> None:
    backend, out = MemoryBackend(), io.StringIO()
    sender = Direct(lambda: backend, patience=60, out=out)
    sender.put(told("a"))
    sender.put(told("b"))
    sender.close()
    assert jobs(backend) == ["a", "b"]
    assert out.getvalue() == ""


def test_what_a_process_without_files_cannot_send_stands_in_its_log(tmp_path: Path) -> None:
    out = io.StringIO()
    sender = Direct(Failing, patience=60, out=out)
    events = [told("a"), told("refused"), told("down"), told("b")]
    for event in events:
        sender.put(event)
    sender.close()
    said, *lines = out.getvalue().splitlines()
    assert said.startswith("serinus: 3 lineage events were not sent (ConnectionRefusedError")
    log = tmp_path / "pod.log"
    log.write_text(out.getvalue())
    assert journal.read(log) == [events[1], events[2], events[3]]
    assert len(lines) == 3
