"""Erasing a person: every entry about them is closed for ever, every chain verifies, nobody else is touched."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from serinus.archive import Archive
from serinus.audit import AuditLog
from serinus.chain import Place, read_bodies, read_gaps, read_on, verify_chain
from serinus.errors import SerinusError
from serinus.events import DecisionEvent, WithheldEvent, decode_decision, find_decisions, read_decisions
from serinus.home import Home
from serinus.privacy import find_keys, open_store
from serinus.privacy.erase import BEGUN, DONE, Asked, Erasure, erase, recorded_erasures
from serinus.privacy.kept import outcomes_of
from serinus.privacy.retention import Keep, Retention, load_retention
from serinus.privacy.store import Hold
from tests.unit.privacy.support import INCOME, NOW, bodies, decide, everything, outcome

STEPS = ("begun", "recorded", "outcomes", "histories", "destroyed", "confirmed", "finished")
DAY = 86_400.0


class Killed(BaseException):
    pass


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """ann and bob decided on thrice and once, two of ann's outcomes known, and bob's."""
    home = Home(tmp_path / "home")
    decide(home, "ann", "bob", "ann", "ann")
    for request in ("r0", "r1", "r2"):
        outcome(home, request, [1.0])
    return home


def asked(subject: str = "ann", **changes: Any) -> Asked:
    return Asked(**{"kind": "customer", "subject": subject, "by": "dpo", "reason": "case 12", **changes})


def do(home: Home, what: Asked | None = None, **changes: Any) -> Erasure:
    store = open_store(home, {})
    try:
        given: dict[str, Any] = {"now": NOW, "retention": Retention(), **changes}
        return erase(home, store, what or asked(), **given)
    finally:
        store.close()


def verdicts(home: Home) -> list[str]:
    keys = find_keys(home)
    found = [decode_decision(body, keys) for body in bodies(home)]
    return [event.data.verdict if isinstance(event, WithheldEvent) else "open" for event in found]


def test_the_person_is_gone_the_others_and_the_chain_are_not(home: Home) -> None:
    before = (home.decisions / "credit-champion.jsonl").read_bytes()
    result = do(home)
    assert (result.verdict, result.decisions, result.outcomes, len(result.keys)) == ("erased", 3, 2, 1)
    assert verdicts(home) == ["erased", "open", "erased", "erased"]
    assert (home.decisions / "credit-champion.jsonl").read_bytes() == before
    assert verify_chain(home.decisions / "credit-champion.jsonl")[0] == 4
    keys = find_keys(home)
    ((_, event, *_),) = find_decisions([home.decisions], "r1", keys=keys)
    assert isinstance(event, DecisionEvent)
    assert event.data.features == (INCOME, None)


def test_a_copy_of_the_log_made_before_is_closed_as_well(home: Home, tmp_path: Path) -> None:
    shutil.copytree(home.decisions, tmp_path / "copy")
    do(home)
    keys = find_keys(home)
    copied = [
        decode_decision(body, keys) for body in read_bodies(tmp_path / "copy" / "credit-champion.jsonl")
    ]
    assert [isinstance(event, WithheldEvent) for event in copied] == [True, False, True, True]


def test_no_file_names_the_person_before_or_after(home: Home) -> None:
    assert b"ann" not in everything(home.root)
    do(home)
    kept = everything(home.root)
    assert b"ann" not in kept
    assert str(INCOME).encode() not in kept


def test_it_is_on_record_who_did_it_and_why_and_of_which_keys(home: Home) -> None:
    result = do(home)
    log = AuditLog(home.audit)
    first, second = log.entries()
    assert (first.action, second.action) == (BEGUN, DONE)
    assert (second.actor, second.reason, second.subject) == ("dpo", "case 12", result.erasure)
    assert recorded_erasures(log) == dict.fromkeys(result.keys, result.erased_at)
    assert log.verify()[0] == 2


def test_readers_say_it_plainly(home: Home) -> None:
    do(home)
    keys = find_keys(home)
    ((_, event, *_),) = find_decisions([home.decisions], "r0", keys=keys)
    assert isinstance(event, WithheldEvent)
    assert event.data.why.startswith("erased on 2026-09-21")
    with pytest.raises(SerinusError, match="SRN-PRIVACY-004.*erased on 2026-09-21"):
        list(read_decisions(home.decisions / "credit-champion.jsonl", keys))


@pytest.mark.parametrize("last", STEPS)
def test_killed_after_any_step_it_is_finished_by_repeating(home: Home, last: str) -> None:
    def kill(done: str) -> None:
        if done == last:
            raise Killed

    with pytest.raises(Killed):
        do(home, step=kill)
    if last != "finished":
        assert open_store(home, {}).unfinished()
    result = do(home)
    assert result.verdict == ("erased" if last != "finished" else "already")
    assert verdicts(home) == ["erased", "open", "erased", "erased"]
    assert [entry.action for entry in AuditLog(home.audit).entries()] == [BEGUN, DONE]
    assert [kept.request_id for kept in outcomes_of(home.decisions, {"r0", "r1", "r2"})] == ["r1"]
    assert open_store(home, {}).unfinished() == []
    assert do(home).verdict == "already"


@pytest.mark.parametrize("broken", ["audit", "outcomes", "histories"])
def test_where_a_step_fails_the_keys_stay_until_it_does_not(
    home: Home, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> Any:
        raise SerinusError("SRN-AUDIT-002", "the disk is full", hint="Free space.")

    with monkeypatch.context() as patched:
        if broken == "audit":
            patched.setattr(AuditLog, "append", fails)
        if broken == "outcomes":
            patched.setattr("serinus.privacy.erase.blank_outcomes", fails)
        with pytest.raises(SerinusError, match="the disk is full"):
            do(home, forget=[fails] if broken == "histories" else [])
    assert verdicts(home) == ["open"] * 4
    assert do(home).verdict == "erased"


def test_who_is_unknown_or_was_erased_before_is_a_verdict_and_no_entry(home: Home) -> None:
    assert do(home, asked("eve")).verdict == "nothing"
    do(home)
    count = AuditLog(home.audit).verify()[0]
    again = do(home)
    assert (again.verdict, again.erased_at) == ("already", "2026-09-21T14:13:20+00:00")
    assert AuditLog(home.audit).verify()[0] == count


def test_who_comes_back_has_a_new_key_and_can_be_erased_again(home: Home) -> None:
    do(home)
    decide(home, "ann", first=10)
    assert verdicts(home) == ["erased", "open", "erased", "erased", "open"]
    assert do(home).decisions == 1
    assert verdicts(home) == ["erased", "open", "erased", "erased", "erased"]


def test_a_decision_on_nobody_is_erased_by_its_request_id(home: Home) -> None:
    decide(home, None, None, first=20)
    assert verdicts(home)[-2:] == ["open", "open"]
    assert do(home, asked("r21", kind="request")).decisions == 1
    assert verdicts(home)[-2:] == ["open", "erased"]


@pytest.mark.parametrize("field", ["reason", "override"])
def test_a_reason_that_names_the_person_is_refused(home: Home, field: str) -> None:
    with pytest.raises(SerinusError, match="SRN-PRIVACY-007"):
        do(home, asked(**{field: "ann asked for it"}))
    assert verdicts(home) == ["open"] * 4


def test_a_hold_stands_against_it_until_it_is_released(home: Home) -> None:
    store = open_store(home, {})
    mark = store.mark("customer", "ann")
    store.hold(mark, Hold("2026-01-01", "legal", "matter 7"))
    with pytest.raises(SerinusError, match="SRN-PRIVACY-006.*matter 7"):
        do(home, asked(override="court order"), retention=Retention(override="allowed"))
    assert do(home, asked("bob")).verdict == "erased"
    assert store.release(mark)
    assert do(home).verdict == "erased"


REG_B = Retention(keep=(Keep(model="credit", time="762d", because="Regulation B, 12 CFR 1002.12(b)"),))


@pytest.mark.parametrize(
    ("days", "refused"), [(0, True), (761, True), (762.1, False)], ids=["at once", "a day before", "after"]
)
def test_what_has_to_be_kept_is_not_erased_before_its_time(home: Home, days: float, refused: bool) -> None:
    if refused:
        with pytest.raises(SerinusError, match=r"SRN-PRIVACY-006.*until 2028-10-22.*Regulation B"):
            do(home, retention=REG_B, now=NOW + days * DAY)
        assert verdicts(home) == ["open"] * 4
        assert not AuditLog(home.audit).path.exists()
    else:
        assert do(home, retention=REG_B, now=NOW + days * DAY).verdict == "erased"


def test_a_duty_counts_from_the_latest_decision(home: Home) -> None:
    decide(home, "ann", first=9, now=NOW + 100 * DAY)
    with pytest.raises(SerinusError, match="until 2029-01-30"):
        do(home, retention=REG_B, now=NOW + 763 * DAY)
    assert do(home, asked("bob"), retention=REG_B, now=NOW + 763 * DAY).verdict == "erased"


def test_an_override_needs_leave_and_a_reason(home: Home) -> None:
    import msgspec

    with pytest.raises(SerinusError, match="lets nobody pass over it"):
        do(home, asked(override="art. 17(1)(d)"), retention=REG_B)
    allowed = msgspec.structs.replace(REG_B, override="allowed")
    with pytest.raises(SerinusError, match="give --override"):
        do(home, retention=allowed)
    assert do(home, asked(override="unlawful processing"), retention=allowed).verdict == "erased"
    assert next(AuditLog(home.audit).entries()).details["override"] == "unlawful processing"


def test_the_rules_are_read_from_the_home(tmp_path: Path) -> None:
    assert load_retention(tmp_path) == Retention()
    (tmp_path / "privacy.yaml").write_text(
        "override: allowed\nkeep:\n  - {model: credit, for: 762d, because: Reg B}\n  - {for: 30d, because: disputes}"
    )
    rules = load_retention(tmp_path)
    assert (rules.rule("credit"), rules.rule("fraud")) == (rules.keep[0], rules.keep[1])
    assert rules.override == "allowed"


@pytest.mark.parametrize(
    "text",
    ["keep: 3", "kep: []", "keep: [{for: soon, because: x}]", "keep: [{for: 3d}]", "{", "override: perhaps"],
)
def test_wrong_rules_stop_an_erasure_rather_than_mean_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "privacy.yaml").write_text(text)
    with pytest.raises(SerinusError, match="SRN-PRIVACY-005"):
        load_retention(tmp_path)


def test_of_a_batch_only_the_rows_that_are_meant_lose_their_outcome(home: Home) -> None:
    outcome(home, "r", [1.0], [0.0])  # rows r.0 and r.1
    size = (home.decisions / "credit.feedback.jsonl").stat().st_size
    from serinus.privacy.kept import blank_outcomes

    assert blank_outcomes(home.decisions, {"r.0"}) == 1
    assert (home.decisions / "credit.feedback.jsonl").stat().st_size == size
    assert [kept.truth for kept in outcomes_of(home.decisions, {"r.0", "r.1"})] == [[[0.0]]]


def test_a_hold_in_the_instant_of_the_erasure_is_either_heard_or_refused(home: Home) -> None:
    store, other = open_store(home, {}), open_store(home, {})
    mark = store.mark("customer", "ann")
    hold = Hold("2026-01-01", "legal", "matter 7")
    other.hold(mark, hold)
    with pytest.raises(SerinusError, match="SRN-PRIVACY-006.*matter 7"):
        store.begin(mark, "e-1", "2026-01-02")  # its own look at holds came before
    assert not store.is_unfinished(mark)
    other.release(mark)

    def late(done: str) -> None:
        if done == "begun":
            with pytest.raises(SerinusError, match="SRN-PRIVACY-006.*too late"):
                other.hold(mark, hold)

    assert do(home, step=late).verdict == "erased"
    other.hold(mark, hold)


def test_a_person_is_erased_behind_a_gap_that_was_told_too(home: Home) -> None:
    log = home.decisions / "credit-champion.jsonl"
    lines = log.read_bytes().splitlines()
    log.unlink()
    archive = Archive(home)
    archive.take("credit-champion", [lines[0], *lines[2:]])
    archive.close()
    assert do(home).decisions == 3
    keys = find_keys(home)
    told = Place(read_gaps(home.root).of(log))
    found = [decode_decision(body, keys) for body in read_on(log, told)]
    assert [isinstance(event, WithheldEvent) for event in found] == [True, True, True]
