"""Into a real home: stages, approvals and overrides in the registry, and the audit chain; killed wherever it may be."""

from __future__ import annotations

import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from serinus.audit import Action, AuditLog
from serinus.errors import SerinusError
from serinus.home import Home
from serinus.registry import Registry
from serving.registrar.book import HomeBook
from serving.registrar.keeper import Keeper
from serving.rollout.status import Phase
from tests.support.bundles import small_bundle, small_home

from .cluster import BACK, BEGAN, CANARY, PROMOTED, STARTING, Object, approval, command, rollout

LONG = "The approver is in hospital and fraud runs at 40 k an hour; reviewed by phone."
STORY = (STARTING, CANARY, CANARY, PROMOTED, BACK)


@pytest.fixture
def digests(tmp_path: Path) -> tuple[str, str]:
    """Of two registered versions, 1 and 2."""
    registry = Registry(small_home(tmp_path), clock=lambda: BEGAN - 1000)
    made = [small_bundle(tmp_path, version=version, seed=version) for version in (1, 2)]
    for bundle in made:
        registry.register(bundle, by="ann", owner="cards", run="r")
    return made[0].digest, made[1].digest


def told(home: Home, digests: tuple[str, str], *turns: tuple[str, Phase], **more: Any) -> Keeper:
    keeper = Keeper(HomeBook(home, clock=lambda: BEGAN + 500))
    keeper.listed([rollout(*turns, digest=digests[1], champion=digests[0], **more)])
    return keeper


def stages(home: Home) -> list[str]:
    return [version.stage for version in Registry(home).versions("small")]


def entries(home: Home) -> list[Action]:
    return list(AuditLog(home.audit).entries())


@pytest.mark.parametrize(
    ("turns", "wanted"),
    [
        ((STARTING,), ["validated", "validated"]),
        ((STARTING, CANARY), ["champion", "canary"]),
        ((STARTING, CANARY, PROMOTED), ["retired", "champion"]),
        ((STARTING, CANARY, BACK), ["champion", "rolled_back"]),
        ((STARTING, CANARY, ("Aborted", Phase.ABORTED)), ["champion", "rolled_back"]),
        ((STARTING, CANARY, PROMOTED, BACK), ["champion", "rolled_back"]),
        ((STARTING, BACK), ["validated", "validated"]),  # it never had traffic
    ],
)
def test_stages_follow_the_turns(
    tmp_path: Path, digests: tuple[str, str], turns: tuple[tuple[str, Phase], ...], wanted: list[str]
) -> None:
    home = small_home(tmp_path)
    told(home, digests, *turns)
    assert stages(home) == wanted
    AuditLog(home.audit).verify()


def test_the_registry_says_when_it_happened_and_the_chain_when_it_was_recorded(
    tmp_path: Path, digests: tuple[str, str]
) -> None:
    home = small_home(tmp_path)
    told(home, digests, CANARY, PROMOTED)
    turn = Registry(home).history("small", 2)[-1]
    assert (turn.stage, turn.time, turn.by) == ("champion", "2023-11-14T22:13:22.000+00:00", "rollout engine")
    entry = entries(home)[-1]
    assert (entry.action, entry.time) == ("rollout-Promoted", "2023-11-14T22:21:40.000+00:00")
    assert (entry.details["at"], entry.details["digest"]) == (BEGAN + 2, digests[1])


def test_what_moved_in_the_registry_since_is_left_alone_and_said(
    tmp_path: Path, digests: tuple[str, str]
) -> None:
    home = small_home(tmp_path)
    by_hand = Registry(home, clock=lambda: BEGAN + 100)
    by_hand.set_stage("small", 1, "champion", by="dora", reason="by hand")
    keeper = told(home, digests, PROMOTED)
    assert stages(home) == ["champion", "validated"]
    assert "which is after this turn" in entries(home)[-1].details["registry"]
    assert keeper.counts["unfollowed"] == 1


def test_an_approval_and_an_override_are_in_the_registry_as_on_one_machine(
    tmp_path: Path, digests: tuple[str, str]
) -> None:
    home = small_home(tmp_path)
    keeper = told(home, digests, STARTING)
    keeper.said(approval("bob"), "RolloutApproval")
    keeper.said(approval("eve", uid="w-2", role="breakglass", reason=LONG), "RolloutApproval")
    found = [(a.by, a.role, a.override) for a in Registry(home).approvals("small", 2)]
    assert found == [("bob", "approver", False), ("eve", "breakglass", True)]
    assert [(o.by, o.version) for o in Registry(home).access.book.overrides()] == [("eve", 2)]
    assert [entry.action for entry in entries(home)][-2:] == ["approve", "override"]


def test_a_step_heard_after_the_words_that_followed_it_moves_the_stage_all_the_same(
    tmp_path: Path, digests: tuple[str, str]
) -> None:
    home = small_home(tmp_path)
    keeper = told(home, digests, STARTING)
    keeper.said(approval(at=BEGAN + 10), "RolloutApproval")
    assert stages(home) == ["validated", "approved"]
    keeper.heard(rollout(STARTING, CANARY, PROMOTED, digest=digests[1], champion=digests[0]))
    assert stages(home) == ["retired", "champion"]
    assert keeper.counts["unfollowed"] == 0


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize(
    ("first", "second"), [((10, "z first"), (20, "again")), ((10, "again"), (10, "because"))]
)
def test_of_two_words_of_one_person_the_same_one_stands_whichever_is_heard_last(
    tmp_path: Path,
    digests: tuple[str, str],
    first: tuple[int, str],
    second: tuple[int, str],
    order: tuple[int, int],
) -> None:
    """The later one; of the same second, which is all that the API server's stamps tell, the same in either order."""
    home = small_home(tmp_path)
    keeper = told(home, digests, STARTING)
    for place in order:
        after, reason = (first, second)[place]
        keeper.said(approval(uid=f"w-{place}", at=BEGAN + after, reason=reason), "RolloutApproval")
    assert [given.reason for given in Registry(home).approvals("small", 2)] == [second[1]]


@pytest.mark.parametrize(
    ("column", "value", "entered", "why"),
    [
        ("tier", 7, ["bob"], "SRN-ACCESS-009"),
        ("tier", "high", [], "SRN-REGISTRY-011"),
        ("lineage", "{", [], "SRN-REGISTRY-011"),
        ("lineage", b"\xff", [], "SRN-REGISTRY-011"),
        ("built_by", b"ann", [], "SRN-REGISTRY-011"),
    ],
)
def test_a_version_whose_record_is_none_is_said_to_be_one_and_stops_nothing(
    tmp_path: Path,
    digests: tuple[str, str],
    column: str,
    value: object,
    entered: list[str],
    why: str,
) -> None:
    home = small_home(tmp_path)
    keeper = told(home, digests, STARTING)
    with sqlite3.connect(home.registry_db) as db:
        db.execute(f"UPDATE versions SET {column} = ? WHERE version = 2", (value,))
    db.close()
    keeper.said(approval(), "RolloutApproval")
    entry = entries(home)[-1]
    assert (entry.action, entry.actor) == ("approve", "bob")
    assert why in entry.details["registry"]
    assert keeper.counts["unfollowed"] == 1
    with sqlite3.connect(home.registry_db) as db:
        assert [row[0] for row in db.execute("SELECT approver FROM approvals")] == entered
    db.close()
    keeper.heard(rollout(STARTING, CANARY, digest=digests[1], champion=digests[0]))
    assert entries(home)[-1].action == "rollout-StepStarted"


def test_what_may_pass_is_raised_so_that_it_is_tried_again(
    tmp_path: Path, digests: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = small_home(tmp_path)
    keeper = told(home, digests, STARTING)
    monkeypatch.setenv("SERINUS_POLICY", str(tmp_path / "gone.yaml"))
    with pytest.raises(SerinusError, match="SRN-ACCESS-001"):
        keeper.said(approval(), "RolloutApproval")
    monkeypatch.delenv("SERINUS_POLICY")
    keeper.said(approval(), "RolloutApproval")
    assert entries(home)[-1].action == "approve"


def test_a_broken_chain_stops_it(tmp_path: Path, digests: tuple[str, str]) -> None:
    home = small_home(tmp_path)
    told(home, digests, CANARY)
    path = AuditLog(home.audit).path
    path.write_bytes(path.read_bytes().replace(b"rollout-StepStarted", b"rollout-StepStartes"))
    with pytest.raises(SerinusError, match="SRN-AUDIT-003"):
        HomeBook(home)


# --- killed ---------------------------------------------------------------------------


class Killed(BaseException):
    """The process ended."""


class Reaper:
    """Ends the process before or after its n-th append; a transaction that is open then is undone, as SQLite does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int, *, after: bool) -> None:
        self.left, self.after, self._append = at, after, AuditLog.append
        monkeypatch.setattr(AuditLog, "append", lambda log, **what: self.append(log, **what))

    def append(self, log: AuditLog, **what: Any) -> Action:
        self.left -= 1
        if self.left == 0 and not self.after:
            raise Killed
        made = self._append(log, **what)
        if self.left == 0:
            raise Killed
        return made


def everything(home: Home, story: Object) -> None:
    keeper = Keeper(HomeBook(home, clock=lambda: BEGAN + 500))
    keeper.listed([story])
    keeper.said(approval("bob"), "RolloutApproval")
    keeper.said(approval("eve", uid="w-2", role="breakglass", reason=LONG), "RolloutApproval")
    keeper.said(approval("ann", uid="w-3"), "RolloutApproval")
    keeper.said(command(), "RolloutCommand")
    keeper.listed([])


WRITES = 18
"""Appends of an undisturbed run: eleven of turns, words and the deletion, seven of stages."""


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(1, WRITES + 2))
def test_killed_between_any_two_writes_it_ends_the_same(
    tmp_path: Path, digests: tuple[str, str], monkeypatch: pytest.MonkeyPatch, at: int, after: bool
) -> None:
    home, story = small_home(tmp_path), rollout(*STORY, digest=digests[1], champion=digests[0])
    reaper = Reaper(monkeypatch, at, after=after)
    killed = False
    try:
        everything(home, story)
    except Killed:
        killed = True
    assert killed is (at <= WRITES)
    reaper.left = 0
    everything(home, story)
    assert stages(home) == ["champion", "rolled_back"]
    found = entries(home)
    turns = [e.details["seq"] for e in found if e.action.startswith("rollout-") and "word" not in e.details]
    assert turns == [0, 1, 2, 3, 4, 5, 5]  # the last is the deletion
    words = Counter(e.details["word"] for e in found if "word" in e.details)
    assert words == {"w-1": 1, "w-2": 1, "w-3": 1, "c-1": 1}
    assert len(Registry(home).access.book.overrides()) == 1
    assert len(Registry(home).approvals("small", 2)) == 2
    AuditLog(home.audit).verify()
