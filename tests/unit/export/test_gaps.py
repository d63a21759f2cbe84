"""An auditor gets what there is of a log with a gap that was told, and is told the gap; what nobody told is refused."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from serinus.archive import Archive
from serinus.bundle import SigningKey
from serinus.chain import gaps_log
from serinus.chain.checkpoint import append_checkpoint, checkpoints_path, sign_checkpoint
from serinus.events import DecisionLog
from serinus.export.archive import export_archive
from serinus.export.period import parse_period
from serinus.home import Home
from serinus.registry import Registry
from tests.support.bundles import small_bundle, small_home
from tests.unit.export.test_archive import decision, edit, export, unpack, verify

DAYS = ("2026-05-10", "2026-06-10", "2026-07-10", "2026-08-10", "2026-09-10", "2026-10-10")


def arrive(home: Home, tmp_path: Path, model: str, *, missing: range, each: int = 3) -> list[bytes]:
    """The log of a pod, some days of it, of which some entries (from 1) never came to the archive."""
    pod = tmp_path / "pods" / f"{model}-pod.jsonl"
    with DecisionLog(pod) as log:
        for day in DAYS:
            log.extend([decision(day, n, model) for n in range(each)])
    lines = pod.read_bytes().splitlines()
    archive = Archive(home, clock=lambda: 1.79e9)
    archive.take(f"{model}-pod", [line for i, line in enumerate(lines, 1) if i < missing.start])
    archive.take(f"{model}-pod", [line for i, line in enumerate(lines, 1) if i >= missing.stop])
    archive.close()
    return lines


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = small_home(tmp_path)
    Registry(home).register(small_bundle(tmp_path), by="ann", owner="cards", run="run-1")
    return home


def index(archive: Path) -> dict[str, Any]:
    return json.loads((archive / "index.json").read_text())


def checkpoint(home: Home, line: bytes, model: str = "small") -> None:
    entry, log = json.loads(line), home.decisions / f"{model}-pod.jsonl"
    key = SigningKey.load_or_create(home.keys)
    signed = sign_checkpoint(log, entry["seq"], entry["hash"], "2026-12-01T00:00:00+00:00", key)
    append_checkpoint(checkpoints_path(log), signed)


@pytest.mark.parametrize("arguments", [(), ("--chain",)])
def test_the_gap_is_stated_by_manifest_and_script_and_all_else_verifies(
    arguments: tuple[str, ...], home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = arrive(home, tmp_path, "small", missing=range(8, 10))
    archive = unpack(home, tmp_path, "--for", "2026-Q3")
    printed = capsys.readouterr()
    assert "decisions.small-pod.jsonl: entries 8 to 9 are MISSING, as was told at 2026-09-21" in printed.out
    assert "complete but for 1 told gap, and says so" in printed.err
    found = index(archive)
    assert (found["complete"], found["missing"]) == (
        False,
        [
            {
                "log": "decisions.small-pod.jsonl",
                "first": 8,
                "last": 9,
                "told": "2026-09-21T14:13:20+00:00",
                "vouched": None,
            }
        ],
    )
    assert (archive / "logs/decisions.small-pod.jsonl").read_bytes().splitlines() == [lines[6], *lines[9:15]]
    code, said = verify(archive, *arguments)
    assert code == 3, said
    assert "GAP: small-pod.jsonl: entries 8 to 9 are missing, as was told at 2026-09-21" in said
    assert "logs/decisions.small-pod.jsonl: sound but for 1 told gap, 7 entries" in said
    assert "NOT COMPLETE: complete but for 1 told gap(s)" in said
    assert "FALSE" not in said
    (told,) = [e for e in Registry(home).audit.entries() if e.action == "audit.export"]
    assert told.reason.endswith(", 1 told gap in it")


def test_without_a_gap_it_is_complete_and_nothing_of_gaps_is_in_it(home: Home, tmp_path: Path) -> None:
    arrive(home, tmp_path, "small", missing=range(0, 0))
    archive = unpack(home, tmp_path, "--for", "2026-Q3")
    assert (index(archive)["complete"], index(archive)["missing"]) == (True, [])
    code, said = verify(archive, "--chain")
    assert (code, "Sound. Complete: " in said, "GAP" in said, "gap" in said) == (0, True, False, False), said
    assert not list(archive.rglob("*gaps*"))


@pytest.mark.parametrize(
    ("missing", "told"),
    [
        (range(2, 4), False),  # from May to June: behind it is June
        (range(5, 7), True),  # the last of June and the first of July
        (range(7, 9), True),  # the period begins behind it
        (range(7, 16), True),  # all of the period
        (range(1, 8), True),  # the log begins behind it
        (range(15, 17), True),  # the period's last entries
        (range(17, 18), False),  # October
    ],
)
def test_a_gap_counts_where_entries_of_the_period_may_be_missing(
    missing: range, told: bool, home: Home, tmp_path: Path
) -> None:
    arrive(home, tmp_path, "small", missing=missing)
    archive = unpack(home, tmp_path, "--for", "2026-Q3")
    found = [(gap["first"], gap["last"]) for gap in index(archive)["missing"]]
    assert found == ([(missing.start, missing.stop - 1)] if told else [])
    code, said = verify(archive, "--chain")
    assert code == (3 if told else 0), said
    assert said.count("GAP: ") == int(told)


def test_a_gap_between_entries_that_are_handed_over_counts_whatever_the_clocks_on_both_sides_say(
    home: Home, tmp_path: Path
) -> None:
    pod = tmp_path / "pods" / "small-pod.jsonl"
    times = (
        "2026-09-30T23:59:59.990000Z",
        "2026-10-01T00:00:00.001000Z",
        "2026-10-01T00:00:00.002000Z",  # never came
        "2026-09-30T23:59:59.999000Z",
        "2026-10-01T00:00:01.000000Z",
        "2026-10-01T00:00:02.000000Z",  # nor did this one, behind the last of the period
        "2026-10-01T00:00:03.000000Z",
    )
    with DecisionLog(pod) as log:
        log.extend([replace(decision("", n), time=time) for n, time in enumerate(times)])
    lines = pod.read_bytes().splitlines()
    archive = Archive(home)
    for came in (lines[:2], lines[3:5], lines[6:]):
        archive.take("small-pod", came)
    archive.close()
    made = unpack(home, tmp_path, "--for", "2026-Q3")
    (entries,) = [log for log in index(made)["logs"] if log["log"] == "decisions.small-pod.jsonl"]
    assert (entries["first"], entries["last"]) == (1, 4)
    assert [(gap["first"], gap["last"]) for gap in index(made)["missing"]] == [(3, 3)]
    assert index(made)["complete"] is False
    code, said = verify(made, "--chain")
    assert (code, said.count("GAP: "), "FALSE" in said) == (3, 1, False), said


def test_a_gap_that_an_archive_at_work_tells_meanwhile_is_told(home: Home, tmp_path: Path) -> None:
    pod = tmp_path / "pods" / "small-pod.jsonl"
    with DecisionLog(pod) as log:
        log.extend([decision("2026-07-10", n) for n in range(20)])
    lines = pod.read_bytes().splitlines()
    archive = Archive(home)
    archive.take("small-pod", lines[:7])

    def goes_on(log: Path) -> None:
        if log.name == "small-pod.jsonl":
            archive.take("small-pod", lines[9:])

    out = tmp_path / "a.tar.gz"
    made = export_archive(home, parse_period("2026-Q3"), None, out, by="eva", now=1.79e9, progress=goes_on)
    archive.close()
    assert [(gap.log, gap.first, gap.last) for gap in made.missing] == [("decisions.small-pod.jsonl", 8, 9)]
    assert made.complete is False
    with tarfile.open(out) as tar:
        tar.extractall(tmp_path, filter="data")
    assert index(tmp_path / "a")["complete"] is False
    assert verify(tmp_path / "a", "--chain")[0] == 3


def test_another_models_gap_is_its_own_business(home: Home, tmp_path: Path) -> None:
    arrive(home, tmp_path, "other", missing=range(8, 10))
    arrive(home, tmp_path, "small", missing=range(11, 12))
    archive = unpack(home, tmp_path, "--for", "2026-Q3", "--model", "small")
    assert [(gap["log"], gap["first"]) for gap in index(archive)["missing"]] == [
        ("decisions.small-pod.jsonl", 11)
    ]
    assert verify(archive, "--chain")[0] == 3
    assert b"other" not in (archive / "logs/archive.gaps.gaps.jsonl").read_bytes()
    alone = unpack(home, tmp_path, "--for", "2026-Q3", "--model", "small", name="alone")
    assert index(alone)["complete"] is False


def test_who_vouches_for_what_follows_is_named(home: Home, tmp_path: Path) -> None:
    lines = arrive(home, tmp_path, "small", missing=range(8, 10))
    checkpoint(home, lines[5])
    checkpoint(home, lines[11])
    checkpoint(home, lines[16])
    archive = unpack(home, tmp_path, "--for", "2026-Q3")
    assert [gap["vouched"] for gap in index(archive)["missing"]] == [12]
    assert [path.stem for path in archive.glob("checkpoints/decisions.small-pod.jsonl/*.txt")] == ["12"]
    assert verify(archive, "--chain")[0] == 3


def test_of_two_gaps_each_is_vouched_for_by_what_stands_right_behind_it(home: Home, tmp_path: Path) -> None:
    lines = arrive(home, tmp_path, "small", missing=range(8, 9))
    log = home.decisions / "small-pod.jsonl"
    log.unlink()
    archive = Archive(home)
    archive.take("small-pod", lines[:7])
    archive.take("small-pod", lines[8:10])
    archive.take("small-pod", lines[11:])
    archive.close()
    checkpoint(home, lines[13])
    made = unpack(home, tmp_path, "--for", "2026")
    assert [(gap["first"], gap["vouched"]) for gap in index(made)["missing"]] == [(8, None), (11, 14)]
    code, said = verify(made, "--chain")
    assert (code, "complete but for 2 told gap(s)" in said) == (3, True), said


def removed(log: Path, line: int) -> None:
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[: line - 1] + lines[line:]))


def cut(log: Path) -> None:
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:-1]))


HARM: dict[str, tuple[Callable[[Home, list[bytes]], object], str]] = {
    "an entry more is missing": (lambda h, _: removed(log_of(h), 9), "stands here; 11 missing"),
    "the one behind it is gone": (lambda h, _: removed(log_of(h), 8), "stands here; 8 to 10 missing"),
    "the one behind it is altered": (
        lambda h, _: edit(log_of(h), "small-2026-08-10-0", "small-2026-08-10-9"),
        "stands here; 8 to 9 missing",
    ),
    "the gap was not told": (lambda h, _: gaps_log(h.root).unlink(), "stands here; 8 to 9 missing"),
    "what was told is altered": (
        lambda h, _: edit(gaps_log(h.root), '"after":7', '"after":6'),
        "gaps.jsonl: the chain is broken",
    ),
    "what is missing was here": (
        lambda h, lines: checkpoint(h, lines[8]),
        "a checkpoint vouches for entry 9: it was here, and was removed",
    ),
    "the end is cut off": (
        lambda h, lines: (checkpoint(h, lines[17]), cut(log_of(h))),
        "ends at entry 17, but a checkpoint vouches for entry 18",
    ),
    "it ends before its gap": (
        lambda h, _: [cut(log_of(h)) for _ in range(12)],
        "ends at entry 4, but a gap behind entry 7 was told",
    ),
    "it was written anew": (
        lambda h, lines: (checkpoint(h, lines[11].replace(b'"hash":"', b'"hash":"0')),),
        "its hash is not the one for which a checkpoint vouches",
    ),
}


def log_of(home: Home) -> Path:
    return home.decisions / "small-pod.jsonl"


@pytest.mark.parametrize("harm", HARM)
def test_what_nobody_told_or_somebody_altered_is_refused(
    harm: str, home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = arrive(home, tmp_path, "small", missing=range(8, 10))
    do, said = HARM[harm]
    do(home, lines)
    assert export(home, tmp_path / "a.tar.gz", "--for", "2026-Q3") == 1
    error = capsys.readouterr().err
    assert "SRN-AUDIT-003" in error
    assert said in error
    assert not (tmp_path / "a.tar.gz").exists()
    assert [e for e in Registry(home).audit.entries() if e.action == "audit.export"] == []


def test_what_was_told_and_is_gone_is_found_by_its_checkpoint(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arrive(home, tmp_path, "small", missing=range(8, 10))
    log = gaps_log(home.root)
    entry = json.loads(log.read_bytes())
    key = SigningKey.load_or_create(home.keys)
    append_checkpoint(
        checkpoints_path(log), sign_checkpoint(log, 1, entry["hash"], "2026-12-01T00:00:00+00:00", key)
    )
    log.unlink()
    assert export(home, tmp_path / "a.tar.gz", "--for", "2026-Q3") == 1
    assert "gaps.jsonl: the log is gone" in capsys.readouterr().err


def unsigned(archive: Path) -> None:
    """Only the shell's own chain check is left."""
    script = (archive / "verify.sh").read_text().splitlines()
    kept = [line for line in script if not line.startswith(("signed SHA256SUMS", "sha256sum --check"))]
    (archive / "verify.sh").write_text("\n".join(kept))


FORGERIES: dict[str, Callable[[Path], object]] = {
    "an entry more is missing": lambda a: removed(a / "logs/decisions.small-pod.jsonl", 4),
    "the one behind it is gone": lambda a: removed(a / "logs/decisions.small-pod.jsonl", 3),
    "the one before it is gone": lambda a: removed(a / "logs/decisions.small-pod.jsonl", 2),
    "no gap was told": lambda a: (a / "logs/archive.gaps.gaps.jsonl").unlink(),
    "another gap was told": lambda a: edit(a / "logs/archive.gaps.gaps.jsonl", '"after":8', '"after":7'),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_the_script_passes_no_break_but_the_one_that_was_told(
    forgery: str, home: Home, tmp_path: Path
) -> None:
    arrive(home, tmp_path, "small", missing=range(9, 11))
    archive = unpack(home, tmp_path, "--for", "2026-Q3")
    unsigned(archive)
    assert verify(archive)[0] == 3
    FORGERIES[forgery](archive)
    code, said = verify(archive)
    assert (code, "does not follow the one before it" in said) == (1, True), said
