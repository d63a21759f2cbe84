"""A log cut into segments is one chain: resumed, verified and read as a whole."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serinus.chain import ChainWriter, find_logs, last_bodies, read_chain, segments, verify_chain, verify_log
from serinus.errors import SerinusError
from tests.unit.audit.support import files, write


def numbers(log: Path) -> list[int]:
    return [json.loads(bytes(entry.body))["n"] for entry in read_chain(log)]


def test_a_segment_is_closed_before_the_write_that_would_exceed_its_size(tmp_path: Path) -> None:
    log = write(tmp_path / "log.jsonl", 20, rotate_bytes=800)
    assert [number for number, _ in segments(log)] == list(range(1, len(segments(log)) + 1))
    assert len(segments(log)) == 4
    assert all(path.stat().st_size <= 800 for path in files(log))
    assert numbers(log) == list(range(20))
    assert verify_chain(log)[0] == 20


def test_an_entry_larger_than_a_segment_gets_one_of_its_own(tmp_path: Path) -> None:
    log = write(tmp_path / "log.jsonl", 3, rotate_bytes=1)
    assert [path.name for path in files(log)] == ["log.000001.jsonl", "log.000002.jsonl", "log.jsonl"]


def test_a_segment_is_closed_at_its_age_which_survives_a_restart(tmp_path: Path) -> None:
    now = 1000.0
    log = tmp_path / "log.jsonl"

    def life() -> ChainWriter:
        return ChainWriter(log, rotate_every=60, clock=lambda: now)

    with life() as writer:
        writer.append([b'{"time":"1970-01-01T00:16:40Z"}'])
        now += 59
        writer.append([b"1"])
    with life() as writer:
        assert segments(log) == []
        now += 1
        writer.append([b"2"])
        assert len(segments(log)) == 1
        writer.append([b"3"])
    assert len(segments(log)) == 1
    assert verify_chain(log)[0] == 4


@settings(max_examples=60, deadline=None)
@given(
    lives=st.lists(st.lists(st.integers(1, 4), max_size=5), max_size=4), limit=st.sampled_from([1, 400, 900])
)
def test_many_lives_and_batches_make_one_chain(
    tmp_path_factory: pytest.TempPathFactory, lives: list[list[int]], limit: int
) -> None:
    log = tmp_path_factory.mktemp("chain") / "log.jsonl"
    count = 0
    for batches in lives:
        with ChainWriter(log, rotate_bytes=limit) as writer:
            for size in batches:
                writer.append([b'{"n":%d}' % n for n in range(count, count + size)])
                count += size
    if count:
        assert numbers(log) == list(range(count))
    else:
        assert verify_log(log).entries == 0 if log.exists() else lives == []


# --- harm is found -----------------------------------------------------------


def swap(paths: list[Path]) -> None:
    aside = paths[0].with_name("aside")
    paths[1].rename(aside)
    paths[2].rename(paths[1])
    aside.rename(paths[2])


def edit(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'{"n":8}', b'{"n":0}'))


HARM: dict[str, tuple[Callable[[list[Path]], object], str, str]] = {
    "first segment missing": (lambda p: p[0].unlink(), "log.000001.jsonl", "this segment is missing"),
    "middle segment missing": (lambda p: p[2].unlink(), "log.000003.jsonl", "this segment is missing"),
    "last segment missing": (lambda p: p[-2].unlink(), "log.jsonl", "missing"),
    "segments swapped": (swap, "log.000002.jsonl", "entry 9 stands here; 5 to 8 missing"),
    "a segment twice": (lambda p: shutil.copy(p[0], p[1]), "log.000002.jsonl", "entry 1 stands here again"),
    "an entry edited": (lambda p: edit(p[2]), "log.000003.jsonl", "the entry was changed"),
    "a segment cut short": (lambda p: cut(p[1]), "log.000003.jsonl", "entry 9 stands here; 8 missing"),
    "a segment emptied": (lambda p: p[1].write_bytes(b""), "log.000003.jsonl", "5 to 8 missing"),
    "a segment torn": (lambda p: p[1].write_bytes(p[1].read_bytes()[:-5]), "log.000002.jsonl", "torn"),
    "another log's segment": (lambda p: write_other(p[1]), "log.000002.jsonl", "changed, removed or moved"),
}


def cut(path: Path) -> None:
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


def write_other(path: Path) -> None:
    """A sound run of entries with the right numbers, of another chain."""
    other = write(path.parent / "other" / "log.jsonl", 20, start=100, rotate_bytes=800)
    shutil.copy(files(other)[1], path)


@pytest.mark.parametrize("harm", HARM)
def test_harm_to_segments_is_found_and_placed(harm: str, tmp_path: Path) -> None:
    log = write(tmp_path / "log.jsonl", 20, rotate_bytes=800)
    assert [len(path.read_bytes().splitlines()) for path in files(log)] == [4, 4, 4, 4, 4]
    do, where, what = HARM[harm]
    do(files(log))
    broken = verify_log(log).broken
    assert broken is not None
    assert Path(broken.file).name == where
    assert what in broken.what
    with pytest.raises(SerinusError, match="SRN-AUDIT-003"):
        verify_chain(log)


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_any_changed_byte_is_found_at_its_line(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    log = write(tmp_path_factory.mktemp("chain") / "log.jsonl", 9, rotate_bytes=800)
    path = data.draw(st.sampled_from(files(log)))
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    broken = verify_log(log).broken
    assert broken is not None
    line = bytes(content[:at]).count(b"\n") + 1
    # A line end that is gone, or a new one, shows on the same line; the last line's end on the file's.
    assert (broken.file, broken.line) == (str(path), line)


def test_a_log_cut_at_its_end_is_found_by_a_hash_noted_elsewhere(tmp_path: Path) -> None:
    log = write(tmp_path / "log.jsonl", 5)
    entries = {entry.seq: entry.hash for entry in read_chain(log)}
    assert verify_log(log, known=entries).broken is None
    cut(log)
    assert verify_log(log).broken is None
    broken = verify_log(log, known={5: entries[5]}).broken
    assert broken is not None
    assert broken.what == "ends at entry 4, but entry 5 was noted elsewhere"
    broken = verify_log(log, known={3: entries[2]}).broken
    assert broken is not None
    assert (broken.line, broken.entry) == (3, 3)


# --- parts -------------------------------------------------------------------


def test_a_segment_alone_is_verified_from_its_own_first_link(tmp_path: Path) -> None:
    log = write(tmp_path / "log.jsonl", 12, rotate_bytes=800)
    segment = files(log)[1]
    found = verify_log(segment)
    assert (found.first, found.entries, found.files, found.broken) == (5, 4, 1, None)
    first = next(read_chain(segment))
    assert first.prev == list(read_chain(log))[3].hash
    write_other(segment)
    assert verify_log(segment).broken is None
    assert verify_log(log).broken is not None


def test_a_directory_holds_each_log_once_and_outcomes_are_no_chain(tmp_path: Path) -> None:
    one, two = write(tmp_path / "a.jsonl", 9, rotate_bytes=800), write(tmp_path / "deep" / "b.jsonl", 1)
    (tmp_path / "a.feedback.jsonl").write_text("{}\n")
    assert list(find_logs([tmp_path])) == [one, two]
    assert list(find_logs([one, files(one)[0]])) == [one, files(one)[0]]


@pytest.mark.parametrize("count", [1, 3, 7, 20, 50])
def test_the_newest_entries_are_read_from_the_end(tmp_path: Path, count: int) -> None:
    log = write(tmp_path / "log.jsonl", 20, rotate_bytes=800)
    expected = [b'{"n":%d}' % n for n in range(20)][-count:]
    assert last_bodies(log, count) == expected


def test_a_log_that_is_absent_or_a_directory_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.jsonl", tmp_path):
        with pytest.raises(SerinusError, match="SRN-AUDIT-004"):
            verify_log(path)
