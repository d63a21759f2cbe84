"""One log that cannot be written holds nobody up, and its own lines wait for it in their order."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from serinus.archive import Archive, Taken
from serinus.chain import verify_log
from serinus.chain.lock import lock
from serinus.chain.segments import segment_path
from serinus.errors import SerinusError
from serinus.home import Home
from serving.archive.board import Board
from serving.archive.places import Places
from serving.archive.sources import Intake, keep_what_waits
from tests.unit.archive.logs import content
from tests.unit.archive.test_intake import MIXED, A, B, Listed, figures


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture
def archive(home: Home) -> Iterator[Archive]:
    made = Archive(home)
    made.take("m-a@1", A[:4])
    yield made
    made.close()


def putting_back(path: Path) -> Callable[[], None]:
    sound = path.read_bytes()

    def mend() -> None:
        path.write_bytes(sound)

    return mend


def altered(path: Path) -> Callable[[], None]:
    mend = putting_back(path)
    path.write_bytes(path.read_bytes().replace(b"review", b"reView"))
    return mend


def cut_amid(path: Path) -> Callable[[], None]:
    mend = putting_back(path)
    path.write_bytes(path.read_bytes()[:-40] + b"\n")
    return mend


def a_directory(path: Path) -> Callable[[], None]:
    away = path.with_suffix(".away")
    path.rename(away)
    path.mkdir()

    def mend() -> None:
        path.rmdir()
        away.rename(path)

    return mend


def putting_nothing(path: Path) -> Callable[[], None]:
    """A directory where there is no log yet."""
    path.mkdir()
    return path.rmdir


def written_by_another(path: Path) -> Callable[[], None]:
    return lock(path, what="another writes it", hint="Stop it.").close


def segment_unreadable(path: Path) -> Callable[[], None]:
    """The end is sound; what stands before it cannot be read, so that nobody knows what came again."""
    segment = segment_path(path, 1)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[2:]))
    segment.mkdir()

    def mend() -> None:
        segment.rmdir()
        segment.write_bytes(b"".join(lines[:2]))

    return mend


def turn_until_empty(home: Home, archive: Archive, board: Board) -> None:
    with Places(home.root / "archive" / "places.json") as places:
        intake = Intake(Listed(MIXED, places), archive, board)
        while intake.turn():
            pass
        assert places.get("c/listed/0") == 80


DAMAGES = [altered, cut_amid, a_directory, segment_unreadable, written_by_another]


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_others_go_on_and_the_damaged_one_is_made_up_for_when_it_is_mended(
    home: Home,
    archive: Archive,
    damage: Callable[[Path], Callable[[], None]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    board, log = Board(), home.decisions / "m-a@1.jsonl"
    archive.close()
    mend = damage(log)
    with caplog.at_level(logging.INFO):
        turn_until_empty(home, archive, board)
        assert content(home.decisions, "m-b@2") == B
        found = figures(board, archive)
        assert found["serinus_archive_lines_total", "kafka:listed", "waiting"] == 40
        assert found["serinus_archive_lines_total", "kafka:listed", "kept"] == 40
        assert found[("serinus_archive_damaged_logs",)] == 1
        assert found["serinus_archive_failing", "kafka:listed"] == 0
        assert len([r for r in caplog.records if "SRN-ARCHIVE-012" in r.message]) == 1
        assert not keep_what_waits(archive, board)
        archive.close()  # as a killed archive: what waits is found again
        archive, board = Archive(home), Board()
        assert not keep_what_waits(archive, board)
        assert figures(board, archive)[("serinus_archive_damaged_logs",)] == 1
        mend()
        while keep_what_waits(archive, board):
            pass
    found = figures(board, archive)
    assert found[("serinus_archive_damaged_logs",)] == 0
    assert found["serinus_archive_lines_total", "waiting", "kept"] == 36
    assert content(home.decisions, "m-a@1") == A
    assert verify_log(log).broken is None
    assert archive.take("m-a@1", A, may_wait=True) == Taken(duplicate=40)
    assert list((home.root / "archive" / "waiting").iterdir()) == []
    archive.close()


def test_what_comes_meanwhile_waits_behind_what_waits(home: Home, archive: Archive) -> None:
    archive.close()
    mend = altered(home.decisions / "m-a@1.jsonl")
    assert archive.take("m-a@1", A[4:20], may_wait=True).waiting == 16
    mend()
    assert archive.take("m-a@1", [*A[20:30], b"\xff\n"], may_wait=True).waiting == 11
    board = Board()
    while keep_what_waits(archive, board, most=3):
        pass
    assert content(home.decisions, "m-a@1") == A[:30]
    assert figures(board, archive)["serinus_archive_lines_total", "waiting", "aside"] == 1
    assert archive.take("m-a@1", A[30:], may_wait=True).kept == 10


def test_a_kill_amid_a_line_that_waits_costs_nothing(home: Home, archive: Archive) -> None:
    archive.close()
    mend = altered(home.decisions / "m-a@1.jsonl")
    archive.take("m-a@1", A[4:20], may_wait=True)
    with (home.root / "archive" / "waiting" / "m-a@1.jsonl").open("ab") as file:
        file.write(b'{"why":"torn')
    archive.close()
    archive = Archive(home)
    archive.take("m-a@1", A[20:], may_wait=True)
    mend()
    while keep_what_waits(archive, Board()):
        pass
    assert content(home.decisions, "m-a@1") == A
    archive.close()


@pytest.mark.parametrize("damage", [segment_unreadable, a_directory])
def test_what_cannot_be_read_is_named(
    home: Home, archive: Archive, damage: Callable[[Path], Callable[[], None]]
) -> None:
    archive.close()
    damage(home.decisions / "m-a@1.jsonl")
    with pytest.raises(SerinusError, match=r"SRN-AUDIT-002 .*m-a@1(\.000001)?\.jsonl: .*directory"):
        archive.take("m-a@1", A)
    assert "m-a@1" in archive.take("m-a@1", A, may_wait=True).why


def test_waiting_lines_that_cannot_be_read_hold_up_no_other_log(home: Home, archive: Archive) -> None:
    archive.close()
    waiting = home.root / "archive" / "waiting"
    mends = [altered(home.decisions / "m-a@1.jsonl"), putting_nothing(home.decisions / "m-b@2.jsonl")]
    for name, lines in (("m-a@1", A), ("m-b@2", B)):
        assert archive.take(name, lines, may_wait=True).waiting == 40
    (waiting / "m-a@1.jsonl").rename(waiting / "away")
    (waiting / "m-a@1.jsonl").mkdir()
    for mend in mends:
        mend()
    while keep_what_waits(archive, Board()):
        pass
    assert content(home.decisions, "m-b@2") == B
    assert list(archive.damaged()) == ["m-a@1"]
    (waiting / "m-a@1.jsonl").rmdir()
    (waiting / "away").rename(waiting / "m-a@1.jsonl")
    while keep_what_waits(archive, Board()):
        pass
    assert content(home.decisions, "m-a@1") == A
    assert archive.damaged() == {}


def test_a_directory_of_waiting_lines_that_cannot_be_looked_into_is_told(
    home: Home, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Path) -> bool:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "exists", broken)
    with pytest.raises(SerinusError, match=r"SRN-AUDIT-002 .*waiting.*Input/output error"):
        archive.take("m-z@1", A, may_wait=True)


def test_a_sender_by_http_keeps_its_lines_itself(home: Home, archive: Archive) -> None:
    archive.close()
    altered(home.decisions / "m-a@1.jsonl")
    with pytest.raises(SerinusError, match="changed"):
        archive.take("m-a@1", A[4:])
    assert not (home.root / "archive" / "waiting").exists()


def test_a_full_disk_is_no_damage_of_one_log(
    home: Home, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(SerinusError, match="No space left"):
        archive.take("m-a@1", A[4:], may_wait=True)
    assert not (home.root / "archive" / "waiting").exists()
    assert archive.damaged() == {}
