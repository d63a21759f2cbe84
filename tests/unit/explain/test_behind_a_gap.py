"""A decision behind a gap that the archive told of is explained, and nobody is told that its log is sound."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from serinus.archive import Archive
from serinus.bundle import Bundle, Keyring, SigningKey
from serinus.chain import Place, gaps_log
from serinus.chain.checkpoint import append_checkpoint, checkpoints_path, sign_checkpoint
from serinus.chain.verify import scan
from serinus.events import DecisionLog
from serinus.home import Home
from serinus.registry import Registry
from tests.support.bundles import small_bundle, small_home
from tests.unit.explain.conftest import Run
from tests.unit.explain.test_command import event


@pytest.fixture
def lines(tmp_path: Path) -> list[bytes]:
    """Nine decisions as a scorer wrote them; the archive got all but the fourth and fifth."""
    bundle: Bundle = small_bundle(tmp_path)
    home = small_home(tmp_path)
    Registry(home).register(bundle, by="ann", owner="cards", run="run-1")
    pod = tmp_path / "pod" / "small-pod.jsonl"
    with DecisionLog(pod) as log:
        log.extend([event(bundle, f"r{number}", row=number) for number in range(1, 10)])
    lines = pod.read_bytes().splitlines()
    archive = Archive(home, clock=lambda: 1.79e9)
    archive.take("small-pod", lines[:3])
    archive.take("small-pod", lines[5:])
    archive.close()
    return lines


def checkpoint(home: Home, line: bytes) -> None:
    entry = json.loads(line)
    log = home.decisions / "small-pod.jsonl"
    key = SigningKey.load_or_create(home.keys)
    assert Keyring.load(home.keys)
    append_checkpoint(
        checkpoints_path(log),
        sign_checkpoint(log, entry["seq"], entry["hash"], "2026-09-22T00:00:00+00:00", key),
    )


def test_it_is_explained_and_what_is_broken_sound_and_unproven_is_said(lines: list[bytes], run: Run) -> None:
    code, out, _ = run("explain", "r7")
    assert code == 1
    assert "The decision is reproduced." in out
    assert "Its log is broken before it" in out
    assert (
        "the chain is BROKEN before this entry: entries 4 to 5 are missing, as the archive told at 2026-09-21"
        in out
    )
    assert "from entry 6 on it is sound" in out
    assert "no signed checkpoint vouches for that" in out
    assert "sound up to this entry" not in out


def test_in_json_the_standing_is_a_field_of_its_own(lines: list[bytes], run: Run) -> None:
    code, out, _ = run("explain", "r7", "--output", "json")
    (found,) = json.loads(out)
    assert (code, found["reproduced"]) == (1, True)
    assert (found["broken"]["sound_from"], found["broken"]["vouched"]) == (6, None)
    assert [(gap["after"], gap["before"]) for gap in found["broken"]["gaps"]] == [(3, 6)]


def test_before_the_gap_nothing_is_broken(lines: list[bytes], run: Run) -> None:
    code, out, _ = run("explain", "r2")
    assert (code, "sound up to this entry" in out, "BROKEN" in out) == (0, True, False)


def test_a_signed_checkpoint_behind_it_vouches(lines: list[bytes], run: Run, tmp_path: Path) -> None:
    checkpoint(small_home(tmp_path), lines[7])
    code, out, _ = run("explain", "r7")
    assert (code, "a signed checkpoint of entry 8 vouches for that" in out) == (1, True)
    code, out, _ = run("explain", "r9")
    assert (code, "no signed checkpoint vouches" in out) == (1, True)


def test_what_a_checkpoint_vouches_for_was_removed_whatever_the_archive_told_of_it(
    lines: list[bytes], run: Run, tmp_path: Path
) -> None:
    checkpoint(small_home(tmp_path), lines[4])
    checkpoint(small_home(tmp_path), lines[7])
    for command in (("explain", "r7"), ("decisions", "show", "r7"), ("explain", "r5")):
        code, out, error = run(*command)
        assert (code, "vouches for that" in out + error) == (1, False)
        assert "SRN-AUDIT-003" in error
        assert "entries 4 to 5 are missing, but a checkpoint vouches for entry 5: it was here" in error
    assert "entry 5 was noted elsewhere: it was here, and was removed" in run("audit", "verify")[2]
    assert "entry 5 was noted elsewhere: it was here, and was removed" in run("audit", "checkpoint")[2]
    assert run("explain", "r2")[0] == 0


def test_however_many_rows_a_batch_has_its_log_is_read_and_its_checkpoints_are_verified_once(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, home = small_bundle(tmp_path), small_home(tmp_path)
    Registry(home).register(bundle, by="ann", owner="cards", run="run-1")
    pod = tmp_path / "pod" / "small-pod.jsonl"
    with DecisionLog(pod) as log:
        log.extend([event(bundle, f"b.{number}", row=number) for number in range(1, 10)])
    lines = pod.read_bytes().splitlines()
    archive = Archive(home)
    archive.take("small-pod", lines[:3])
    archive.take("small-pod", lines[5:])
    archive.close()
    checkpoint(home, lines[7])
    read: list[Path] = []

    def counted(log: Path, place: Place) -> Iterator[bytes]:
        read.append(log)
        return scan(log, place)

    monkeypatch.setattr("serinus.chain.standing.scan", counted)
    code, out, _ = run("explain", "b", "--output", "json")
    found = {one["request_id"]: one["broken"] and one["broken"]["vouched"] for one in json.loads(out)}
    assert found == {"b.1": None, "b.2": None, "b.3": None, "b.6": 8, "b.7": 8, "b.8": 8, "b.9": None}
    assert (code, len(read)) == (1, 1)
    assert run("decisions", "show", "b")[2].count("BROKEN before this entry") == 4
    assert len(read) == 2


def test_verifying_goes_on_to_report_the_break(lines: list[bytes], run: Run) -> None:
    code, out, error = run("audit", "verify")
    assert (code, "entry 6 stands here; 4 to 5 missing" in error) == (1, True)
    assert "gaps.jsonl: 1 entry, sound" in out


@pytest.mark.parametrize("left", [0, 2, 3])
def test_a_log_that_ends_before_a_gap_that_was_told_was_cut(
    left: int, lines: list[bytes], run: Run, tmp_path: Path
) -> None:
    log = small_home(tmp_path).decisions / "small-pod.jsonl"
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:left]))
    code, _, error = run("audit", "verify")
    # Up to the gap nothing is missing: the entry behind it may not have been written when the archive was killed.
    expected = (0, False) if left == 3 else (1, True)
    assert (code, f"ends at entry {left}, but entry 3 was noted elsewhere" in error) == expected


def test_untold_or_altered_nothing_behind_it_is_explained(
    lines: list[bytes], run: Run, tmp_path: Path
) -> None:
    home = small_home(tmp_path)
    log, told = home.decisions / "small-pod.jsonl", gaps_log(home.root).read_bytes()
    sound = log.read_bytes()
    log.write_bytes(sound.replace(b'"id":"r6"', b'"id":"r0"'))
    code, out, error = run("explain", "r7")
    assert (code, out, "SRN-AUDIT-003" in error) == (1, "", True)
    log.write_bytes(sound)
    gaps_log(home.root).unlink()
    code, out, error = run("explain", "r7")
    assert (code, out, "4 to 5 missing" in error) == (1, "", True)
    gaps_log(home.root).write_bytes(told)
    assert "reproduced" in run("explain", "r7")[1]


def test_decisions_are_shown_with_a_warning(lines: list[bytes], run: Run) -> None:
    code, out, error = run("decisions", "show", "r7", "--output", "json")
    assert (code, json.loads(out)[0]["id"]) == (0, "r7")
    assert "BROKEN before this entry: entries 4 to 5 are missing" in error
    assert run("decisions", "show", "r2")[2] == ""
