"""Lines of no log: kept once, read once, and remembered in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from serinus.archive import Archive, Taken, aside
from serinus.archive.aside import AsideFile
from serinus.home import Home
from tests.unit.archive.logs import chain


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    made = Archive(Home(tmp_path))
    yield made
    made.close()


def test_a_topic_without_keys_costs_each_line_once_and_not_all_lines_before_it(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines, read = chain(400), 0
    reading = aside.decode_entry

    def counted(line: bytes) -> object:
        nonlocal read
        read += 1
        return reading(line)

    monkeypatch.setattr(aside, "decode_entry", counted)
    for start in range(0, 400, 10):
        assert archive.set_aside("no key", lines[start : start + 10]).aside == 10
    assert archive.set_aside("no key", lines[100:130]) == Taken(duplicate=30)
    assert read <= 400


def test_the_newest_are_remembered_and_older_ones_are_kept_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aside, "_KNOWN", 50)
    lines = chain(200)
    file = AsideFile(tmp_path / "a.jsonl")
    assert file.add([("why", line) for line in lines]) == 200
    for again in (file, AsideFile(tmp_path / "a.jsonl")):
        assert again.add([("why", line) for line in lines[150:]]) == 0
        assert len(list(again.forks)) <= 50
    assert file.add([("why", lines[0])]) == 1


def test_what_is_remembered_of_a_large_file_is_read_from_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines, path = chain(200), tmp_path / "a.jsonl"
    AsideFile(path).add([("why", line) for line in lines])
    monkeypatch.setattr(aside, "_TAIL", path.stat().st_size // 4)
    file = AsideFile(path)
    assert file.add([("why", line) for line in lines[170:]]) == 0
    assert file.add([("why", lines[0])]) == 1


def test_a_file_that_was_altered_stays_as_it_is_and_stops_nothing(tmp_path: Path, archive: Archive) -> None:
    archive.set_aside("no key", [b"one", b"two"])
    path = tmp_path / "archive" / "aside" / "unnamed.jsonl"
    altered = b'{"why":"no key","li' + b"\n" + path.read_bytes().splitlines(keepends=True)[1] + b'{"torn'
    path.write_bytes(altered)
    fresh = Archive(Home(tmp_path))
    assert fresh.set_aside("no key", [b"one", b"two", b"three"]) == Taken(aside=2, duplicate=1, why="no key")
    assert path.read_bytes().startswith(altered[: altered.rfind(b"\n") + 1] + b'{"why"')
    fresh.close()
