"""``serinus privacy``: what is printed, exit codes, who may, and that nothing happens without a yes."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pytest

from serinus.audit import AuditLog
from serinus.cli import main
from serinus.home import Home
from serinus.privacy import open_store
from tests.unit.privacy.support import IDENTITY, INCOME, NOW, decide, everything, outcome


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    for name in ("SERINUS_SUBJECT_KEYS", "SERINUS_MASTER_KEY", "SERINUS_STORE"):
        monkeypatch.delenv(name, raising=False)
    home = Home(tmp_path / "home")
    decide(home, "ann", "bob", "ann")
    outcome(home, "r0", [1.0])
    return home


def run(capsys: pytest.CaptureFixture[str], home: Home, *arguments: str) -> tuple[int, str, str]:
    code = main(["privacy", *arguments, "--home", str(home.root)])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_show_prints_all_that_is_kept_and_records_that_somebody_looked(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(capsys, home, "show", "ann", "--as", "dpo")
    shown = json.loads(out)
    assert code == 0
    assert [one["event"]["id"] for one in shown["decisions"]] == ["r0", "r2"]
    assert shown["decisions"][0]["event"]["data"]["features"] == [INCOME, None]
    assert shown["outcomes"][0]["truth"] == [[1.0]]
    (entry,) = AuditLog(home.audit).entries()
    assert (entry.actor, entry.action, len(entry.details["keys"])) == ("dpo", "privacy-show", 1)
    assert b"ann" not in everything(home.root)


def test_what_was_decided_on_a_copy_is_shown_as_such(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    details = {"rollout": "r", "digest": IDENTITY.digest, "weight": 0}
    audit = AuditLog(home.audit)
    audit.append(actor="e", action="rollout-StepStarted", subject="credit/3", details=details | {"at": NOW})
    shown = json.loads(run(capsys, home, "show", "ann")[1])
    assert [one["shadow"] for one in shown["decisions"]] == [True, True]
    live = details | {"at": NOW, "weight": 5}
    audit.append(actor="e", action="rollout-StepStarted", subject="credit/3", details=live)
    shown = json.loads(run(capsys, home, "show", "ann")[1])
    assert [one["shadow"] for one in shown["decisions"]] == [False, False]


def test_erase_asks_first(
    home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    code, _, error = run(capsys, home, "erase", "ann", "--reason", "case 1")
    assert code == 130
    assert "can never be read again" in error
    assert json.loads(run(capsys, home, "show", "ann")[1])["erased"] == []


def test_where_nobody_can_be_asked_erase_says_what_to_add(
    home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    code, _, error = run(capsys, home, "erase", "ann", "--reason", "case 1")
    assert (code, "nothing was erased. Add --yes." in error, "[y/N]: \nUsage" in error) == (2, True, True)
    assert json.loads(run(capsys, home, "show", "ann")[1])["erased"] == []


@pytest.mark.parametrize("why", ["a hold", "a law", "a name"])
def test_what_stands_against_an_erasure_is_said_before_anybody_is_asked(
    home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    if why == "a hold":
        run(capsys, home, "hold", "ann", "--reason", "matter 7")
    elif why == "a law":
        (home.root / "privacy.yaml").write_text("keep: [{model: credit, for: 9000d, because: Reg B}]")
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    reason = "ann asked" if why == "a name" else "case 1"
    code, _, error = run(capsys, home, "erase", "ann", "--reason", reason)
    assert (code, "SRN-PRIVACY-00" in error, "Destroy" in error) == (1, True, False), error
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    code, _, error = run(capsys, home, "erase", "bob", "--reason", "case 1")
    assert (code, "Destroy 1 key of this person? What it seals" in error) == (
        int(why == "a law"),
        why != "a law",
    )


def test_one_of_a_kind_is_said_in_the_singular(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert ": 2 keys, 0 destroyed; " in run(capsys, home, "status")[1]
    out = run(capsys, home, "erase", "bob", "--reason", "case 1", "--yes")[1]
    assert out.endswith(": 1 key destroyed, 1 decision unreadable, 0 lines of outcomes blanked.\n")
    assert ": 1 key, 1 destroyed; " in run(capsys, home, "status")[1]


def test_erase_with_yes_then_again(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, home, "erase", "ann", "--reason", "case 1", "--yes", "-o", "json")
    assert (code, json.loads(out)["decisions"]) == (0, 2)
    code, out, _ = run(capsys, home, "erase", "ann", "--reason", "case 1", "--yes")
    assert (code, out.startswith("Erased before, on 20")) == (0, True)
    code, out, _ = run(capsys, home, "erase", "eve", "--reason", "case 1", "--yes")
    assert (code, "Nothing was ever sealed" in out) == (0, True)
    shown = json.loads(run(capsys, home, "show", "ann")[1])
    assert (shown["keys"], len(shown["erased"]), shown["decisions"][0]["event"]["data"]["verdict"]) == (
        [],
        1,
        "erased",
    )


def test_a_duty_to_keep_is_exit_code_1_and_its_law(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    (home.root / "privacy.yaml").write_text("keep: [{model: credit, for: 9000d, because: Reg B}]")
    code, _, error = run(capsys, home, "erase", "ann", "--reason", "case 1", "--yes")
    assert (code, "SRN-PRIVACY-006" in error, "Reg B" in error) == (1, True, True)
    assert json.loads(run(capsys, home, "show", "ann")[1])["kept_until"]["because"] == "Reg B"


def test_a_hold_and_its_release(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, home, "hold", "ann", "--reason", "matter 7")[0] == 0
    assert run(capsys, home, "erase", "ann", "--reason", "case 1", "--yes")[0] == 1
    assert run(capsys, home, "release", "ann", "--reason", "settled")[1] == "Released.\n"
    assert run(capsys, home, "erase", "ann", "--reason", "case 1", "--yes")[0] == 0
    assert run(capsys, home, "hold", "ann", "--reason", "of ann")[0] == 2


def test_who_may_not_is_refused_and_that_is_recorded(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    (home.root / "policy.yaml").write_text(
        "apiVersion: serinus.io/v1\nkind: AccessPolicy\nroles: {privacy: [dpo], developer: [dev]}\n"
    )
    for command in (
        ["erase", "ann", "--reason", "x", "--yes"],
        ["show", "ann"],
        ["hold", "ann", "--reason", "x"],
    ):
        code, _, error = run(capsys, home, *command, "--as", "dev")
        assert (code, "SRN-ACCESS-005" in error) == (1, True)
    assert run(capsys, home, "erase", "ann", "--reason", "x", "--yes", "--as", "dpo")[0] == 0
    assert b"ann" not in (home.audit / "audit.jsonl").read_bytes()


def test_status_finds_what_a_restored_backup_brought_back(
    home: Home, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    shutil.copytree(home.root / "privacy", tmp_path / "backup")
    run(capsys, home, "erase", "ann", "--reason", "case 1", "--yes")
    assert run(capsys, home, "status")[0] == 0
    shutil.rmtree(home.root / "privacy")
    shutil.copytree(tmp_path / "backup", home.root / "privacy")
    code, out, _ = run(capsys, home, "status")
    assert (code, "a backup was restored" in out) == (1, True)
    code, out, _ = run(capsys, home, "status", "--mend", "-o", "json")
    assert (code, len(json.loads(out)["destroyed_again"])) == (0, 1)
    assert run(capsys, home, "status")[0] == 0
    shown = json.loads(run(capsys, home, "show", "ann")[1])
    assert shown["decisions"][0]["event"]["data"]["verdict"] == "erased"


def test_status_tells_of_an_unfinished_erasure(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    store = open_store(home)
    store.begin(store.mark("customer", "ann"), "e-1", "2026-09-21T00:00:00+00:00")
    code, out, _ = run(capsys, home, "status")
    assert (code, "e-1" in out) == (1, True)


def test_rotate_leaves_a_backup_with_its_old_master_key_worthless(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    old = (home.root / "privacy" / "master.key").read_bytes()
    code, out, _ = run(capsys, home, "rotate")
    assert (code, "2 keys wrapped by" in out) == (0, True)
    assert (home.root / "privacy" / "master.key").read_bytes() != old
    assert (
        json.loads(run(capsys, home, "show", "ann")[1])["decisions"][0]["event"]["data"]["decision"]
        == "decline"
    )


def test_a_home_without_keys_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = Home(tmp_path / "none")
    home.root.mkdir()
    code, _, error = run(capsys, home, "status")
    assert (code, "SRN-PRIVACY-002" in error) == (1, True)


def test_two_columns_need_to_be_told_apart(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    open_store(home).add_kind("account")
    assert run(capsys, home, "show", "ann")[0] == 2
    assert run(capsys, home, "show", "ann", "--column", "customer")[0] == 0
    assert run(capsys, home, "show", "ann", "--column", "shoe")[0] == 2
