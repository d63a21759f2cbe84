"""A version that is registered after its rollouts were recorded: what they have come to is followed, once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from starlette.testclient import TestClient

from serinus.access import Access
from serinus.audit import Action, AuditLog
from serinus.bundle import Bundle
from serinus.home import Home
from serinus.registry import Registry
from serinus.registry.receiving import Receiver
from serving.registrar.book import HomeBook
from serving.registrar.callers import Caller, MemoryCallers
from serving.registrar.follow import Desk
from serving.registrar.keeper import Keeper
from serving.registrar.late import CAUGHT_UP, UNKNOWN
from serving.registrar.memory import MemoryBook
from serving.registrar.pages import build_app
from serving.registrar.records import Known
from serving.registrar.setup import Nobody
from serving.registrar.versions import Door
from serving.rollout.status import Phase
from tests.support.bundles import small_bundle
from tests.support.registrations import registration, trusting

from .cluster import BACK, BEGAN, CANARY, NEW, OLD, PROMOTED, STARTING, approval, rollout
from .test_home import LONG, Killed, Reaper

LATER = BEGAN + 500


class Place:
    """A home whose registry does not have its three versions yet."""

    def __init__(self, directory: Path) -> None:
        self.home = Home(directory / "home")
        self.bundles: dict[int, Bundle] = {
            version: small_bundle(directory, version=version, seed=version) for version in (1, 2, 3)
        }

    def keeper(self) -> Keeper:
        return Keeper(HomeBook(self.home, clock=lambda: LATER))

    def register(self, *versions: int, by: str = "ann") -> None:
        registry = Registry(self.home, clock=lambda: LATER)
        for version in versions:
            registry.register(self.bundles[version], by=by, owner="cards", run="r")

    def rollout(self, *turns: tuple[str, Phase], to: int = 2, **more: object) -> dict[str, object]:
        new, old = self.bundles[to].digest, self.bundles[to - 1].digest
        given = {"uid": f"u-{to}", "name": f"fraud-{to}", "began": BEGAN + 100 * (to - 2)} | more
        return rollout(*turns, digest=new, champion=old, **given)  # type: ignore[arg-type]

    def stages(self) -> dict[int, str]:
        return {v.version: v.stage for v in Registry(self.home).versions("small")}

    def caught_up(self) -> list[Action]:
        return [e for e in AuditLog(self.home.audit).entries() if e.action == CAUGHT_UP]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.mark.parametrize(
    ("turns", "wanted"),
    [
        ((STARTING,), ["validated"]),
        ((STARTING, CANARY), ["validated", "canary"]),
        ((STARTING, CANARY, CANARY, PROMOTED), ["validated", "canary", "champion"]),
        ((STARTING, CANARY, BACK), ["validated", "canary", "rolled_back"]),
        ((STARTING, CANARY, PROMOTED, BACK), ["validated", "canary", "champion", "rolled_back"]),
        ((STARTING, BACK), ["validated"]),  # it never had traffic
    ],
)
def test_it_goes_through_the_stages_of_the_turns_that_were_before_it(
    place: Place, turns: tuple[tuple[str, Phase], ...], wanted: list[str]
) -> None:
    keeper = place.keeper()
    keeper.listed([place.rollout(*turns)])
    place.register(2)
    keeper.arrived(place.bundles[2].digest)
    history = Registry(place.home).history("small", 2)
    assert [turn.stage for turn in history] == wanted
    # Each move has its turn's time, though the version came later.
    moved = [turn.time for turn in history[1:]]
    assert moved == sorted(moved)
    assert all(time < history[0].time for time in moved)
    (entry,) = place.caught_up()
    assert (entry.subject, entry.actor) == ("small/2", "serinus-records")
    assert entry.details["rollouts"] == ["cards/fraud-2"]
    assert keeper.counts["unfollowed"] == 0
    AuditLog(place.home.audit).verify()


def test_it_is_done_once_and_by_whichever_looks_first(place: Place) -> None:
    keeper = place.keeper()
    keeper.listed([place.rollout(CANARY)])
    place.register(2)  # by another process: nobody tells the keeper
    assert place.caught_up() == []
    keeper.heard(place.rollout(CANARY, PROMOTED))
    assert place.stages() == {2: "champion"}
    history = [turn.stage for turn in Registry(place.home).history("small", 2)]
    assert history == ["validated", "canary", "champion"]
    for again in (keeper, place.keeper()):
        again.listed([place.rollout(CANARY, PROMOTED)])
        again.arrived(place.bundles[2].digest)
    assert len(place.caught_up()) == 1
    last = [e.action for e in AuditLog(place.home.audit).entries()]
    assert last.index(CAUGHT_UP) < last.index("rollout-Promoted")


def test_a_keeper_that_ended_before_it_could_follow_does_so_when_it_lists_again(place: Place) -> None:
    story = place.rollout(CANARY, PROMOTED)
    place.keeper().listed([story])
    place.register(2)
    place.keeper().listed([story])
    assert place.stages() == {2: "champion"}
    assert len(place.caught_up()) == 1


def test_who_was_champion_once_takes_the_place_of_nobody_who_answers_now(place: Place) -> None:
    place.register(1, 3)
    keeper = place.keeper()
    keeper.listed([place.rollout(CANARY, PROMOTED), place.rollout(CANARY, PROMOTED, to=3)])
    place.register(2)
    keeper.arrived(place.bundles[2].digest)
    assert place.stages() == {1: "retired", 2: "retired", 3: "champion"}
    stages = [turn.stage for turn in Registry(place.home).history("small", 2)]
    assert stages == ["validated", "canary", "champion", "retired"]
    # And serves again where the one after it is taken back.
    keeper.heard(place.rollout(CANARY, PROMOTED, BACK, to=3))
    assert place.stages() == {1: "retired", 2: "champion", 3: "rolled_back"}


def test_nor_does_it_answer_again_because_who_replaced_it_is_gone_too(place: Place) -> None:
    place.register(3)
    keeper = place.keeper()
    keeper.listed([place.rollout(CANARY, PROMOTED), place.rollout(CANARY, PROMOTED, to=3)])
    Registry(place.home).retire("small", 3, by="dora", reason="the model is withdrawn", live=True)
    place.register(2)
    keeper.arrived(place.bundles[2].digest)
    assert place.stages() == {2: "retired", 3: "retired"}


def test_the_champion_before_it_is_retired_when_it_comes(place: Place) -> None:
    place.register(1)
    keeper = place.keeper()
    keeper.listed([place.rollout(CANARY, PROMOTED)])
    assert place.stages() == {1: "champion"}  # nobody whom the registry knows has taken its place
    place.register(2)
    keeper.arrived(place.bundles[2].digest)
    assert place.stages() == {1: "retired", 2: "champion"}


def test_what_was_moved_by_hand_before_it_could_follow_is_left_alone_and_said(place: Place) -> None:
    place.keeper().listed([place.rollout(CANARY, PROMOTED)])
    place.register(2)
    Registry(place.home).retire("small", 2, by="dora", reason="the wrong extract")
    keeper = place.keeper()
    keeper.arrived()
    assert place.stages() == {2: "retired"}
    (entry,) = place.caught_up()
    assert "small/2 is retired since" in entry.details["registry"]
    assert keeper.counts["unfollowed"] == 1


def test_words_of_before_count_as_they_would_have_and_the_builders_own_do_not(place: Place) -> None:
    keeper = place.keeper()
    story = place.rollout(STARTING, built_by="")  # the rollout does not say who built it
    keeper.listed([story])
    for number, (by, role, reason) in enumerate(
        [
            ("bob", "approver", "looked at the report"),
            ("ann", "approver", "mine"),
            ("eve", "breakglass", LONG),
        ]
    ):
        keeper.said(approval(by, uid=f"w-{number}", role=role, reason=reason), "RolloutApproval")
    # Whose starter it is, the rollout said: that word did not count then.
    keeper.said(approval("carl", uid="w-9"), "RolloutApproval")
    place.register(2, by="ann")
    keeper.arrived(place.bundles[2].digest)
    registry = Registry(place.home)
    found = [(a.by, a.role, a.override, a.time) for a in registry.approvals("small", 2)]
    at = "2023-11-14T22:13:22.000+00:00"
    assert sorted(found) == [("bob", "approver", False, at), ("eve", "breakglass", True, at)]
    assert [(o.by, o.version) for o in registry.access.book.overrides()] == [("eve", 2)]
    assert place.stages() == {2: "approved"}
    (entry,) = place.caught_up()
    assert entry.details["words"] == 3
    assert entry.details["registry"] == "ann built small/2, as the registry has it"


def everything(place: Place) -> None:
    keeper = place.keeper()
    keeper.listed([place.rollout(CANARY, PROMOTED)])
    keeper.said(approval("bob"), "RolloutApproval")
    keeper.said(approval("eve", uid="w-2", role="breakglass", reason=LONG), "RolloutApproval")
    place.register(1, 2)
    keeper.arrived(place.bundles[2].digest)
    keeper.arrived(place.bundles[1].digest)


WRITES = 13
"""Appends of an undisturbed run: five of turns and words, two of versions, four of stages, two that end it."""


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(1, WRITES + 2))
def test_killed_between_any_two_writes_it_ends_the_same(
    place: Place, monkeypatch: pytest.MonkeyPatch, at: int, after: bool
) -> None:
    reaper = Reaper(monkeypatch, at, after=after)
    killed = False
    try:
        everything(place)
    except Killed:
        killed = True
    assert killed is (at <= WRITES)
    reaper.left = 0
    everything(place)
    assert place.stages() == {1: "retired", 2: "champion"}
    assert sorted(e.subject for e in place.caught_up()) == ["small/1", "small/2"]
    assert len(Registry(place.home).approvals("small", 2)) == 2
    assert len(Registry(place.home).access.book.overrides()) == 1
    assert not any("registry" in e.details for e in place.caught_up())
    AuditLog(place.home.audit).verify()


def test_a_version_by_post_is_followed_and_a_digest_that_nobody_rolled_out_is_not(tmp_path: Path) -> None:
    builder = Home(tmp_path / "builder")
    told, other = registration(builder), registration(builder, version=2, seed=2)
    home = trusting(tmp_path / "keeper", builder)
    desk = Desk(Keeper(HomeBook(home, clock=lambda: LATER)))
    desk.keeper.listed([rollout(CANARY, PROMOTED, digest=told.manifest.digest())])

    async def arrived(digest: str) -> None:
        await desk.do(lambda: desk.keeper.arrived(digest))

    callers = MemoryCallers({"known": Caller(name="pipeline")})
    door = Door(Receiver(Registry(home), home.keys), callers, Access(home), arrived)

    async def settled() -> None:
        await asyncio.gather(*door._telling)

    with TestClient(build_app(home, Nobody(desk), door=door)) as client:
        for one in (told, other):
            answer = client.post(
                "/v1/versions", content=msgspec.json.encode(one), headers={"Authorization": "Bearer known"}
            )
            assert answer.status_code == 201
            assert client.portal is not None
            client.portal.call(settled)
    assert [(v.version, v.stage) for v in Registry(home).versions("small")] == [
        (1, "champion"),
        (2, "validated"),
    ]
    found = [e.subject for e in AuditLog(home.audit).entries() if e.action == CAUGHT_UP]
    assert found == ["small/1"]


def test_in_memory_too() -> None:
    kept = MemoryBook()
    keeper = Keeper(kept)
    keeper.listed([rollout(CANARY, PROMOTED)])
    kept.versions |= {NEW: Known(model="fraud", version=2), OLD: Known(model="fraud", version=1)}
    keeper.arrived()
    assert kept.stages == {"fraud/2": "champion", "fraud/1": "retired"}
    assert [r.action for r in kept.records if r.action == CAUGHT_UP] == [CAUGHT_UP] * 2


def test_a_damaged_record_of_the_champion_does_not_keep_a_late_version_from_following() -> None:
    kept = MemoryBook({OLD: Known(unreadable="SRN-REGISTRY-011 the record of fraud/1 cannot be read")})
    keeper = Keeper(kept)
    keeper.listed([rollout(CANARY, PROMOTED)])
    said = f"{UNKNOWN}; SRN-REGISTRY-011 the record of fraud/1 cannot be read"
    assert {str(r.details["registry"]) for r in kept.records} == {said}
    kept.versions[NEW] = Known(model="fraud", version=2)
    keeper.arrived(NEW)
    assert kept.stages == {"fraud/2": "champion"}
