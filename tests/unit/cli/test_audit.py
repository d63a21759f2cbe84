"""``serinus audit verify`` and ``serinus decisions show``: what they say, and their exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from serinus.chain import segments
from serinus.cli import main
from serinus.events import Decision, DecisionEvent, DecisionLog
from serinus.model import ReasonCode


def event(number: int, model: str = "small", row: int | None = None) -> DecisionEvent:
    return DecisionEvent(
        id=f"r{number}" if row is None else f"r{number}.{row}",
        source=f"/models/{model}/predictors/champion",
        time=f"2026-09-21T10:00:{number % 60:02d}.000000Z",
        data=Decision(
            model=model,
            version=1,
            digest="sha256:0",
            predictor="champion",
            score=0.9,
            probability=0.8,
            decision="decline",
            reasons=(ReasonCode("R01", "amount", "The amount is unusually high", 1.0),),
            features=(1.0, None),
        ),
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A rotated log of ``small`` with 20 decisions, a plain one of ``other`` with a batch, and outcomes."""
    decisions = tmp_path / "home" / "decisions"
    with DecisionLog(decisions / "small-champion.jsonl", rotate_bytes=4000) as log:
        for i in range(20):
            log.extend([event(i)])
    with DecisionLog(decisions / "other-champion.jsonl") as log:
        log.extend([event(30, "other", row) for row in range(2)])
    (decisions / "small.feedback.jsonl").write_text('{"request_id":"r1"}\n')
    return tmp_path / "home"


@pytest.fixture
def small(home: Path) -> Path:
    return home / "decisions" / "small-champion.jsonl"


def harm(log: Path) -> Path:
    """Edit the first entry of the second segment."""
    path = segments(log)[1][1]
    path.write_bytes(path.read_bytes().replace(b'"decline"', b'"approve"', 1))
    return path


def verify(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    code = main(["audit", "verify", *map(str, arguments)])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_everything_of_the_home_is_verified_and_outcomes_are_passed_over(
    home: Path, small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, error = verify(capsys, "--home", home)
    assert (code, error) == (0, "")
    files = len(segments(small)) + 1
    assert f"small-champion.jsonl: 20 entries in {files} files, sound; last hash " in out
    assert "other-champion.jsonl: 2 entries, sound" in out
    assert "feedback" not in out


@pytest.mark.parametrize("form", ["log", "directory", "pattern"])
def test_a_log_a_directory_or_a_pattern_says_where_the_chain_breaks(
    form: str, small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = harm(small)
    named = {"log": small, "directory": small.parent, "pattern": small.parent / "*-champion.jsonl"}[form]
    code, out, error = verify(capsys, named)
    first = 1 + len(segments(small)[0][1].read_bytes().splitlines())
    assert code == 1
    assert (
        f"SRN-AUDIT-003 {broken}: the chain is broken: line 1, entry {first}: the entry was changed" in error
    )
    assert ("other-champion.jsonl: 2 entries, sound" in out) == (form != "log")


def test_a_segment_by_its_own_name_is_verified_alone(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (_, first), (_, second) = segments(small)[:2]
    first.unlink()
    code, out, _ = verify(capsys, second)
    assert code == 0
    assert "a segment alone, from entry" in out
    assert verify(capsys, small)[0] == 1


def test_scripts_get_json(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = verify(capsys, small, "--output", "json")
    document = json.loads(out)
    assert (code, document["sound"], document["logs"][0]["entries"]) == (0, True, 20)
    head = document["logs"][0]["head"]
    broken = harm(small)
    code, out, error = verify(capsys, small, "-o", "json")
    document = json.loads(out)
    assert (code, error, document["sound"]) == (1, "", False)
    assert document["logs"][0]["broken"] | {"what": ""} == {
        "file": str(broken),
        "line": 1,
        "entry": document["logs"][0]["entries"] + 1,
        "what": "",
    }
    assert head != document["logs"][0]["head"]


def test_a_hash_noted_elsewhere_finds_a_log_cut_short(
    small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    head = json.loads(verify(capsys, small, "-o", "json")[1])["logs"][0]["head"]
    assert verify(capsys, small, "--known", f"20:{head}")[0] == 0
    small.write_bytes(b"".join(small.read_bytes().splitlines(keepends=True)[:-1]))
    assert verify(capsys, small)[0] == 0
    code, _, error = verify(capsys, small, "--known", f"20:{head}")
    assert code == 1
    assert "entry 20 was noted elsewhere" in error


@pytest.mark.parametrize(
    "arguments",
    [["/absent/log.jsonl"], ["*/absent"], ["--known", "x"], ["--known", "1:" + "0" * 64], ["--wrong"]],
)
def test_wrong_usage_is_2(arguments: list[str], home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(capsys, *arguments, "--home", home)[0] == 2


def test_a_home_without_logs_is_said_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = verify(capsys, "--home", tmp_path)
    assert (code, "There is no log yet" in out) == (0, True)


def decisions(capsys: pytest.CaptureFixture[str], home: Path, *arguments: str) -> tuple[int, str, str]:
    code = main(["decisions", "show", *arguments, "--home", str(home)])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_a_decision_is_found_by_its_request_id(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = decisions(capsys, home, "r7")
    assert code == 0
    assert [found["id"] for found in json.loads(out)] == ["r7"]
    code, out, _ = decisions(capsys, home, "r30", "-o", "json")
    assert [found["id"] for found in json.loads(out)] == ["r30.0", "r30.1"]
    code, _, error = decisions(capsys, home, "r3.0")
    assert code == 1
    assert "SRN-AUDIT-005" in error
    assert "Check the id" in error


def test_a_place_without_logs_is_not_a_wrong_id(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, error = decisions(capsys, tmp_path, "r7")
    assert (code, "SRN-AUDIT-005" in error, "--home" in error, "Check the id" in error) == (
        1,
        True,
        True,
        False,
    )


def test_the_newest_decisions_are_listed_by_model(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = decisions(capsys, home, "--last", "3", "-o", "json")
    assert [found["id"] for found in json.loads(out)] == ["r19", "r30.0", "r30.1"]
    _, out, _ = decisions(capsys, home, "--last", "8", "--model", "small")
    assert [line.split()[1] for line in out.splitlines()[1:]] == [f"r{n}" for n in range(12, 20)]
    assert "R01" in out


def test_an_id_is_shown_whole_and_as_it_stands_on_a_narrow_terminal(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    ids = ["x" * 128, "[/bold]", "[red]7", ":canary:"]
    with DecisionLog(home / "decisions" / "long-champion.jsonl") as log:
        log.extend([msgspec.structs.replace(event(40 + i, "long"), id=name) for i, name in enumerate(ids)])
    _, out, _ = decisions(capsys, home, "--last", "4", "--model", "long")
    assert [line.split()[1] for line in out.splitlines()[1:]] == ids


def test_no_decision_is_said_to_be_none(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = decisions(capsys, home, "--last", "5", "--model", "absent")
    assert (code, out.startswith("There is no decision of absent yet in ")) == (0, True)
    assert decisions(capsys, home, "--last", "5", "--model", "absent", "-o", "json")[:2] == (0, "[]\n")


@pytest.mark.parametrize("arguments", [[], ["r1", "--last", "3"], ["--last", "0"]])
def test_decisions_are_asked_for_in_one_way(
    arguments: list[str], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert decisions(capsys, home, *arguments)[0] == 2


def test_decisions_of_a_tampered_log_are_not_shown(
    home: Path, small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    harm(small)
    code, out, error = decisions(capsys, home, "r19")
    assert (code, out) == (1, "")
    assert "SRN-AUDIT-003" in error
