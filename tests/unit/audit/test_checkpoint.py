"""Signed checkpoints: what they show that the chain alone cannot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from serinus.audit import AuditLog
from serinus.bundle import Keyring, SigningKey
from serinus.chain import verify_log
from serinus.chain.checkpoint import (
    append_checkpoint,
    checkpoints_path,
    newest,
    read_checkpoints,
    sign_checkpoint,
    vouched,
)
from serinus.cli import main
from serinus.errors import SerinusError
from serinus.home import Home
from serinus.registry import Registry
from tests.support.bundles import small_bundle, small_home
from tests.unit.audit.support import write


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    grow(home, 5)
    return home


def grow(home: Home, entries: int) -> None:
    log = AuditLog(home.audit, clock=lambda: 1_790_000_000.0)
    for n in range(entries):
        log.append(actor="ann", action="look", subject=f"small/{n}")


def log_of(home: Home) -> Path:
    return home.audit / "audit.jsonl"


def run(home: Home, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = main(["audit", *arguments, "--home", str(home.root)])
    printed = capsys.readouterr()
    return code, printed.out + printed.err


def test_a_checkpoint_is_made_where_a_log_has_grown_and_only_there(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "entry 5, hash " in run(home, capsys, "checkpoint")[1]
    assert "No log has grown" in run(home, capsys, "checkpoint")[1]
    grow(home, 2)
    assert "entry 7, hash " in run(home, capsys, "checkpoint")[1]
    assert [c.seq for c in read_checkpoints(checkpoints_path(log_of(home)))] == [5, 7]
    assert run(home, capsys, "verify")[0] == 0


def cut(home: Home) -> None:
    """Take entries off the end: the chain that is left is sound."""
    path = log_of(home)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:3]))


def anew(home: Home) -> None:
    """Write another log of the same length: a sound chain too."""
    log_of(home).unlink()
    grow(home, 4)
    AuditLog(home.audit).append(actor="eve", action="look", subject="small/9")


@pytest.mark.parametrize(
    ("harm", "found"), [(cut, "entry 5 was noted elsewhere"), (anew, "is not the one noted elsewhere")]
)
def test_a_log_cut_short_or_written_anew_is_found(
    harm: object, found: str, home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    assert callable(harm)
    run(home, capsys, "checkpoint")
    harm(home)
    assert verify_log(log_of(home)).broken is None
    code, printed = run(home, capsys, "verify")
    assert code == 1
    assert found in printed
    code, printed = run(home, capsys, "checkpoint")
    assert (code, found in printed) == (1, True)


def test_the_copy_kept_elsewhere_finds_it_when_those_beside_the_log_went_too(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(home, capsys, "checkpoint", "--copy", str(tmp_path / "vault"))
    cut(home)
    checkpoints_path(log_of(home)).unlink()
    assert run(home, capsys, "verify")[0] == 0
    copy = tmp_path / "vault" / "audit.checkpoints"
    code, printed = run(home, capsys, "verify", str(log_of(home)), "--checkpoints", str(copy))
    assert (code, "entry 5 was noted elsewhere" in printed) == (1, True)


def test_a_log_that_is_gone_is_found_by_the_checkpoints_that_it_left(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    run(home, capsys, "checkpoint")
    assert ", holds 1 checkpoint;" in run(home, capsys, "verify")[1]
    log_of(home).unlink()
    for command in ("verify", "checkpoint", "export --for 2026"):
        code, printed = run(home, capsys, *command.split())
        assert code == 1
        assert "SRN-AUDIT-003" in printed
        assert "the log is gone" in printed
        assert "audit.checkpoints vouches for 5 entries" in printed
    code, printed = run(home, capsys, "verify", "--output", "json")
    found = json.loads(printed)
    assert (code, found["sound"], found["logs"]) == (1, False, [])
    assert [lost["file"] for lost in found["lost"]] == [str(log_of(home))]


def test_an_audit_log_that_is_gone_without_a_checkpoint_is_missed_by_the_registry(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = small_home(tmp_path)
    home.root.mkdir(exist_ok=True)
    assert run(home, capsys, "verify") == (0, f"There is no log yet in {home.root}.\n")
    Registry(home).register(small_bundle(tmp_path), by="ann", owner="cards", run="run-1")
    assert run(home, capsys, "verify")[0] == 0
    log_of(home).unlink()
    code, printed = run(home, capsys, "verify")
    assert (code, "the log is gone: the registry holds 1 version(s)" in printed) == (1, True)


def test_a_directory_of_copies_is_held_against_every_log(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vault = tmp_path / "vault"
    run(home, capsys, "checkpoint", "--copy", str(vault))
    for name in ("a", "b"):
        home.decisions.mkdir(exist_ok=True)
        write(home.decisions / f"{name}.jsonl", 3)
    code, printed = run(home, capsys, "verify", "--checkpoints", str(vault))
    assert code == 0
    assert "5 entries, sound, holds 1 checkpoint;" in printed
    assert "a.jsonl: 3 entries, sound, no checkpoint of it there;" in printed
    run(home, capsys, "checkpoint", "--copy", str(vault))
    for file in home.decisions.glob("b.*"):
        file.unlink()
    assert run(home, capsys, "verify")[0] == 0
    code, printed = run(home, capsys, "verify", "--checkpoints", str(vault))
    assert (code, "SRN-AUDIT-003 b.jsonl: the log is gone" in printed) == (1, True)


def test_a_copy_has_every_checkpoint_also_those_made_before_there_was_one(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vault, beside = tmp_path / "vault", checkpoints_path(log_of(home))
    run(home, capsys, "checkpoint")
    vault.write_text("in the way")
    grow(home, 1)
    code, printed = run(home, capsys, "checkpoint", "--copy", str(vault))
    assert (code, "SRN-AUDIT-002" in printed) == (1, True)
    vault.unlink()
    for expected in ("checkpoints copied", "0 checkpoints copied"):
        code, printed = run(home, capsys, "checkpoint", "--copy", str(vault))
        assert (code, expected in printed) == (0, True)
        assert read_checkpoints(vault / "audit.checkpoints") == read_checkpoints(beside)


def test_a_broken_log_gets_no_checkpoint(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    path = log_of(home)
    path.write_bytes(path.read_bytes().replace(b'"ann"', b'"eve"', 1))
    code, printed = run(home, capsys, "checkpoint")
    assert (code, "SRN-AUDIT-003" in printed) == (1, True)
    assert not checkpoints_path(path).exists()


def test_only_sound_checkpoints_of_trusted_keys_count(home: Home, tmp_path: Path) -> None:
    key = SigningKey.load_or_create(home.keys)
    stranger = SigningKey.load_or_create(tmp_path / "stranger")
    trusted, log = Keyring.load(home.keys), log_of(home)
    sound = sign_checkpoint(log, 5, "a" * 64, "2026-09-21T10:00:00+00:00", key)
    assert vouched([sound], trusted, log) == {5: "a" * 64}
    for false, why in [
        (replace(sound, seq=4), "was altered"),
        (replace(sound, hash="b" * 64), "was altered"),
        (replace(sound, time="2026-09-22T10:00:00+00:00"), "was altered"),
        (sign_checkpoint(log, 5, "a" * 64, sound.time, stranger), "is not trusted here"),
        (sign_checkpoint(Path("other.jsonl"), 5, "a" * 64, sound.time, key), "of the log other.jsonl"),
    ]:
        with pytest.raises(SerinusError, match=f"SRN-AUDIT-008.*{why}"):
            vouched([false], trusted, log)
    twice = sign_checkpoint(log, 5, "c" * 64, sound.time, key)
    with pytest.raises(SerinusError, match="contradict"):
        vouched([sound, twice], trusted, log)


def test_checkpoints_survive_their_file_and_a_torn_line_is_named(home: Home) -> None:
    key, log = SigningKey.load_or_create(home.keys), log_of(home)
    path = checkpoints_path(log)
    made = [sign_checkpoint(log, n, f"{n:064x}", "2026-09-21T10:00:00+00:00", key) for n in (3, 9, 7)]
    for checkpoint in made:
        append_checkpoint(path, checkpoint)
    assert read_checkpoints(path) == made
    assert newest(made) == made[1]
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(SerinusError, match="SRN-AUDIT-008.*line 3"):
        read_checkpoints(path)


def test_checkpoints_of_a_log_in_segments_belong_to_the_whole() -> None:
    assert checkpoints_path(Path("x/small.000003.jsonl")) == checkpoints_path(Path("x/small.jsonl"))
