"""When a version is to be reviewed: by the policy's cadence, by what a review set, by what happened."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.alerts import Alert
from serinus.errors import SerinusError
from serinus.home import Home
from serinus.registry import Registry, Version
from serinus.registry.alerting import ask_for_review
from serinus.registry.review_book import ReviewBook
from serinus.registry.reviews import (
    Kind,
    Outcome,
    Review,
    Trigger,
    check_review,
    due_of,
    load_policy,
    parse_policy,
)
from tests.support.bundles import small_bundle, small_home

NOW = datetime(2026, 6, 1, tzinfo=UTC)
POLICY = parse_policy(
    """
apiVersion: serinus.io/v1
kind: ReviewPolicy
stages: [canary, champion]
cadence:
  "1": {every: 100d, because: large}
  "2": {every: 200d, because: material}
  "3": {every: 300d, because: limited}
  "4": {every: 400d, because: immaterial}
  unknown: {every: 50d, because: nobody said}
triggers:
  drift: {within: 14d}
  performance: {within: 7d}
  fairness: {within: 7d}
  incident: {within: 1d}
  policy: {within: 30d}
  date: {within: 0d}
alerts: {SerinusFeatureDrift: drift}
""",
    where="test",
)


def days(count: float) -> str:
    return (NOW + timedelta(days=count)).isoformat()


def version(tier: int | None = 1, stage: str = "champion", age: float = 0) -> Version:
    return Version(
        model="fraud", version=3, digest="sha256:0", path="/b", stage=stage, owner="cards",
        built_by="ann", run="r", created=days(-age), tier=tier,
    )  # fmt: skip


def review(ago: float, next_in: float, outcome: Outcome = "fit") -> Review:
    return Review(time=days(-ago), by="bob", outcome=outcome, reason="read", next=days(next_in))


def trigger(kind: Kind, due_in: float, closed: bool = False) -> Trigger:
    return Trigger(kind=kind, cause="c", time=days(-1), by="x", reason="y", due=days(due_in), closed=closed)


@pytest.mark.parametrize(
    ("tier", "every"), [(1, 100), (2, 200), (3, 300), (4, 400), (None, 50)], ids=lambda v: str(v)
)
def test_before_its_first_review_the_cadence_of_its_tier_counts_from_when_it_was_built(
    tier: int | None, every: int
) -> None:
    early = due_of(POLICY, version(tier, age=every - 1), [], [], NOW)
    late = due_of(POLICY, version(tier, age=every), [], [], NOW)
    assert early is not None
    assert late is not None
    assert (early.overdue, late.overdue) == (False, True)
    assert late.due == NOW.isoformat(timespec="seconds")


@pytest.mark.parametrize(
    ("reviews", "triggers", "in_days", "overdue", "why"),
    [
        ([review(10, 40)], [], 40, False, "next date set by bob"),
        ([review(90, -5), review(10, 40)], [], 40, False, "next date set by bob"),
        ([review(90, -5)], [], -5, True, "next date set by bob"),
        ([review(10, 40)], [trigger("drift", 14)], 14, False, "drift: y"),
        ([review(10, 40)], [trigger("drift", -1)], -1, True, "drift: y"),
        ([review(10, 40)], [trigger("drift", -1, closed=True)], 40, False, "next date set by bob"),
        ([review(10, 40)], [trigger("date", 90)], 40, False, "next date set by bob"),
        ([review(10, 40, "conditions")], [], 40, False, "next date set by bob"),
        ([review(10, 40, "unfit")], [], -10, True, "found unfit by bob"),
    ],
)
def test_what_comes_first_decides(
    reviews: list[Review], triggers: list[Trigger], in_days: int, overdue: bool, why: str
) -> None:
    due = due_of(POLICY, version(age=400), reviews, triggers, NOW)
    assert due is not None
    assert due.due == (NOW + timedelta(days=in_days)).isoformat(timespec="seconds")
    assert due.overdue is overdue
    assert due.why.startswith(why)


@pytest.mark.parametrize("stage", ["validated", "approved", "retired", "rejected", "rolled_back"])
def test_a_version_that_answers_nobody_is_not_due(stage: str) -> None:
    assert due_of(POLICY, version(stage=stage, age=9999), [], [trigger("incident", -9)], NOW) is None


@given(
    age=st.floats(0, 1000),
    reviews=st.lists(st.tuples(st.floats(0, 500), st.floats(-400, 400)), max_size=3),
    triggers=st.lists(st.floats(-100, 100), max_size=3),
    extra=st.floats(-100, 100),
)
def test_one_more_trigger_never_puts_a_review_off(
    age: float, reviews: list[tuple[float, float]], triggers: list[float], extra: float
) -> None:
    made = [review(*values) for values in reviews]
    few = [trigger("drift", value) for value in triggers]
    before = due_of(POLICY, version(age=age), made, few, NOW)
    after = due_of(POLICY, version(age=age), made, [*few, trigger("drift", extra)], NOW)
    assert before is not None
    assert after is not None
    assert after.due <= before.due


def test_nobody_reviews_what_they_built_and_nobody_says_nothing() -> None:
    with pytest.raises(SerinusError, match="SRN-REVIEW-002"):
        check_review(POLICY, version(), by="ann", reason="fine", next_date=None, now=NOW)
    with pytest.raises(SerinusError, match="SRN-REVIEW-003"):
        check_review(POLICY, version(), by="bob", reason=" ", next_date=None, now=NOW)


@pytest.mark.parametrize(
    ("in_days", "allowed"), [(-1, False), (0, False), (1, True), (100, True), (101, False)]
)
def test_the_next_date_is_no_later_than_the_cadence(in_days: int, allowed: bool) -> None:
    wanted = NOW + timedelta(days=in_days)
    if allowed:
        assert check_review(POLICY, version(1), by="bob", reason="x", next_date=wanted, now=NOW) == wanted
        return
    with pytest.raises(SerinusError, match="SRN-REVIEW-004.*every 100d"):
        check_review(POLICY, version(1), by="bob", reason="x", next_date=wanted, now=NOW)


# --- the policy's file ------------------------------------------------------
def test_the_shipped_policy_is_one_and_justifies_each_cadence(tmp_path: Path) -> None:
    policy = load_policy(Home(tmp_path))
    assert all(len(cadence.because) > 20 for cadence in policy.cadence.values())


def test_an_installations_own_file_holds_before_the_shipped_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = msgspec.yaml.encode(POLICY)
    (tmp_path / "reviews.yaml").write_bytes(own)
    assert load_policy(Home(tmp_path)) == POLICY
    monkeypatch.setenv("SERINUS_REVIEWS", str(tmp_path / "absent.yaml"))
    with pytest.raises(SerinusError, match="SRN-REVIEW-001.*absent.yaml"):
        load_policy(Home(tmp_path))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ('"1": {every: 100d, because: large}', "of 1"),
        ("drift: {within: 14d}", "of drift"),
        ("because: material", "because"),
    ],
)
def test_a_policy_with_a_gap_is_refused_and_says_which(change: str, says: str) -> None:
    text = msgspec.yaml.encode(POLICY).decode()
    source = Path(__file__).read_text().split('"""')[3]
    assert change in source, text
    with pytest.raises(SerinusError, match=f"SRN-REVIEW-001.*{says}"):
        parse_policy(source.replace(change, ""), where="test")


# --- the book ----------------------------------------------------------------
class Desk:
    def __init__(self, path: Path) -> None:
        self.at = NOW
        self.home = small_home(path)
        self.registry = Registry(self.home, clock=lambda: self.at.timestamp())
        self.registry.register(small_bundle(path), by="ann", owner="cards", run="r1")
        self.registry.set_stage("small", 1, "champion", by="bob", reason="first")
        self.book = ReviewBook(self.registry, POLICY)

    @property
    def champion(self) -> Version:
        return self.registry.get("small", "champion")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_a_review_answers_what_asked_for_it_and_sets_the_next_date(desk: Desk) -> None:
    desk.book.open(desk.champion, "incident", by="ops", reason="a wrong feed")
    desk.at += timedelta(days=2)
    (due,) = desk.book.due()
    assert (due.overdue, due.why) == (True, "incident: a wrong feed")
    desk.book.record(desk.champion, by="bob", outcome="fit", reason="the feed is mended")
    (due,) = desk.book.due()
    assert (due.overdue, due.triggers) == (False, ())
    assert due.due == (desk.at + timedelta(days=50)).isoformat(timespec="seconds")
    assert [t.closed for t in desk.book.triggers("small", 1)] == [True]
    told = [(e.action, e.actor) for e in desk.registry.audit.entries()][-2:]
    assert told == [("review-asked", "ops"), ("review", "bob")]


def test_a_cause_that_lasts_asks_once_and_again_after_it_was_answered(desk: Desk) -> None:
    def ask() -> Trigger | None:
        return desk.book.open(desk.champion, "drift", by="x", reason="amount moved", cause="amount")

    assert ask() is not None
    assert ask() is None
    desk.book.record(desk.champion, by="bob", outcome="fit", reason="seen")
    assert ask() is not None


def test_what_cannot_be_recorded_is_no_review(desk: Desk) -> None:
    desk.registry.audit.path.unlink()
    desk.registry.audit.path.mkdir()
    with pytest.raises(SerinusError, match="SRN-AUDIT-002"):
        desk.book.record(desk.champion, by="bob", outcome="fit", reason="x")
    assert desk.book.reviews("small", 1) == []


def test_what_was_replaced_is_no_longer_due(desk: Desk, tmp_path: Path) -> None:
    desk.registry.register(small_bundle(tmp_path, version=2), by="ann", owner="cards", run="r2")
    desk.registry.set_stage("small", 2, "champion", by="bob", reason="better")
    assert [(d.model, d.version) for d in desk.book.due()] == [("small", 2)]


# --- alerts --------------------------------------------------------------------
def alert(name: str = "SerinusFeatureDrift", model: str = "small", status: str = "firing") -> Alert:
    labels = {"alertname": name, "model": model}
    return Alert(status=status, labels=labels, starts_at="2026-06-01T00:00:00Z", fingerprint="f")


@pytest.mark.parametrize(
    ("given_alert", "asks"),
    [
        (alert(), True),
        (alert(status="resolved"), False),
        (alert(name="SerinusDataQuality"), False),
        (alert(model="other"), False),
    ],
)
def test_an_alert_that_the_policy_names_asks_for_a_review(desk: Desk, given_alert: Alert, asks: bool) -> None:
    assert (ask_for_review(desk.home, given_alert) is not None) is asks
    assert ask_for_review(desk.home, given_alert) is None, "it asks already, or never does"
    assert [t.kind for t in desk.book.triggers("small", 1)] == (["drift"] if asks else [])


def test_no_registry_is_made_where_there_is_none(tmp_path: Path) -> None:
    assert ask_for_review(Home(tmp_path / "other"), alert()) is None
    assert not (tmp_path / "other" / "registry.db").exists()


def test_a_link_to_a_review_policy_that_is_gone_is_not_the_shipped_one(tmp_path: Path) -> None:
    (tmp_path / "reviews.yaml").symlink_to(tmp_path / "mounted" / "reviews.yaml")
    with pytest.raises(SerinusError, match="SRN-REVIEW-001.*reviews.yaml"):
        load_policy(Home(tmp_path))
