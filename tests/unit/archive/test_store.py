"""Files byte for byte as their scorers would have written them, whatever comes twice, mixed, or in parts."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serinus.archive import Archive, GapAhead, Taken, UnusableName
from serinus.chain import find_logs, verify_log
from serinus.errors import SerinusError
from serinus.home import Home
from serving.archive.cli import _forget
from tests.unit.archive.logs import chain, content

WRITERS = {name: chain(12, name) for name in ("m-x", "m-y@01234567", "m-z")}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture
def archive(home: Home) -> Iterator[Archive]:
    made = Archive(home)
    yield made
    made.close()


@st.composite
def deliveries(draw: st.DrawFn) -> list[tuple[str, int, int, bool]]:
    """Batches that cover each log in order, some of them again from an earlier place, some with a crash after them."""
    places = dict.fromkeys(WRITERS, 0)
    made: list[tuple[str, int, int, bool]] = []
    while unfinished := [name for name, place in places.items() if place < 12]:
        name = draw(st.sampled_from(unfinished))
        start = draw(st.integers(0, places[name]))
        stop = draw(st.integers(places[name] + 1, 12))
        made.append((name, start, stop, draw(st.booleans())))
        places[name] = stop
    return made


@settings(max_examples=40, deadline=None)
@given(deliveries(), st.sampled_from([None, 700]), st.sampled_from([1, 64]))
def test_whatever_is_mixed_repeated_and_cut_by_crashes_each_log_is_its_writers(
    batches: list[tuple[str, int, int, bool]], rotate: int | None, most_open: int
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        home = Home(Path(directory))
        archive = Archive(home, rotate_bytes=rotate, most_open=most_open)
        total = 0
        for name, start, stop, crash in batches:
            taken = archive.take(name, WRITERS[name][start:stop])
            assert (taken.aside, taken.gaps) == (0, 0)
            assert taken.kept + taken.duplicate == stop - start
            total += taken.kept
            if crash:
                archive.close()
                archive = Archive(home, rotate_bytes=rotate, most_open=most_open)
        archive.close()
        assert total == 36
        for name, lines in WRITERS.items():
            assert content(home.decisions, name) == lines
        for log in find_logs([home.decisions]):
            assert verify_log(log).broken is None


@settings(max_examples=40, deadline=None)
@given(st.sets(st.integers(1, 12), min_size=1))
def test_what_never_came_is_a_gap_that_is_counted_and_that_verifying_names(lost: set[int]) -> None:
    lines = WRITERS["m-x"]
    came = [line for number, line in enumerate(lines, 1) if number not in lost]
    with tempfile.TemporaryDirectory() as directory:
        home = Home(Path(directory))
        archive = Archive(home)
        taken = archive.take("m-x", came)
        again = archive.take("m-x", came)
        archive.close()
        assert content(home.decisions, "m-x") == came
        assert again == Taken(duplicate=len(came))
        last = max((number for number in range(1, 13) if number not in lost), default=0)
        assert taken.missing == len([number for number in lost if number < last])
        broken = verify_log(home.decisions / "m-x.jsonl").broken if came else None
        assert (broken is not None) == (taken.gaps > 0)
        if broken is not None:
            assert broken.entry == min(lost)


def test_what_a_kill_left_of_a_line_is_cut_and_comes_again(home: Home) -> None:
    lines = WRITERS["m-x"]
    archive = Archive(home)
    archive.take("m-x", lines[:5])
    archive.close()
    with (home.decisions / "m-x.jsonl").open("ab") as file:
        file.write(lines[5][:40])
    archive = Archive(home)
    assert archive.take("m-x", lines[3:]).kept == 7
    archive.close()
    assert content(home.decisions, "m-x") == lines


def test_a_pod_that_comes_back_with_an_empty_disk_gets_a_file_for_its_new_chain(
    home: Home, archive: Archive
) -> None:
    first, second = chain(6, "first"), chain(5, "second")
    assert archive.take("m-pod", first[:4]).kept == 4
    taken = archive.take("m-pod", [*first[3:], *second[:3]])
    assert (taken.kept, taken.duplicate, taken.aside) == (5, 1, 0)
    archive.close()
    archive = Archive(home)
    assert archive.take("m-pod", second[2:]).kept == 2
    assert archive.take("m-pod", [*first, *second]) == Taken(duplicate=11)
    archive.close()
    assert content(home.decisions, "m-pod") == first
    (other,) = home.decisions.glob("m-pod~*.jsonl")
    assert other.read_bytes().splitlines() == second
    assert all(verify_log(log).broken is None for log in find_logs([home.decisions]))


@pytest.mark.parametrize("between", ["b", "c", "d", "e"])
def test_a_gap_after_a_new_beginning_of_the_archive_is_in_the_chain_written_last(
    home: Home, between: str
) -> None:
    """Whatever the hashes by which the files are named."""
    last = chain(60, f"{between}-last")
    archive = Archive(home)
    for lines in (chain(3, "first"), chain(55, between), last[:40]):
        archive.take("m-pod", lines)
    archive.close()
    archive = Archive(home)
    taken = archive.take("m-pod", last[41:45])
    assert (taken.kept, taken.missing, taken.aside) == (4, 1, 0)
    assert archive.take("m-pod", last[45:]).kept == 15
    archive.close()


def test_what_has_no_place_is_set_aside_once_and_the_log_stays_sound(home: Home, archive: Archive) -> None:
    lines, forged = WRITERS["m-x"], chain(9, "forged")
    bad = [forged[2], forged[6], b"nonsense", b"\xff"]
    taken = archive.take("m-x", [*lines[:6], *bad, *lines[6:]])
    assert (taken.kept, taken.aside, taken.gaps) == (12, 4, 0)
    assert "another entry 3" in taken.why
    archive.close()
    archive = Archive(home)
    assert archive.take("m-x", bad).aside == 0
    assert archive.take("m-x", [forged[7]]).aside == 0 + 1  # chained to none that is here
    archive.close()
    assert content(home.decisions, "m-x") == lines
    aside = (home.root / "archive" / "aside" / "m-x.jsonl").read_bytes().splitlines()
    assert len(aside) == 5


def test_a_full_disk_leaves_the_log_as_it_was_and_the_same_lines_are_taken_later(
    home: Home, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = WRITERS["m-x"]
    archive.take("m-x", lines[:3])
    real = os.write

    def full(descriptor: int, data: bytes) -> int:
        if len(data) > 200:
            return real(descriptor, data[:200])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(SerinusError, match="No space left") as error:
        archive.take("m-x", lines[3:])
    assert error.value.code == "SRN-AUDIT-002"
    monkeypatch.setattr(os, "write", real)
    assert content(home.decisions, "m-x") == lines[:3]
    assert archive.take("m-x", lines[3:]).kept == 9
    assert content(home.decisions, "m-x") == lines


def test_a_sender_that_looked_amid_a_rotation_is_given_time_before_a_gap_is_one(archive: Archive) -> None:
    lines = WRITERS["m-x"]
    archive.take("m-x", lines[:3], patience=2)
    for _ in range(2):
        with pytest.raises(GapAhead, match="before 7"):
            archive.take("m-x", lines[6:], patience=2)
    assert archive.take("m-x", lines[3:], patience=2) == Taken(kept=9, bytes=sum(map(len, lines[3:])) + 9)
    archive.take("m-z", WRITERS["m-z"][:1], patience=2)
    for _ in range(2):
        with pytest.raises(GapAhead):
            archive.take("m-z", WRITERS["m-z"][5:], patience=2)
    assert archive.take("m-z", WRITERS["m-z"][5:], patience=2).missing == 4


@pytest.mark.parametrize(
    "name",
    ["", ".", "../x", "a/b", "m.feedback", "m.feedback.x", "m.review", "m.000001", "a~b", "x" * 201, "a b"],
)
def test_a_name_that_is_no_logs_keeps_nothing(name: str, home: Home, archive: Archive) -> None:
    with pytest.raises(UnusableName):
        archive.take(name, WRITERS["m-x"])
    with pytest.raises(UnusableName):
        archive.feedback(name, [b"{}"])
    assert list(home.decisions.iterdir()) == []


def test_outcomes_that_come_again_count_once(home: Home) -> None:
    lines = [b'{"request_id":"r%d"}' % i for i in range(9)]
    archive = Archive(home)
    assert archive.feedback("m-pod", lines[:6]).kept == 6
    assert archive.feedback("m-pod", lines[3:7]).kept == 1
    path = home.decisions / "m-pod.feedback.jsonl"
    with path.open("ab") as file:
        file.write(b'{"torn')
    archive = Archive(home)
    assert archive.feedback("m-pod", lines).duplicate == 7
    assert path.read_bytes().splitlines() == lines


@pytest.mark.parametrize(("files", "known"), [(16, 12_000), (17, 10_000)])
def test_with_many_files_of_outcomes_open_each_remembers_less(home: Home, files: int, known: int) -> None:
    lines = [b'{"request_id":"r%d"}' % i for i in range(12_000)]
    archive = Archive(home)
    assert archive.feedback("m-0", lines).kept == 12_000
    for number in range(1, files):
        archive.feedback(f"m-{number}", lines[:1])
    assert archive.feedback("m-0", lines[-known:]).duplicate == known
    forgotten = lines[:-known]
    assert archive.feedback("m-0", forgotten[-1:]).kept == len(forgotten[-1:])


@pytest.mark.parametrize("files", [16, 17])
def test_with_many_logs_open_what_comes_again_is_known_all_the_same(home: Home, files: int) -> None:
    lines, archive = chain(9_000), Archive(home)
    assert archive.take("m-0", lines).kept == 9_000
    for number in range(1, files):
        archive.take(f"m-{number}", WRITERS["m-x"])
    read: list[str] = []

    def listed(log: Path) -> list[tuple[int, Path]]:
        read.append(log.stem)
        return []

    with pytest.MonkeyPatch.context() as watched:
        watched.setattr("serinus.archive.kept.segments", listed)
        assert archive.take("m-0", lines[-2_000:]) == Taken(duplicate=2_000)
        assert read == []
        assert archive.take("m-0", lines[:2_000]) == Taken(duplicate=2_000)
        assert read == (["m-0"] if files > 16 else [])
    archive.close()


def test_a_file_that_cannot_be_removed_does_not_end_the_forgetting(caplog: pytest.LogCaptureFixture) -> None:
    stopping, looks = threading.Event(), 0

    class Stuck:
        def forget(self, before: float) -> int:
            nonlocal looks
            looks += 1
            if looks == 2:
                stopping.set()
                return 1
            raise IsADirectoryError("m-old.jsonl")

    _forget(cast(Archive, Stuck()), 0.0, stopping)
    assert looks == 2
    assert "m-old.jsonl" in caplog.text


def test_a_copy_that_is_no_record_forgets_what_is_old_and_goes_on(home: Home) -> None:
    lines = WRITERS["m-x"]
    archive = Archive(home, rotate_bytes=700)
    archive.take("m-z", WRITERS["m-z"])
    for i in range(0, 8, 2):
        archive.take("m-x", lines[i : i + 2])
    segments = sorted(home.decisions.glob("m-x.??????.jsonl"))
    assert len(segments) == 3
    for path in [*segments, home.decisions / "m-z.jsonl", *home.decisions.glob("m-z.??????.jsonl")]:
        os.utime(path, (100, 100))
    assert archive.forget(50) == 0
    assert archive.forget(200) == 2 + 1
    assert sorted(home.decisions.glob("m-*.jsonl")) == [segments[-1], home.decisions / "m-x.jsonl"]
    archive.close()
    archive = Archive(home, rotate_bytes=700)
    assert archive.take("m-x", lines[6:]) == Taken(kept=4, duplicate=2, bytes=sum(map(len, lines[8:])) + 4)
    archive.close()
