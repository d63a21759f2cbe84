"""From a source to the files: the place moves after the disk has it, and a kill between costs nothing."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from serinus.archive import Archive
from serinus.chain import verify_log
from serinus.errors import SerinusError
from serinus.home import Home
from serinus.shipping import HttpChannel, Shipper, Untaken
from serving.archive.board import Board
from serving.archive.bodies import LARGEST
from serving.archive.http import build_app
from serving.archive.places import Places
from serving.archive.sources import Batch, Intake, Item
from tests.unit.archive.logs import chain, content

A, B = chain(40, "a"), chain(40, "b")
MIXED = [Item("m-a@1", A[i // 2]) if i % 2 else Item("m-b@2", B[i // 2]) for i in range(80)]


class Listed:
    """A topic in memory, with one partition; its place is kept as Kafka's is."""

    name = "kafka:listed"

    def __init__(self, items: list[Item], places: Places, step: int = 7) -> None:
        self._items, self._places, self._step = items, places, step
        self._next = places.get("c/listed/0") or 0
        self.killed_before_keeping_the_place = False
        self.away = ""

    def read(self) -> Batch | None:
        if self.away:
            raise SerinusError("SRN-ARCHIVE-004", self.away, hint="Bring it back.")
        items = self._items[self._next : self._next + self._step]
        self._next += len(items)
        return Batch(items, {"c/listed/0": self._next}) if items else None

    def done(self, batch: Batch) -> None:
        if self.killed_before_keeping_the_place:
            raise KeyboardInterrupt
        self._places.keep(batch.places)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def figures(board: Board, archive: Archive) -> dict[tuple[str, ...], float]:
    with TestClient(build_app(archive, board)) as client:
        page = client.get("/metrics").text
    return {
        (
            sample.name,
            *(sample.labels[name] for name in ("source", "result") if name in sample.labels),
        ): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


@pytest.mark.parametrize("dies_at", range(1, 12, 3))
def test_a_kill_between_disk_and_place_loses_and_doubles_nothing(home: Home, dies_at: int) -> None:
    for life in range(2):
        archive, board = Archive(home), Board()
        with Places(home.root / "archive" / "places.json") as places:
            source = Listed(MIXED, places)
            intake = Intake(source, archive, board)
            turns = 0
            try:
                while intake.turn():
                    turns += 1
                    source.killed_before_keeping_the_place = life == 0 and turns == dies_at
            except KeyboardInterrupt:
                assert life == 0
        archive.close()
    assert content(home.decisions, "m-a@1") == A
    assert content(home.decisions, "m-b@2") == B


def test_a_disk_that_is_full_for_a_while_keeps_the_place(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    archive, board = Archive(home), Board(clock=lambda: 7.0)
    with Places(home.root / "archive" / "places.json") as places:
        intake = Intake(Listed(MIXED, places), archive, board)
        intake.turn()
        before = places.get("c/listed/0")
        taking = archive.take

        def full(name: str, lines: list[bytes], *, may_wait: bool) -> object:
            raise SerinusError("SRN-AUDIT-002", "the log cannot be written", hint="Make room.")

        monkeypatch.setattr(archive, "take", full)
        for _ in range(3):
            with pytest.raises(SerinusError):
                intake.turn()
        assert places.get("c/listed/0") == before
        monkeypatch.setattr(archive, "take", taking)
        while intake.turn():
            pass
        assert places.get("c/listed/0") == 80
    assert content(home.decisions, "m-a@1") == A
    found = figures(board, archive)
    assert found["serinus_archive_lines_total", "kafka:listed", "kept"] == 80
    assert found["serinus_archive_last_timestamp_seconds", "kafka:listed"] == 7
    archive.close()


def test_what_keeps_a_source_is_told_once_and_shown_until_it_is_over(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    archive, board, stopping = Archive(home), Board(), threading.Event()

    class Pausing(threading.Event):
        """Gives the broker back at the third pause, and ends after the last message."""

        pauses = 0

        def wait(self, timeout: float | None = None) -> bool:
            self.pauses += 1
            seen.append(figures(board, archive)["serinus_archive_failing", "kafka:listed"])
            if self.pauses == 3:
                source.away = ""
            return False

        def is_set(self) -> bool:
            return (places.get("c/listed/0") or 0) == 80

    seen: list[float] = []
    stopping = Pausing()
    with Places(home.root / "archive" / "places.json") as places, caplog.at_level(logging.WARNING):
        source = Listed(MIXED, places)
        source.away = "the brokers are away"
        Intake(source, archive, board).run(stopping)
    assert seen == [1.0, 1.0, 1.0]
    assert figures(board, archive)["serinus_archive_failing", "kafka:listed"] == 0
    assert len([r for r in caplog.records if "SRN-ARCHIVE-004" in r.message]) == 1
    archive.close()


def test_gaps_forgeries_and_keys_that_are_no_names_are_told_and_counted(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    forged = chain(6, "forged")
    items = [Item("m-a@1", line) for line in [*A[:5], *A[8:12], forged[2]]] + [
        Item("../x", A[0]),
        Item("", b"?"),
    ]
    archive, board = Archive(home), Board()
    with Places(home.root / "archive" / "places.json") as places, caplog.at_level(logging.WARNING):
        intake = Intake(Listed(items, places), archive, board)
        while intake.turn():
            pass
    told = " ".join(record.message for record in caplog.records)
    assert "SRN-ARCHIVE-005" in told
    assert "3 entries are missing, the first of them before entry 9" in told
    assert "SRN-ARCHIVE-006" in told
    found = figures(board, archive)
    assert found["serinus_archive_gaps_total", "kafka:listed"] == 1
    assert found["serinus_archive_missing_total", "kafka:listed"] == 3
    assert found["serinus_archive_lines_total", "kafka:listed", "aside"] == 3
    broken = verify_log(home.decisions / "m-a@1.jsonl").broken
    assert broken is not None
    assert (broken.line, broken.entry) == (6, 6)
    archive.close()


def test_two_archives_do_not_keep_one_home(home: Home) -> None:
    with Places(home.root / "places.json"), pytest.raises(SerinusError) as error:
        Places(home.root / "places.json")
    assert error.value.code == "SRN-AUDIT-001"


# --- by HTTP -----------------------------------------------------------------


@pytest.fixture
def client(home: Home) -> Iterator[TestClient]:
    archive = Archive(home)
    with TestClient(build_app(archive, Board())) as made:
        yield made
    archive.close()


def test_what_a_pod_posts_is_kept_once(client: TestClient, home: Home) -> None:
    body = b"\n".join(A[:20]) + b"\n"
    assert client.post("/decisions?log=m-pod", content=body).json() == {
        "lines": 20, "unreadable": 0, "kept": 20, "duplicate": 0, "missing": 0, "erased": 0,
    }  # fmt: skip
    answer = client.post("/decisions?log=m-pod", content=b"\n".join(A[10:])).json()
    assert (answer["kept"], answer["duplicate"]) == (20, 10)
    assert content(home.decisions, "m-pod") == A
    assert client.post("/feedback?log=m-pod", content=b'{"request_id":"r"}\n').json()["kept"] == 1
    assert client.get("/health/live").status_code == 200


@pytest.mark.parametrize(
    ("query", "body", "status", "code"),
    [
        ("log=m-pod", b"x" * (LARGEST + 1), 413, "SRN-ARCHIVE-008"),
        ("", A[0], 400, "SRN-ARCHIVE-010"),
        ("log=../../etc/passwd", A[0], 400, "SRN-ARCHIVE-010"),
        ("log=m.review", A[0], 400, "SRN-ARCHIVE-010"),
        ("log=m-pod", A[4], 503, "SRN-ARCHIVE-009"),
    ],
)
def test_what_cannot_be_kept_is_refused_whole(
    client: TestClient, home: Home, query: str, body: bytes, status: int, code: str
) -> None:
    answer = client.post(f"/decisions?{query}", content=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert content(home.decisions, "m-pod") == []


class Posting(HttpChannel):
    """The shipper's channel, to the application in this process."""

    def __init__(self, client: TestClient) -> None:
        self._client = client

    def send(self, kind: str, name: str, lines: list[bytes]) -> int:
        answer = self._client.post(f"/{kind}?log={name}", content=b"\n".join(lines))
        if answer.status_code != 200:
            raise Untaken(answer.text)
        return int(answer.json()["unreadable"])


def test_a_pods_files_arrive_as_they_are_even_if_one_is_rotated_between_two_looks(
    client: TestClient, home: Home, tmp_path: Path
) -> None:
    pod = tmp_path / "pod"
    pod.mkdir()
    live, segment = pod / "m-pod.jsonl", pod / "m-pod.000001.jsonl"
    live.write_bytes(b"".join(line + b"\n" for line in A[:10]))
    # What a listing just before the rotation held: the live file, which by now is the next one.
    listing = [live]
    sender = Shipper({"decisions": lambda: listing}, Posting(client), tmp_path / "places.json")
    assert sender.send() == 10
    with live.open("ab") as file:
        file.write(b"".join(line + b"\n" for line in A[10:20]))
    live.rename(segment)
    live.write_bytes(b"".join(line + b"\n" for line in A[20:]))
    with pytest.raises(Untaken, match="SRN-ARCHIVE-009"):
        sender.send()
    listing[:] = [segment, live]
    assert sender.send() == 30
    assert content(home.decisions, "m-pod") == A
