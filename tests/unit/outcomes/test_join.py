"""The join: each label to its decision once, whatever the order, through restarts and rotation."""

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serinus.contract import Label
from serinus.errors import SerinusError
from serinus.follow import Followed, matching
from serving.outcomes.records import (
    Decided,
    Groups,
    Outcome,
    Sealed,
    Unreadable,
    read_decision,
    read_feedback,
    read_groups,
    read_label,
    read_label_row,
    seconds,
)
from serving.outcomes.store import Store
from tests.unit.outcomes.lines import DAY, START, decision, feedback, protected

LABEL = Label(column="bad")


def decided(request_id: str, at: float = START, **changes: object) -> object:
    found = read_decision(decision(request_id, at, **changes), "loans")  # type: ignore[arg-type]
    assert found is not None
    return found


def test_a_label_counts_for_the_decision_of_its_request() -> None:
    store = Store(None)
    store.apply(decided=[decided("a", decision="decline"), decided("b")])  # type: ignore[list-item]
    store.apply(outcomes=[Outcome("a", True, START + 2 * DAY), Outcome("b", False, START + 60)])
    store.mature(START + 100 * DAY)
    assert store.outcome_counts() == {("champion", "decline", "bad"): 1, ("champion", "approve", "good"): 1}
    counts, total = store.delay_counts()
    assert sum(counts) == 2
    assert total == pytest.approx(2 * DAY + 60)


def test_a_label_that_comes_before_its_decision_waits_for_it() -> None:
    store = Store(None)
    store.apply(outcomes=[Outcome("a", True, START + 5)])
    store.mature(START + 100 * DAY)
    assert store.outcome_counts() == {}
    store.apply(decided=[decided("a")])  # type: ignore[list-item]
    store.mature(START + 100 * DAY)
    assert store.outcome_counts() == {("champion", "approve", "bad"): 1}
    assert store.result_counts()["early"] == 1
    assert store.result_counts()["joined"] == 1


def test_the_same_label_again_is_nothing_and_another_one_corrects() -> None:
    store = Store(None)
    store.apply(decided=[decided("a")])  # type: ignore[list-item]
    for bad in (False, False, True):
        store.apply(outcomes=[Outcome("a", bad, START + 9)])
    results = store.result_counts()
    assert (results["joined"], results["repeated"], results["corrected"]) == (1, 1, 1)
    store.mature(START + 100 * DAY)
    assert store.outcome_counts() == {("champion", "approve", "bad"): 1}
    # What a counter has told cannot be taken back; windows hold the corrected label.
    store.apply(outcomes=[Outcome("a", False, START + 99)])
    store.mature(START + 100 * DAY)
    assert store.outcome_counts() == {("champion", "approve", "bad"): 1}
    assert store.labelled("champion", 10)[1].tolist() == [0.0]


def test_outcomes_count_at_one_age_whenever_their_labels_came() -> None:
    store = Store(None)
    store.apply(decided=[decided("quick", START + 8), decided("slow", START + 8), decided("old", START)])  # type: ignore[list-item]
    store.apply(outcomes=[Outcome("quick", True, START + 9), Outcome("old", False, START + 9)])
    store.mature(START + 5)
    assert store.outcome_counts() == {("champion", "approve", "good"): 1}
    store.apply(outcomes=[Outcome("slow", False, START + 40)])
    store.mature(START + 50)
    assert store.outcome_counts() == {("champion", "approve", "good"): 2, ("champion", "approve", "bad"): 1}


def test_what_is_too_old_is_forgotten_and_the_unlabelled_counted() -> None:
    store = Store(None)
    store.apply(decided=[decided("old"), decided("seen"), decided("new", START + 10 * DAY)])  # type: ignore[list-item]
    store.apply(outcomes=[Outcome("seen", False, START + 1), Outcome("nobody", True, START)])
    store.mature(START + DAY)
    assert store.forget(START + DAY) == 2
    assert store.result_counts()["expired"] == 2
    store.apply(outcomes=[Outcome("old", True, START + 20 * DAY)])
    store.mature(START + 100 * DAY)
    assert store.outcome_counts() == {("champion", "approve", "good"): 1}


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_order_of_lines_does_not_matter(seed: int) -> None:
    chance = random.Random(seed)
    lines: list[tuple[str, object]] = []
    for i in range(30):
        lines.append(
            ("decided", decided(f"r{i}", START + i, predictor=chance.choice(["champion", "canary"])))
        )
        if chance.random() < 0.7:
            lines.append(("outcomes", Outcome(f"r{i}", chance.random() < 0.5, START + DAY)))
    seen = []
    for _ in range(2):
        chance.shuffle(lines)
        store = Store(None)
        for kind, line in lines:
            store.apply(**{kind: [line]})  # type: ignore[arg-type]
        store.mature(START + DAY)
        seen.append((store.outcome_counts(), store.delay_counts()))
    assert seen[0] == seen[1]


def follow(directory: Path, store: Store) -> int:
    followed = Followed(matching(directory, "loans-*.jsonl"), store.places())
    count = 0
    for _, lines, place in followed.read(1000):
        found = [read_decision(line, "loans") for line in lines]
        store.apply(decided=[d for d in found if isinstance(d, Decided)], places=[place])
        followed.keep(place)
        count += len(lines)
    return count


def test_a_restart_goes_on_where_it_stopped(tmp_path: Path) -> None:
    log, path = tmp_path / "loans-champion.jsonl", tmp_path / "s" / "x.sqlite"
    log.write_bytes(decision("a") + decision("b"))
    store = Store(path)
    assert follow(tmp_path, store) == 2
    store.close()
    with log.open("ab") as file:
        file.write(decision("c"))
    assert follow(tmp_path, Store(path)) == 1
    assert path.stat().st_mode & 0o077 == 0


def test_a_file_renamed_by_rotation_is_not_read_again_and_its_successor_is(tmp_path: Path) -> None:
    log, store = tmp_path / "loans-champion.jsonl", Store(None)
    log.write_bytes(decision("a"))
    assert follow(tmp_path, store) == 1
    log.rename(tmp_path / "loans-champion.000001.jsonl")
    log.write_bytes(decision("b"))
    assert follow(tmp_path, store) == 1
    assert store.result_counts()["repeated"] == 0


def test_half_a_line_is_left_until_it_is_whole(tmp_path: Path) -> None:
    log, store = tmp_path / "loans-champion.jsonl", Store(None)
    whole = decision("a")
    log.write_bytes(whole[:40])
    assert follow(tmp_path, store) == 0
    log.write_bytes(whole + whole[:10])
    assert follow(tmp_path, store) == 1
    assert follow(tmp_path, store) == 0


def test_a_transaction_that_fails_leaves_lines_and_place_as_they_were(tmp_path: Path) -> None:
    store = Store(tmp_path / "x.sqlite")
    with pytest.raises(AttributeError):
        store.apply(decided=[decided("a")], outcomes=["no outcome"])  # type: ignore[list-item]
    assert store.predictors() == []
    assert store.places() == {}


@pytest.mark.parametrize(
    ("truth", "expected"),
    [
        ((1,), [("r", True)]),
        ((0,), [("r", False)]),
        (("1.0",), [("r", True)]),
        ((True, 0, 1), [("r.0", True), ("r.1", False), ("r.2", True)]),
        ((None,), []),
        ((), []),
    ],
)
def test_truth_is_read_by_row_and_by_the_contract(
    truth: tuple[object, ...], expected: list[tuple[str, bool]]
) -> None:
    assert [(o.id, o.bad) for o in read_feedback(feedback("r", *truth), LABEL)] == expected


def test_a_reward_alone_is_no_outcome() -> None:
    assert read_feedback(b'{"request_id":"r","time":"2026-01-01T00:00:00Z","reward":1.0}', LABEL) == []


def test_labels_come_as_json_lines_or_csv() -> None:
    line = b'{"request_id":"r","label":"Y","time":"2026-01-01T00:00:00Z"}'
    row = b"2026-01-01,Y,r"
    label = Label(column="bad", positive="yes")
    assert read_label(line, label) == read_label_row(("time", "label", "request_id"), row, label)
    assert read_label(line, label)[0].bad


@pytest.mark.parametrize(
    "read",
    [
        lambda: read_decision(b"{}", "loans"),
        lambda: read_decision(b"\xff", "loans"),
        lambda: read_feedback(b"[]", LABEL),
        lambda: read_feedback(feedback("r", 1).replace(b"2025", b"a"), LABEL),
        lambda: read_label(b'{"request_id":1}', LABEL),
        lambda: read_label_row(("a", "b"), b"1", LABEL),
        lambda: read_groups(b'{"request_id":"r"}'),
    ],
)
def test_a_line_that_is_none_is_unreadable_and_never_guessed(read: object) -> None:
    with pytest.raises(Unreadable):
        read()  # type: ignore[operator]


def test_another_models_decision_is_passed_over() -> None:
    assert read_decision(decision("r", model="cards"), "loans") is None


def test_a_time_without_zone_is_utc() -> None:
    assert seconds("2026-01-01T00:00:00") == seconds("2026-01-01T01:00:00+01:00")


def test_groups_leave_out_what_is_not_known() -> None:
    groups = read_groups(protected("r", race="black", age=None))
    assert not isinstance(groups, Sealed)
    assert groups.attributes == {"race": "black"}


def test_a_full_disk_is_told_as_one_and_takes_nothing_in(tmp_path: Path) -> None:
    store = Store(tmp_path / "join.db")
    (pages,) = store._db.execute("PRAGMA page_count").fetchone()
    store._db.execute(f"PRAGMA max_page_count = {pages}")
    large = [Groups(f"r{i}", {"race": "x" * 3000}) for i in range(50)]
    with pytest.raises(SerinusError, match="database or disk is full") as caught:
        store.apply(groups=large)
    assert caught.value.code == "SRN-OUTCOMES-001"
    store._db.execute("PRAGMA max_page_count = 100000")
    store.apply(groups=large)
    assert store._db.execute("SELECT count(*) FROM groups").fetchone() == (50,)
