"""A decision in front of a break is explained as far as it is proven: by a checkpoint, and otherwise not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serinus.bundle import Bundle, SigningKey
from serinus.chain import Linker, Place, finding, verify_log
from serinus.chain.checkpoint import append_checkpoint, checkpoints_path, sign_checkpoint
from serinus.chain.finding import last_entry_with
from serinus.chain.verify import scan
from serinus.cli import main
from serinus.errors import SerinusError
from serinus.events import DecisionLog, find_decisions
from serinus.home import Home
from serinus.registry import Registry
from tests.support.bundles import small_bundle, small_home
from tests.unit.audit.support import write
from tests.unit.explain.conftest import Run
from tests.unit.explain.test_command import event


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Nine decisions, the third and the sixth on one request; and the log of another predictor."""
    bundle: Bundle = small_bundle(tmp_path)
    home = small_home(tmp_path)
    Registry(home).register(bundle, by="ann", owner="cards", run="run-1")
    names = ["r1", "r2", "twice", "r4", "r5", "twice", "r7", "r8", "r9"]
    with DecisionLog(home.decisions / "small-champion.jsonl") as log:
        log.extend([event(bundle, name, row=row) for row, name in enumerate(names, 1)])
    with DecisionLog(home.decisions / "small-shadow.jsonl") as log:
        log.extend([event(bundle, "elsewhere"), event(bundle, "more")])
    return home


def log_of(home: Home) -> Path:
    return home.decisions / "small-champion.jsonl"


def checkpoint(home: Home, seq: int, *, digest: str = "", log: Path | None = None) -> None:
    log = log or log_of(home)
    found = json.loads(log.read_bytes().splitlines()[min(seq, 9) - 1])["hash"]
    key = SigningKey.load_or_create(home.keys)
    append_checkpoint(
        checkpoints_path(log), sign_checkpoint(log, seq, digest or found, "2026-09-22T00:00:00+00:00", key)
    )


def edit(log: Path, entry: int) -> None:
    """One character of an entry, and not its hash."""
    lines = log.read_bytes().splitlines(keepends=True)
    lines[entry - 1] = lines[entry - 1].replace(b'"champion"', b'"chomping"', 1)
    log.write_bytes(b"".join(lines))


def rewrite(log: Path, entry: int) -> None:
    """The forger's way: another content, and the hash that belongs to it; what follows stays."""
    lines = log.read_bytes().splitlines(keepends=True)
    body = json.dumps(json.loads(lines[entry - 1])["body"], separators=(",", ":")).encode()
    before = json.loads(lines[entry - 2])["hash"] if entry > 1 else json.loads(lines[0])["prev"]
    lines[entry - 1] = Linker(entry - 1, before).link([body.replace(b'"champion"', b'"chomping"')])[0]
    log.write_bytes(b"".join(lines))


def test_in_front_of_a_break_it_is_told_what_is_sound_and_that_nobody_vouches(home: Home, run: Run) -> None:
    edit(log_of(home), 7)
    code, out, _ = run("explain", "r2")
    assert code == 1
    assert (
        f"sound up to this entry, BROKEN behind it: {log_of(home)}, line 7, entry 7: the entry was changed"
        in out
    )
    assert "no signed checkpoint between vouches for it: it may be this entry that was changed" in out
    assert "The decision is reproduced." in out
    assert "Its log is broken behind it" in out
    code, out, _ = run("explain", "r2", "-o", "json")
    (found,) = json.loads(out)
    assert (code, found["reproduced"], found["broken"]["vouched"]) == (1, True, None)
    assert (found["broken"]["gaps"], found["broken"]["behind"]["entry"]) == ([], 7)


def test_an_entry_that_was_written_anew_with_its_hash_is_proven_by_nothing(home: Home, run: Run) -> None:
    rewrite(log_of(home), 4)
    broken = verify_log(log_of(home)).broken
    assert broken is not None
    assert broken.entry == 5, "the forgery shows behind it only"
    code, out, _ = run("explain", "r4")
    assert (code, "it may be this entry that was changed" in out) == (1, True)


def test_a_checkpoint_between_the_two_vouches_and_nothing_behind_it_is_read(home: Home, run: Run) -> None:
    checkpoint(home, 5)
    edit(log_of(home), 7)
    code, out, error = run("explain", "r4")
    assert (code, "sound up to this entry" in out, "BROKEN" in out + error) == (0, True, False)
    assert run("explain", "r5")[0] == 0
    code, out, _ = run("explain", "twice")
    assert code == 1, "of the second nobody vouches"
    assert "a signed checkpoint of entry 5, before the break, vouches for this one" in out
    assert "no signed checkpoint between vouches for it" in out
    assert run("audit", "verify")[0] == 1


def test_a_checkpoint_proves_nothing_of_an_entry_that_it_contradicts(home: Home, run: Run) -> None:
    checkpoint(home, 5)
    rewrite(log_of(home), 5)
    code, out, _ = run("explain", "r4")
    assert (code, "its hash is not the one for which a checkpoint vouches" in out) == (1, True)
    code, out, error = run("explain", "r5")
    assert (code, out, "its hash is not the one for which a checkpoint vouches" in error) == (1, "", True)


@pytest.mark.parametrize("broken", [5, 6], ids=["the break is before the second", "the second was edited"])
def test_of_two_decisions_on_a_request_the_first_alone_is_no_answer(
    broken: int, home: Home, run: Run
) -> None:
    checkpoint(home, 4)
    edit(log_of(home), broken)
    for command in (("explain", "twice"), ("decisions", "show", "twice")):
        code, out, error = run(*command)
        assert (code, out, "SRN-AUDIT-003" in error) == (1, "", True)
        assert f"line {broken}, entry {broken}: the entry was changed" in error
    vouching = {4: hash_of(log_of(home), 4)}
    for unproven in (False, True):
        with pytest.raises(SerinusError, match="SRN-AUDIT-003"):
            find_decisions([home.decisions], "twice", vouching=lambda log: vouching, unproven=unproven)
    assert run("explain", "r4")[0] == 0, "it has no second"


def test_a_log_that_was_cut_behind_it_is_told(home: Home, run: Run) -> None:
    checkpoint(home, 9)
    lines = log_of(home).read_bytes().splitlines(keepends=True)
    log_of(home).write_bytes(b"".join(lines[:6]))
    code, out, _ = run("explain", "r4")
    assert (code, "ends at entry 6, but a checkpoint vouches for entry 9" in out) == (1, True)


def test_a_segment_alone_is_held_against_what_it_holds(home: Home, run: Run) -> None:
    checkpoint(home, 9)
    lines = log_of(home).read_bytes().splitlines(keepends=True)
    segment = log_of(home).with_name("small-champion.000001.jsonl")
    segment.write_bytes(b"".join(lines[:6]))
    log_of(home).write_bytes(b"".join(lines[6:]))
    for log in (segment, log_of(home)):
        code, out, error = run("explain", "r4" if log == segment else "r7", "--log", str(log))
        assert (code, "BROKEN" in out, error) == (0, False, "")


def test_a_sound_log_is_told_sound_with_a_checkpoint_or_without(home: Home, run: Run) -> None:
    assert run("explain", "twice")[0] == 0
    checkpoint(home, 9)
    code, out, error = run("explain", "twice")
    assert (code, out.count("sound up to this entry"), "BROKEN" in out, error) == (0, 2, False, "")


def test_a_false_checkpoint_is_told_and_vouches_for_nothing(home: Home, run: Run) -> None:
    checkpoint(home, 5)
    kept = checkpoints_path(log_of(home))
    kept.write_bytes(kept.read_bytes().replace(b"2026-09-22", b"2026-09-23"))
    edit(log_of(home), 7)
    code, out, error = run("explain", "r4")
    assert (code, "no signed checkpoint between vouches" in out, "SRN-AUDIT-008" in error) == (1, True, True)


def test_shown_it_comes_with_a_warning_and_whoever_acts_on_it_is_refused(home: Home, run: Run) -> None:
    edit(log_of(home), 7)
    code, out, error = run("decisions", "show", "r2")
    assert (code, json.loads(out)[0]["id"]) == (1, "r2")
    assert "BROKEN behind it" in error
    with pytest.raises(SerinusError, match="SRN-AUDIT-003"):
        find_decisions([home.decisions], "r2")
    (found,) = find_decisions([home.decisions], "r2", vouching=lambda log: {5: hash_of(log, 5)})
    assert (found.vouched, found.behind) == (5, None)


def test_shown_it_fails_if_nobody_vouches_for_one_of_them(home: Home, run: Run) -> None:
    checkpoint(home, 5)
    edit(log_of(home), 7)
    code, out, error = run("decisions", "show", "r4")
    assert (code, json.loads(out)[0]["id"], error) == (0, "r4", "")
    for arguments in ((), ("-o", "json")):
        code, out, error = run("decisions", "show", "twice", *arguments)
        assert (code, out.count("twice"), error.count("no signed checkpoint between vouches")) == (1, 2, 1)
    assert run("decisions", "show", "--last", "9")[0] == 0, "these are unverified"


def hash_of(log: Path, seq: int) -> str:
    return json.loads(log.read_bytes().splitlines()[seq - 1])["hash"]


def test_who_reads_a_log_elsewhere_makes_no_installation(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint(home, 5)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    monkeypatch.delenv("SERINUS_HOME", raising=False)
    assert main(["decisions", "show", "r2", "--log", str(log_of(home))]) == 0
    assert "SRN-AUDIT-008" in capsys.readouterr().err, "nobody is trusted here"
    assert list((tmp_path / "empty").iterdir()) == []


def test_at_the_break_and_behind_it_nothing_is_explained(home: Home, run: Run) -> None:
    edit(log_of(home), 7)
    for name in ("r7", "r8"):
        code, out, error = run("explain", name)
        assert (code, out, "line 7, entry 7: the entry was changed" in error) == (1, "", True)


def test_the_break_of_another_log_hides_no_decision_and_no_absence(home: Home, run: Run) -> None:
    edit(log_of(home), 7)
    assert run("explain", "elsewhere")[0] == 0
    code, _, error = run("explain", "nobody")
    assert (code, "SRN-AUDIT-003" in error, "SRN-AUDIT-005" in error) == (1, True, False)


def shortened(home: Home) -> None:
    log_of(home).write_bytes(b"".join(log_of(home).read_bytes().splitlines(keepends=True)[:3]))


def written_anew(home: Home) -> None:
    """The whole log, with another request in the place of r4."""
    entries = [json.loads(line) for line in log_of(home).read_bytes().splitlines()]
    bodies = [json.dumps(entry["body"]).replace('"r4"', '"r0"').encode() for entry in entries]
    log_of(home).write_bytes(b"".join(Linker(0, entries[0]["prev"]).link(bodies)))
    assert verify_log(log_of(home)).broken is None


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (shortened, "ends at entry 3, but a checkpoint vouches for entry 5"),
        (written_anew, "its hash is not the one for which a checkpoint vouches"),
    ],
)
def test_of_a_log_that_is_not_what_a_checkpoint_says_no_absence_is_told(
    harm: Callable[[Home], None], said: str, home: Home, run: Run
) -> None:
    checkpoint(home, 5)
    code, _, error = run("explain", "nobody")
    assert (code, "SRN-AUDIT-005" in error, "SRN-AUDIT-003" in error) == (1, True, False)
    harm(home)
    for command in (("explain", "r4"), ("decisions", "show", "r4")):
        code, out, error = run(*command)
        assert (code, out, "SRN-AUDIT-003" in error, "SRN-AUDIT-005" in error) == (1, "", True, False)
        assert said in error


def test_a_segment_alone_need_not_hold_what_a_checkpoint_of_a_later_one_says(home: Home, run: Run) -> None:
    checkpoint(home, 9)
    segment = log_of(home).with_name("small-champion.000001.jsonl")
    segment.write_bytes(b"".join(log_of(home).read_bytes().splitlines(keepends=True)[:6]))
    code, _, error = run("explain", "r8", "--log", str(segment))
    assert (code, "SRN-AUDIT-005" in error) == (1, True)


def test_only_what_is_needed_is_verified(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[str, int]] = []

    def counted(log: Path, place: Place) -> Iterator[bytes]:
        for body in scan(log, place):
            read.append((log.stem, place.seq))
            yield body

    monkeypatch.setattr("serinus.chain.read.scan", counted)
    find_decisions([home.decisions], "r2", vouching=lambda log: {4: hash_of(log, 4)})
    assert read == [("small-champion", n) for n in range(1, 5)]
    read.clear()
    find_decisions([home.decisions], "r2")
    assert read == [("small-champion", n) for n in range(1, 10)]


@settings(max_examples=60, deadline=None)
@given(
    chunk=st.integers(1, 40),
    lines=st.lists(st.text("ab", max_size=6), max_size=12),
    texts=st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=2),
)
def test_the_last_entry_with_a_text_is_found_wherever_it_is_read_apart(
    chunk: int, lines: list[str], texts: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    log = tmp_path_factory.mktemp("found") / "log.jsonl"
    half = len(lines) // 2
    written = [f'{{"seq":{n},"x":"{line}"}}\n' for n, line in enumerate(lines, 1)]
    log.with_name("log.000001.jsonl").write_text("".join(written[:half]))
    log.write_text("".join(written[half:]) + "ab" * 9)  # what a writer is in the middle of
    expected = max((n for n, line in enumerate(lines, 1) if any(t in line for t in texts)), default=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finding, "_CHUNK", chunk)
        assert last_entry_with(log, *[text.encode() for text in texts]) == expected


def test_where_it_cannot_be_said_which_is_the_last_the_whole_log_is_read(tmp_path: Path) -> None:
    log = write(tmp_path / "log.jsonl", 20, rotate_bytes=800)
    assert last_entry_with(log, b'{"n":3}') == 4
    assert last_entry_with(log, b'{"n":x}') == 0
    log.write_bytes(log.read_bytes().replace(b'{"seq":20', b'{"sex":20'))
    assert last_entry_with(log, b'{"n":19}') == finding.ALL
    log.with_name("log.000002.jsonl").unlink()
    assert last_entry_with(log, b'{"n":3}') == finding.ALL
