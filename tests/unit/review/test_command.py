"""``serinus review`` from the first case to the last."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from serinus.cli import main

from .office import Office

Printed = pytest.CaptureFixture[str]


@pytest.fixture
def office(tmp_path: Path) -> Office:
    office = Office(tmp_path)
    office.decided("a")
    office.decided("b", 0.55)
    return office


def run(office: Office, *arguments: str) -> int:
    return main(["review", *arguments, "--home", str(office.home.root)])


def test_take_look_answer(office: Office, capsys: Printed) -> None:
    assert run(office, "next", "--as", "rita") == 0
    out = capsys.readouterr().out
    assert "Request a, decided" in out
    assert "referred from 0.3, declined from 0.6; with nobody to ask: 0" in out
    assert "serinus review answer a --answer 1|0 --reason TEXT" in out
    assert run(office, "list") == 0
    assert "rita until" in capsys.readouterr().out
    assert run(office, "answer", "a", "--answer", "1", "--reason", "the card was copied", "--as", "rita") == 0
    assert "a is 1, against the model's leaning" in capsys.readouterr().out
    assert run(office, "show", "a") == 0
    assert "by rita: 1." in capsys.readouterr().out
    assert run(office, "list", "--answered", "-o", "json") == 0
    (answered,) = msgspec.json.decode(capsys.readouterr().out)
    assert (answered["id"], answered["bad"], answered["waits_seconds"]) == ("a", True, None)


def test_json_holds_what_a_screen_needs(office: Office, capsys: Printed) -> None:
    assert run(office, "list", "-o", "json") == 0
    waiting = msgspec.json.decode(capsys.readouterr().out)
    assert [case["id"] for case in waiting] == ["a", "b"]
    assert all(case["waits_seconds"] > 0 for case in waiting)
    assert run(office, "show", "b", "-o", "json") == 0
    shown = msgspec.json.decode(capsys.readouterr().out)
    assert (shown["leaning"], shown["decision"]["features"][3]) == ("bad", None)


def test_exit_codes_tell_apart_nothing_to_do_and_an_error(office: Office, capsys: Printed) -> None:
    for name in ("a", "b"):
        assert run(office, "answer", name, "--answer", "good", "--reason", "x", "--as", "rob") == 0
    assert run(office, "next", "--as", "rita") == 3
    assert run(office, "list") == 0
    assert "Nothing waits for a person." in capsys.readouterr().out
    assert run(office, "next", "--as", "ann") == 1
    assert run(office, "show", "zzz") == 1
    assert run(office, "next", "--claim", "long") == 2


def test_a_case_is_shown_only_from_a_sound_log(office: Office, capsys: Printed) -> None:
    assert run(office, "list") == 0
    log = office.home.decisions / "small-v1.jsonl"
    log.write_bytes(log.read_bytes().replace(b'"probability":0.4', b'"probability":0.5'))
    assert run(office, "show", "b") == 1
    assert "SRN-AUDIT-003" in capsys.readouterr().err


def test_a_long_list_is_cut_and_says_so(
    office: Office, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serinus.cli.review._SHOWN", 1)

    def rows(*arguments: str) -> tuple[int, str]:
        assert run(office, "list", *arguments) == 0
        lines = capsys.readouterr().out.splitlines()
        return sum("small/1" in line for line in lines), lines[-1]

    assert rows() == (1, "1 more; --limit 0 lists all.")
    for all_ in ("0", "2", "9"):
        assert rows("--limit", all_)[0] == 2
    assert run(office, "list", "-o", "json") == 0
    assert len(msgspec.json.decode(capsys.readouterr().out)) == 2
    assert run(office, "list", "-o", "json", "--limit", "1") == 0
    assert len(msgspec.json.decode(capsys.readouterr().out)) == 1
    for name in ("a", "b"):
        assert run(office, "answer", name, "--answer", "good", "--reason", "x", "--as", "rob") == 0
    capsys.readouterr()
    assert rows("--answered") == (1, "1 more; --limit 0 lists all.")
    assert run(office, "list", "--limit", "-1") == 2
