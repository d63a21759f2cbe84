"""Cases from the log to a label: found once, one person at each, every answer recorded and fed back."""

from __future__ import annotations

import threading
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from serinus.errors import SerinusError
from serinus.home import Home
from serinus.privacy import find_keys
from serinus.review import Queue, ReviewDesk
from serving.outcomes.records import read_feedback
from tests.support.bundles import small_contract
from tests.unit.privacy import support

from .office import NOW, Office


@pytest.fixture
def office(tmp_path: Path) -> Office:
    office = Office(tmp_path)
    office.decided("a")
    office.decided("fine", 0.01, "approve")
    office.decided("b", 0.55, log="small-v2")
    return office


def test_only_what_was_referred_waits_oldest_first_and_is_taken_in_once(office: Office) -> None:
    assert [case.id for case in office.desk.waiting()] == ["a", "b"]
    assert office.desk.queue.sync() == 0
    office.decided("c")
    assert [case.id for case in office.desk.waiting("small")] == ["a", "b", "c"]
    assert office.desk.waiting("other") == []
    assert office.desk.waiting()[1].log.endswith("small-v2.jsonl")


def test_a_rotated_log_is_not_read_twice(office: Office) -> None:
    office.desk.waiting()
    log = office.home.decisions / "small-v1.jsonl"
    log.rename(log.with_name("small-v1.000001.jsonl"))
    assert office.desk.queue.sync() == 0


def test_two_people_never_take_the_same_case(office: Office) -> None:
    first, second = office.desk.next("rita"), office.desk.next("rob")
    assert first is not None
    assert second is not None
    assert (first.id, second.id) == ("a", "b")
    assert office.desk.next("rita") == office.desk.queue.find("a"), "asked again, it is the same"
    with pytest.raises(SerinusError, match="SRN-QUEUE-003.*rita is at a until"):
        office.desk.answer("a", "bad", by="rob", reason="mine now")
    with pytest.raises(SerinusError, match="SRN-QUEUE-003"):
        office.desk.release("a", "rob")
    office.desk.release("a", "rita")
    assert office.desk.answer("a", "bad", by="rob", reason="seen").answered_by == "rob"


def test_a_claim_ends_by_itself(office: Office) -> None:
    office.desk.next("rita", lasts=60.0)
    office.now += 60.0
    taken = office.desk.next("rob")
    assert taken is not None
    assert (taken.id, taken.claimed_by) == ("a", "rob")


def test_a_claim_that_ended_goes_before_no_older_case(office: Office) -> None:
    office.desk.next("rita", lasts=3600.0)
    office.desk.next("rob", lasts=60.0)
    office.desk.release("a", "rita")
    office.now += 60.0
    taken = office.desk.next("rita")
    assert taken is not None
    assert taken.id == "a", "the oldest, though b was taken before"


def test_who_has_no_keys_takes_no_sealed_case_from_those_who_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path)
    monkeypatch.setattr(support, "ANSWER", replace(support.ANSWER, decision="review"))
    support.decide(home, "ann")

    def queue() -> Queue:
        return Queue(home.root / "review" / "queue.db", home.decisions, find_keys(home))

    monkeypatch.setenv("SERINUS_SUBJECT_KEYS", str(tmp_path / "elsewhere.db"))
    with pytest.raises(SerinusError, match=r"SRN-PRIVACY-004.*no store of subject keys"):
        queue().sync()
    monkeypatch.delenv("SERINUS_SUBJECT_KEYS")
    assert queue().sync() == 1


def test_many_at_once_take_different_cases(office: Office) -> None:
    for i in range(10):
        office.decided(f"n{i}")
    policy = office.home.policy.read_text().replace("reviewer: [rita, rob]", 'reviewer: ["*"]')
    office.home.policy.write_text(policy)
    taken: list[str] = []

    def take(who: str) -> None:
        case = ReviewDesk(office.home, clock=lambda: NOW).next(who)
        assert case is not None
        taken.append(case.id)

    threads = [threading.Thread(target=take, args=(f"p{i}",)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(taken)) == 8


def test_an_answer_is_recorded_and_is_an_outcome_of_that_request(office: Office) -> None:
    case = office.desk.answer("b", "good", by="rita", reason="the customer was called")
    assert (case.bad, case.answered_by, case.answered_at) == (False, "rita", NOW)
    assert [c.id for c in office.desk.waiting()] == ["a"]
    entry = list(office.registry.audit.entries())[-1]
    assert (entry.actor, entry.action, entry.reason) == ("rita", "review-answer", "the customer was called")
    assert entry.details["request_id"] == "b"
    assert (entry.details["leaning"], entry.details["answer"], entry.details["override"]) == (
        "bad",
        "good",
        True,
    )
    (line,) = office.answers
    (outcome,) = read_feedback(line, small_contract().label)
    assert (outcome.id, outcome.bad, outcome.at) == ("b", False, NOW)
    assert msgspec.json.decode(line)["leaning"] == 1


def test_who_may_not_review_is_refused(office: Office) -> None:
    for act in (
        lambda: office.desk.next("ann"),
        lambda: office.desk.answer("a", "bad", by="ann", reason="x"),
    ):
        with pytest.raises(SerinusError, match="SRN-ACCESS-005.*reviewer"):
            act()
    assert office.answers == []


@pytest.mark.parametrize(
    ("name", "text", "reason", "code"),
    [
        ("zzz", "bad", "x", "SRN-QUEUE-002"),
        ("fine", "bad", "x", "SRN-QUEUE-002"),
        ("a", "perhaps", "x", "SRN-QUEUE-004"),
        ("a", "bad", "  ", "SRN-QUEUE-005"),
    ],
)
def test_a_wrong_answer_changes_nothing(office: Office, name: str, text: str, reason: str, code: str) -> None:
    with pytest.raises(SerinusError) as error:
        office.desk.answer(name, text, by="rita", reason=reason)
    assert error.value.code == code
    assert (office.answers, len(office.desk.waiting())) == ([], 2)
    assert "review-answer" not in office.actions


def test_an_answer_is_given_once_and_corrected_openly(office: Office) -> None:
    office.desk.answer("a", "bad", by="rita", reason="seen")
    with pytest.raises(SerinusError, match="SRN-QUEUE-003.*rita has answered a already: bad"):
        office.desk.answer("a", "good", by="rob", reason="no")
    office.desk.answer("a", "good", by="rob", reason="the cardholder wrote", correct=True)
    assert office.desk.queue.find("a").bad is False
    assert office.actions[-2:] == ["review-answer", "review-correct"]
    assert len(office.answers) == 2


def test_what_cannot_be_recorded_is_not_answered(office: Office) -> None:
    office.desk.waiting()
    log = office.registry.audit.path
    log.unlink()
    log.mkdir()
    with pytest.raises(SerinusError, match="SRN-AUDIT-002"):
        office.desk.answer("a", "bad", by="rita", reason="seen")
    assert office.answers == []
    assert office.desk.queue.find("a").answered_at is None


def test_half_a_line_of_a_full_disk_spoils_no_other(office: Office) -> None:
    office.desk.answer("a", "bad", by="rita", reason="seen")
    path = office.home.decisions / "small.review.feedback.jsonl"
    path.write_bytes(path.read_bytes() + b'{"request_id":"b","ti')
    office.desk.answer("b", "bad", by="rita", reason="seen")
    assert msgspec.json.decode(office.answers[-1])["request_id"] == "b"


def test_a_case_whose_bundle_is_not_here_says_so(office: Office) -> None:
    with office.registry.transaction() as db:
        db.execute("DELETE FROM versions")
    with pytest.raises(SerinusError, match="SRN-QUEUE-006"):
        office.desk.answer("a", "bad", by="rita", reason="seen")


def test_a_case_is_given_back_by_who_may_have_it(office: Office) -> None:
    office.desk.next("rita")
    with pytest.raises(SerinusError, match="SRN-ACCESS-005.*amy may not review.answer a"):
        office.desk.release("a", "amy")
    office.desk.release("a", "rita")
    assert office.actions[-1] == "access-refused"
