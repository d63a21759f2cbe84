"""``serinus notice``: only declines, only as logged, entered in the audit log without the applicant."""

from __future__ import annotations

import copy
import hashlib
import json
from pathlib import Path

import msgspec
import pypdfium2
import pytest
import yaml

from serinus.archive import Archive
from serinus.audit import AuditLog
from serinus.bundle import Bundle
from serinus.chain import gaps_log
from serinus.cli import main
from serinus.events import DecisionEvent, DecisionLog, find_decisions
from serinus.home import Home
from serinus.notice import Jurisdiction
from serinus.notice.principal import principal_reasons
from tests.unit.notice.support import POLICY, SECRET, event_of, installation

Place = tuple[Home, Bundle]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return installation(tmp_path)


def run(
    capsys: pytest.CaptureFixture[str], place: Place, *arguments: str, by: str = "kim"
) -> tuple[int, str, str]:
    code = main(["notice", *arguments, "--home", str(place[0].root), "--as", by])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def issued(place: Place) -> list:
    return [entry for entry in AuditLog(place[0].audit).entries() if "notice" in entry.action]


def test_a_declined_applicant_gets_the_logged_reasons(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(capsys, place, "decline", "--jurisdiction", "US")
    assert code == 0
    ((_, event, *_),) = find_decisions([place[0].decisions], "decline")
    assert isinstance(event, DecisionEvent)
    for number, reason in enumerate(event.data.reasons, start=1):
        assert f"{number}. {reason.text}" in out
    (entry,) = issued(place)
    assert (entry.actor, entry.action, entry.subject) == ("kim", "adverse-action-notice", "small/1")
    details = entry.details
    assert details["request"] == "decline"
    assert details["bundle"] == place[1].digest
    assert details["reasons"] >= len(event.data.reasons)
    assert details["reasons_from"] == "logged"
    assert details["due"] == "2026-10-21"


def test_the_digest_of_the_decision_is_that_of_the_logs_own_bytes(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, place, "decline", "--jurisdiction", "US")
    line = next(
        line
        for line in (place[0].decisions / "small-champion.jsonl").read_bytes().splitlines()
        if b'"id":"decline"' in line
    )
    body = line[line.index(b'"body":') + 7 : -1]
    assert hashlib.sha256(body).hexdigest() == issued(place)[0].details["entry_sha256"]


@pytest.mark.parametrize(
    ("request_id", "code"),
    [
        ("approve", "SRN-NOTICE-002"),
        ("review", "SRN-NOTICE-003"),
        ("batch", "SRN-NOTICE-004"),
        ("forged", "SRN-NOTICE-005"),
        ("nobody", "SRN-AUDIT-005"),
    ],
)
def test_nothing_else_is_written_nor_recorded(
    place: Place, capsys: pytest.CaptureFixture[str], tmp_path: Path, request_id: str, code: str
) -> None:
    out = tmp_path / "letter"
    ended, printed, error = run(capsys, place, request_id, "--jurisdiction", "US", "--out", str(out))
    assert ended == 1
    assert code in error
    assert printed == ""
    assert not out.exists()
    assert issued(place) == []


def test_of_a_batch_a_row_is_named(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, place, "batch.1", "--jurisdiction", "US")[0] == 0
    assert issued(place)[0].details["request"] == "batch.1"


def test_a_shadows_decision_is_another_one(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    home, bundle = place
    with DecisionLog(home.decisions / "small-shadow.jsonl") as log:
        log.extend([event_of(bundle, "decline", predictor="shadow")])
    assert "SRN-NOTICE-004" in run(capsys, place, "decline", "--jurisdiction", "US")[2]
    assert run(capsys, place, "decline", "--jurisdiction", "US", "--predictor", "champion")[0] == 0


def test_reasons_that_were_not_logged_are_computed_by_the_bundle_that_decided(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    code, silent, _ = run(capsys, place, "silent", "--jurisdiction", "US")
    assert code == 0
    _, logged, _ = run(capsys, place, "decline", "--jurisdiction", "US")
    assert silent.replace("silent", "decline") == logged
    assert [entry.details["reasons_from"] for entry in issued(place)] == ["recomputed", "logged"]


def test_the_applicant_is_in_the_letter_and_nowhere_else(
    place: Place, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    to, out = tmp_path / "to.txt", tmp_path / "letter.pdf"
    to.write_text(f"{SECRET}\n2 Street\n")
    code, printed, error = run(
        capsys,
        place,
        "decline",
        "--jurisdiction",
        "US",
        "--to",
        str(to),
        "--format",
        "pdf",
        "--out",
        str(out),
    )
    assert code == 0
    text = pypdfium2.PdfDocument(out)[0].get_textpage().get_text_range()
    assert SECRET in text
    assert SECRET not in printed + error
    kept = [
        path for path in place[0].root.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()
    ]
    assert kept == []


def test_a_draft_is_not_recorded(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, place, "decline", "--jurisdiction", "US", "--draft")
    assert code == 0
    assert "Draft. It was not issued." in out
    assert issued(place) == []


def test_a_late_notice_says_so_and_is_recorded_as_late(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, error = run(capsys, place, "decline", "--jurisdiction", "US", "--applied", "2020-01-01")
    assert code == 0
    assert "was due on 2020-01-31; it is late" in error
    assert issued(place)[0].details["late"] is True


def test_a_jurisdiction_must_be_known(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    # The contract of this model has no policy that would name one.
    assert "SRN-NOTICE-007" in run(capsys, place, "decline")[2]
    assert run(capsys, place, "decline", "--jurisdiction", "EU")[0] == 0
    assert issued(place)[0].details["reasons"] <= 2


def test_who_may_not_issue_notices_issues_none(
    place: Place, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (place[0].root / "policy.yaml").write_text(
        "apiVersion: serinus.io/v1\nkind: AccessPolicy\nroles: {developer: [kim], reviewer: [lee]}\n"
    )
    out = tmp_path / "letter.txt"
    code, _, error = run(capsys, place, "decline", "--jurisdiction", "US", "--out", str(out))
    assert code == 1
    assert "SRN-ACCESS-005" in error
    assert not out.exists()
    assert issued(place) == []


@pytest.mark.parametrize("arguments", [("--format", "pdf"), ("--applied", "yesterday"), ("--to", "/nowhere")])
def test_wrong_options_are_told(
    place: Place, capsys: pytest.CaptureFixture[str], arguments: tuple[str, str]
) -> None:
    code, _, error = run(capsys, place, "decline", "--jurisdiction", "US", *arguments)
    assert code == 1
    assert "SRN-NOTICE-00" in error
    assert issued(place) == []


def test_the_result_is_json_for_scripts(
    place: Place, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    _, out, _ = run(
        capsys, place, "decline", "--jurisdiction", "US", "--out", str(tmp_path / "a.html"), "--format", "html",
        "--output", "json",
    )  # fmt: skip
    told = json.loads(out)
    assert told["issued"] is True
    assert told["due"] == "2026-10-21"
    assert len(told["reasons"]) == issued(place)[0].details["reasons"] > 0


def test_without_a_file_the_letter_is_in_the_json(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    _, letter, _ = run(capsys, place, "decline", "--jurisdiction", "US", "--draft")
    _, out, _ = run(capsys, place, "decline", "--jurisdiction", "US", "--draft", "--output", "json")
    told = json.loads(out)
    assert (told["letter"], told["path"], told["issued"]) == (letter, None, False)


def test_a_second_notice_on_a_decision_says_who_issued_the_first(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    us = ("decline", "--jurisdiction", "US")
    _, _, first = run(capsys, place, *us)
    assert "issued" not in first
    _, _, second = run(capsys, place, *us, by="ada")
    assert "a notice on this decision was issued before, by kim on 20" in second
    _, out, third = run(capsys, place, *us, "--draft", "--output", "json")
    assert "issued 2 times, last by ada" in third
    assert [one["by"] for one in json.loads(out)["issued_before"]] == ["kim", "ada"]


@pytest.mark.parametrize("inquiry", ["amount", "merchant_risk", "channel", "hour", "days_since_last"])
def test_an_inquiry_is_given_beside_the_principal_reasons_and_only_if_it_speaks_against_the_applicant(
    place: Place, inquiry: str
) -> None:
    _, bundle = place
    event = event_of(bundle, "decline")
    policy = copy.deepcopy(POLICY)["jurisdictions"]["US"]
    everything = msgspec.convert(policy | {"max_reasons": 10}, Jurisdiction)
    adverse = [reason.feature for reason in principal_reasons(event, bundle, everything)[0]]
    one = msgspec.convert(policy | {"max_reasons": 1, "inquiries": [inquiry]}, Jurisdiction)
    found = [reason.feature for reason in principal_reasons(event, bundle, one)[0]]
    expected = adverse[:1] + ([inquiry] if inquiry in adverse[1:] else [])
    assert found == expected


def test_the_policy_may_be_named(place: Place, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    other = copy.deepcopy(POLICY)
    other["creditor"]["name"] = "Another Bank"
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(other))
    _, out, _ = run(
        capsys, place, "decline", "--jurisdiction", "US", "--policy", str(tmp_path / "other.yaml")
    )
    assert "Another Bank" in out


def test_behind_a_gap_that_was_told_the_letter_is_written_and_what_it_rests_on_is_on_record(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    home = place[0]
    log = home.decisions / "small-champion.jsonl"
    lines = log.read_bytes().splitlines()
    at = next(number for number, line in enumerate(lines) if b'"id":"decline"' in line)
    log.unlink()
    with DecisionLog(log) as fresh:  # three decisions before those of the fixture, of which two are lost
        fresh.append([b'{"id":"x"}'] * 3 + [line[line.index(b'"body":') + 7 : -1] for line in lines])
    written = log.read_bytes().splitlines()
    log.unlink()
    archive = Archive(home)
    archive.take("small-champion", [written[0], *written[3:]])
    archive.close()
    code, out, error = run(capsys, place, "decline", "--jurisdiction", "US")
    assert (code, bool(out)) == (0, True)
    assert "the chain is BROKEN before this entry: entries 2 to 3 are missing" in error
    (entry,) = issued(place)
    assert entry.details["behind_gaps"] == [4]
    assert (
        entry.details["entry_sha256"]
        == hashlib.sha256(written[at + 3][written[at + 3].index(b'"body":') + 7 : -1]).hexdigest()
    )
    gaps_log(home.root).unlink()
    code, out, error = run(capsys, place, "decline", "--jurisdiction", "US")
    assert (code, out, "SRN-AUDIT-003" in error) == (1, "", True)
