"""A gap is told before what follows it is written; a reader goes on there, and nowhere else."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serinus.archive import Archive
from serinus.chain import ChainBroken, ChainWriter, Gaps, Place, gaps_log, read_gaps, read_on, verify_log
from serinus.chain.standing import Standing, standings
from serinus.errors import SerinusError
from serinus.home import Home
from tests.unit.archive.logs import chain, content

LINES = chain(12)


def bodies(lines: list[bytes]) -> list[bytes]:
    return [line[line.index(b'"body":') + 7 : -1] for line in lines]


def kept(root: Path, lines: list[bytes], rotate: int | None = None) -> Path:
    """An archive's log of what came, in two parts."""
    home = Home(root)
    archive = Archive(home, rotate_bytes=rotate, clock=lambda: 1.79e9)
    for part in (lines[: len(lines) // 2], lines[len(lines) // 2 :]):
        archive.take("m-x", part)
    archive.close()
    return home.decisions / "m-x.jsonl"


@settings(max_examples=60, deadline=None)
@given(st.sets(st.integers(1, 12), min_size=1, max_size=11), st.sampled_from([None, 500]))
def test_what_came_is_read_on_over_every_told_gap_and_verifying_still_finds_them(
    lost: set[int], rotate: int | None
) -> None:
    came = [line for number, line in enumerate(LINES, 1) if number not in lost]
    with tempfile.TemporaryDirectory() as directory:
        log = kept(Path(directory), came, rotate)
        place = Place(read_gaps(Path(directory)).of(log))
        assert list(read_on(log, place)) == bodies(came)
        missing = {n for gap in place.gaps for n in range(gap.after + 1, gap.before)}
        last = max(number for number in range(1, 13) if number not in lost)
        assert missing == {number for number in lost if number < last}
        assert (verify_log(log).broken is None) == (not missing)
        if gaps_log(Path(directory)).exists():
            assert verify_log(gaps_log(Path(directory))).entries == len(place.gaps)


CAME = LINES[:3] + LINES[5:]


def removed_before(lines: list[bytes]) -> list[bytes]:
    return lines[:2] + lines[3:]


def removed_behind(lines: list[bytes]) -> list[bytes]:
    return lines[:3] + lines[4:]


def removed_elsewhere(lines: list[bytes]) -> list[bytes]:
    return lines[:6] + lines[7:]


def altered_behind(lines: list[bytes]) -> list[bytes]:
    return [*lines[:3], lines[3].replace(b"review", b"refuse"), *lines[4:]]


def altered_before(lines: list[bytes]) -> list[bytes]:
    return [*lines[:2], lines[2].replace(b"review", b"refuse"), *lines[3:]]


def forged_behind(lines: list[bytes]) -> list[bytes]:
    """A whole sound chain of one's own behind the gap."""
    return lines[:3] + chain(12, "forged")[5:]


@pytest.mark.parametrize(
    "edit",
    [removed_before, removed_behind, removed_elsewhere, altered_behind, altered_before, forged_behind],
)
def test_any_other_break_is_one(tmp_path: Path, edit: Callable[[list[bytes]], list[bytes]]) -> None:
    log = kept(tmp_path, CAME)
    log.write_bytes(b"".join(line + b"\n" for line in edit(CAME)))
    with pytest.raises(ChainBroken):
        list(read_on(log, Place(read_gaps(tmp_path).of(log))))


def test_a_gap_that_nobody_told_is_a_break_and_a_told_one_of_another_log_is_none_of_this(
    tmp_path: Path,
) -> None:
    log = kept(tmp_path, CAME)
    told = read_gaps(tmp_path)
    other = shutil.copy(log, log.with_name("m-y.jsonl"))
    for known in (Gaps().of(log), told.of(Path(other))):
        with pytest.raises(ChainBroken, match="4 to 5 missing"):
            list(read_on(log, Place(known)))


def test_an_altered_log_of_gaps_is_told_and_opens_nothing(tmp_path: Path) -> None:
    kept(tmp_path, CAME)
    path = gaps_log(tmp_path)
    path.write_bytes(path.read_bytes().replace(b'"before":6', b'"before":7'))
    with pytest.raises(ChainBroken, match=r"gaps\.jsonl"):
        read_gaps(tmp_path)


def test_a_log_of_something_else_is_no_log_of_gaps(tmp_path: Path) -> None:
    path = gaps_log(tmp_path)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"".join(line + b"\n" for line in LINES))
    with pytest.raises(SerinusError, match="SRN-AUDIT-004.*no gap"):
        read_gaps(tmp_path)


def test_told_and_killed_before_it_was_written_it_is_not_told_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path)
    archive = Archive(home, clock=lambda: 1.79e9)
    archive.take("m-x", LINES[:3])
    with monkeypatch.context() as broken:
        broken.setattr(
            "serinus.chain.ChainWriter.write", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with pytest.raises(KeyboardInterrupt):
            archive.take("m-x", LINES[5:])
    archive.close()
    assert content(home.decisions, "m-x") == LINES[:3]
    archive = Archive(home, clock=lambda: 1.8e9)
    archive.take("m-x", LINES[5:])
    archive.close()
    assert verify_log(gaps_log(tmp_path)).entries == 1
    log = home.decisions / "m-x.jsonl"
    assert list(read_on(log, Place(read_gaps(tmp_path).of(log)))) == bodies(CAME)


@pytest.mark.parametrize(("writes", "there", "told"), [(0, 3, 0), (1, 5, 1), (2, 7, 2)])
def test_wherever_it_is_killed_the_entry_before_a_gap_that_was_told_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int, there: int, told: int
) -> None:
    came = LINES[3:5] + LINES[6:8] + LINES[10:]  # 6, 9 and 10 are missing
    home = Home(tmp_path)
    log = home.decisions / "m-x.jsonl"
    archive = Archive(home, clock=lambda: 1.79e9)
    archive.take("m-x", LINES[:3])
    real, calls = ChainWriter.write, itertools.count()

    def killed(writer: ChainWriter, *given: Any, **named: Any) -> None:
        if writer.path == log and next(calls) == writes:
            raise KeyboardInterrupt
        real(writer, *given, **named)

    with monkeypatch.context() as broken:
        broken.setattr(ChainWriter, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            archive.take("m-x", came)
    archive.close()
    assert content(home.decisions, "m-x") == (LINES[:3] + came)[:there]
    gaps = read_gaps(tmp_path).of(log)
    assert len(gaps) == told
    place = Place(gaps)
    assert list(read_on(log, place)) == bodies((LINES[:3] + came)[:there])
    assert all(gap.after <= place.seq for gap in gaps.values())
    archive = Archive(home, clock=lambda: 1.8e9)
    assert archive.take("m-x", came).gaps == 2 - max(0, told - 1)
    archive.close()
    assert content(home.decisions, "m-x") == LINES[:3] + came
    assert verify_log(gaps_log(tmp_path)).entries == 2


def test_a_gap_that_cannot_be_told_is_not_written(tmp_path: Path) -> None:
    home = Home(tmp_path)
    archive = Archive(home)
    archive.take("m-x", LINES[:3])
    gaps_log(tmp_path).mkdir(parents=True)
    with pytest.raises(SerinusError):
        archive.take("m-x", LINES[5:])
    assert content(home.decisions, "m-x") == LINES[:3]
    assert archive.take("m-x", LINES[5:], may_wait=True).waiting == 7
    assert archive.take("m-y", LINES, may_wait=True).kept == 12
    gaps_log(tmp_path).rmdir()
    while archive.bring_back():
        pass
    assert content(home.decisions, "m-x") == CAME
    archive.close()


# --- how an entry stands -------------------------------------------------------

TWICE = LINES[:3] + LINES[5:8] + LINES[9:]  # 4, 5 and 9 are missing


def hash_of(number: int) -> str:
    line = LINES[number - 1]
    return line[line.index(b'"hash":"') + 8 :][:64].decode()


@pytest.mark.parametrize(
    ("seq", "checkpoints", "gaps", "sound_from", "vouched"),
    [
        (3, (), 0, 0, None),
        (6, (), 1, 6, None),
        (7, (8,), 1, 6, 8),
        (7, (7,), 1, 6, 7),
        (7, (6,), 1, 6, None),  # what follows the checkpoint may be written anew
        (7, (2, 12), 1, 6, None),  # another gap stands before that one
        (11, (8, 12), 2, 10, 12),
        (11, (8,), 2, 10, None),
    ],
)
def test_what_the_chain_proves_of_an_entry(
    tmp_path: Path, seq: int, checkpoints: tuple[int, ...], gaps: int, sound_from: int, vouched: int | None
) -> None:
    log = kept(tmp_path, TWICE)
    known = read_gaps(tmp_path).of(log)
    found = standings(log, [seq], known, {number: hash_of(number) for number in checkpoints})
    if not gaps:
        assert found == {seq: None}
        return
    assert found[seq] == Standing(gaps=tuple(known.values())[:gaps], sound_from=sound_from, vouched=vouched)


def test_a_checkpoint_that_says_otherwise_is_a_finding(tmp_path: Path) -> None:
    log = kept(tmp_path, TWICE)
    with pytest.raises(ChainBroken, match="entry 8: its hash is not the one for which a checkpoint vouches"):
        standings(log, [7], read_gaps(tmp_path).of(log), {8: hash_of(7)})


SEQS = [number for number in range(1, 13) if number not in (4, 5, 9)]


@settings(max_examples=80, deadline=None)
@given(st.sets(st.sampled_from(SEQS)), st.sets(st.sampled_from(SEQS)))
def test_of_many_entries_each_stands_as_it_does_alone(seqs: set[int], checkpoints: set[int]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        log = kept(Path(directory), TWICE)
        known, vouched = read_gaps(Path(directory)).of(log), {n: hash_of(n) for n in checkpoints}
        alone = {seq: standings(log, [seq], known, vouched)[seq] for seq in seqs}
        assert standings(log, seqs, known, vouched) == alone


def untold_behind(lines: list[bytes]) -> list[bytes]:
    return [*lines[:5], *lines[7:]]


def altered_last(lines: list[bytes]) -> list[bytes]:
    return [*lines[:-1], lines[-1].replace(b"review", b"refuse")]


@pytest.mark.parametrize("edit", [untold_behind, altered_last])
@pytest.mark.parametrize("checkpoints", [(), (12,)])
def test_a_break_behind_an_entry_is_none_of_its_own_and_one_before_it_is(
    tmp_path: Path, edit: Callable[[list[bytes]], list[bytes]], checkpoints: tuple[int, ...]
) -> None:
    log = kept(tmp_path, CAME)
    known, vouched = read_gaps(tmp_path).of(log), {number: hash_of(number) for number in checkpoints}
    log.write_bytes(b"".join(line + b"\n" for line in edit(CAME)))
    stands = Standing(gaps=tuple(known.values()), sound_from=6)
    assert standings(log, [2, 6, 7], known, vouched) == {2: None, 6: stands, 7: stands}
    with pytest.raises(ChainBroken):
        standings(log, [6, 12], known, vouched)


def test_an_entry_that_went_meanwhile_is_not_taken_for_sound(tmp_path: Path) -> None:
    log = kept(tmp_path, LINES[:5])
    with pytest.raises(ChainBroken, match="ends here, and held entry 6 a moment ago"):
        standings(log, [2, 6], {}, {})


# --- what was here is no gap -------------------------------------------------------


@pytest.mark.parametrize(
    ("seq", "checkpoints", "told"),
    [
        (6, (5,), "entries 4 to 5 are missing, but a checkpoint vouches for entry 5"),
        (7, (3, 4, 5, 8), "entries 4 to 5 are missing, but a checkpoint vouches for entry 4, 5"),
        (11, (9, 12), "entry 9 is missing, but a checkpoint vouches for entry 9"),
        (11, (4,), "entries 4 to 5 are missing, but a checkpoint vouches for entry 4"),
        (7, (9,), ""),  # behind it: nothing that it stands on
        (3, (5,), ""),
        (7, (3, 6), ""),  # the sides of a gap are here
    ],
)
def test_a_told_gap_explains_nothing_away_for_which_a_checkpoint_vouches(
    tmp_path: Path, seq: int, checkpoints: tuple[int, ...], told: str
) -> None:
    log = kept(tmp_path, TWICE)
    known, vouched = read_gaps(tmp_path).of(log), {number: hash_of(number) for number in checkpoints}
    if not told:
        standings(log, [seq], known, vouched)
        return
    with pytest.raises(ChainBroken, match=f"SRN-AUDIT-003.*{told}: it was here, and was removed"):
        standings(log, [seq], known, vouched)


def test_what_was_cut_off_while_nobody_wrote_is_found_by_its_checkpoint_though_a_gap_was_told(
    tmp_path: Path,
) -> None:
    home = Home(tmp_path)
    archive, log = Archive(home), home.decisions / "m-x.jsonl"
    archive.take("m-x", LINES[:5])
    archive.close()
    log.write_bytes(b"".join(line + b"\n" for line in LINES[:3]))
    archive = Archive(home)
    assert archive.take("m-x", LINES[5:]).missing == 2
    archive.close()
    found = verify_log(log, known={5: hash_of(5), 8: hash_of(8)}).broken
    assert found is not None
    assert found.what == (
        "entry 6 stands here; 4 to 5 missing, but entry 5 was noted elsewhere: it was here, and was removed"
    )
    assert (found.line, found.entry) == (4, 4)
    honest = verify_log(log, known={3: hash_of(3), 8: hash_of(8)}).broken
    assert honest is not None
    assert honest.what == "entry 6 stands here; 4 to 5 missing"
