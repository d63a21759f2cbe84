"""Rollouts, approvals and commands are told by watches of their own, each in its order, one before or behind the other,
and versions are registered when they come: where the versions end does not depend on that.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serinus.audit import AuditLog
from serinus.bundle import Bundle
from serinus.home import Home
from serinus.registry import Registry
from serving.registrar.book import HomeBook
from serving.registrar.keeper import Keeper
from serving.registrar.late import CAUGHT_UP
from serving.registrar.words import WordKind
from serving.rollout.status import Phase
from tests.support.bundles import small_bundle, small_home

from .cluster import BACK, BEGAN, CANARY, PROMOTED, STARTING, Object, approval, command, rollout

ABORTED = ("Aborted", Phase.ABORTED)
Turns = tuple[tuple[str, Phase], ...]
FIRST: list[Turns] = [
    (STARTING,),
    (STARTING, ABORTED),
    (STARTING, CANARY),
    (STARTING, CANARY, BACK),
    (STARTING, CANARY, CANARY, PROMOTED),
    (STARTING, CANARY, PROMOTED, BACK),
]
SECOND: list[Turns] = [(), (STARTING,), (STARTING, CANARY, BACK), (STARTING, CANARY, PROMOTED)]
LATER = 10.0  # seconds from the first rollout's beginning to the second's


class Event(msgspec.Struct, frozen=True):
    """Something that a watch tells, at which second it was, by which watch."""

    at: float
    watch: str
    what: Object
    deleted: bool = False


class Law(msgspec.Struct, frozen=True):
    """A home with three registered versions, to be copied, and their digests."""

    home: Home
    digests: tuple[str, str, str]


@pytest.fixture(scope="module")
def law(tmp_path_factory: pytest.TempPathFactory) -> Law:
    root = tmp_path_factory.mktemp("law")
    registry = Registry(small_home(root), clock=lambda: BEGAN - 1000)
    made = [small_bundle(root, version=version, seed=version) for version in (1, 2, 3)]
    for bundle in made:
        registry.register(bundle, by="ann", owner="cards", run="r")
    return Law(small_home(root), (made[0].digest, made[1].digest, made[2].digest))


def states(law: Law, turns: Turns, number: int, gone: bool) -> list[Event]:
    """Of one rollout: made, each turn, and its deletion."""
    began, old, new = BEGAN + LATER * number, law.digests[number], law.digests[number + 1]

    def then(count: int) -> Object:
        name, uid = f"fraud-{number + 2}", f"u-{number}"
        return rollout(*turns[:count], name=name, uid=uid, digest=new, champion=old, began=began)

    told = [Event(began + count, "rollouts", then(count)) for count in range(len(turns) + 1)]
    return [*told, Event(began + len(turns) + 1, "rollouts", then(len(turns)), True)] if gone else told


@st.composite
def stories(draw: st.DrawFn, law: Law) -> list[Event]:
    """What happened, in the order in which it did."""
    first, second, gone = draw(st.sampled_from(FIRST)), draw(st.sampled_from(SECOND)), draw(st.booleans())
    found = states(law, first, 0, gone or bool(second)) + (states(law, second, 1, False) if second else [])
    said = st.tuples(
        st.sampled_from(
            [("vera", "validator"), ("olga", "approver"), ("bob", "approver"), ("ann", "approver")]
        ),
        st.integers(0, 1 if second else 0),
        st.integers(0, 4),
    )
    for number, ((by, role), which, after) in enumerate(draw(st.lists(said, max_size=5))):
        last = max(e.at for e in found if e.watch == "rollouts" and e.what["metadata"]["uid"] == f"u-{which}")
        at = min(BEGAN + LATER * which + after, last)
        word = approval(by, role=role, uid=f"w-{number}", about=f"fraud-{which + 2}", at=at)
        found.append(Event(at, "approvals", word))
    if draw(st.booleans()):
        found.append(Event(BEGAN + 1, "commands", command(at=BEGAN + 1)))
    return sorted(found, key=lambda event: event.at)


def played(
    law: Law, tier: int | None, story: list[Event], truth: list[Event], restarts: set[int]
) -> list[str]:
    """Tell a story to a keeper: the stages of the versions at its end, with nothing left unfollowed.

    ``truth``: the same in its true order; a word's own look finds what was there when it was given, at the least.
    """
    with tempfile.TemporaryDirectory() as directory:
        shutil.copytree(law.home.root, Path(directory) / "home", ignore=shutil.ignore_patterns("bundles"))
        home = Home(Path(directory) / "home")
        with Registry(home).transaction() as db:
            db.execute("UPDATE versions SET tier = ?", (tier,))
        at = BEGAN

        def begun() -> Keeper:
            return Keeper(HomeBook(home, clock=lambda: BEGAN + 500), clock=lambda: at)

        keeper = begun()
        for number, event in enumerate(story):
            at = max(at, event.at)
            if number in restarts:
                assert keeper.counts["unfollowed"] == 0
                keeper = begun()
            if event.watch == "rollouts":
                keeper.heard(event.what, deleted=event.deleted)
                continue
            kind: WordKind = "RolloutApproval" if event.watch == "approvals" else "RolloutCommand"
            keeper.said(event.what, kind, named=there(truth, event.what["spec"]["rollout"], at))
        assert keeper.counts["unfollowed"] == 0
        return [version.stage for version in Registry(home).versions("small")]


def there(truth: list[Event], name: str, at: float) -> list[Object]:
    """The rollout of a name as the API server has it, none once it was deleted."""
    told = [e for e in truth if e.watch == "rollouts" and e.what["metadata"]["name"] == name and e.at <= at]
    return [told[-1].what] if told and not told[-1].deleted else []


@given(st.data(), st.sampled_from([None, 1, 2]))
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
def test_in_whatever_order_the_watches_tell_it_the_versions_end_the_same(
    law: Law, data: st.DataObject, tier: int | None
) -> None:
    story = data.draw(stories(law))
    # No word before the first listing of the rollouts; from then on each watch at its own pace.
    first, *rest = [event for event in story if event.watch == "rollouts"]
    ways = {"rollouts": rest} | {
        watch: [event for event in story if event.watch == watch] for watch in ("approvals", "commands")
    }
    order = data.draw(st.permutations([watch for watch, events in ways.items() for _ in events]))
    pace = {watch: iter(events) for watch, events in ways.items()}
    shuffled = [first, *(next(pace[watch]) for watch in order)]
    restarts = data.draw(st.sets(st.integers(1, len(story)), max_size=2))
    assert played(law, tier, shuffled, story, restarts) == played(law, tier, story, story, set())


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Bundle]:
    """The bundles of the law's three versions, not registered anywhere."""
    root = tmp_path_factory.mktemp("bundles")
    return [small_bundle(root, version=version, seed=version) for version in (1, 2, 3)]


class Outcome(msgspec.Struct, frozen=True):
    """What a home has come to."""

    stages: list[str]
    words: list[tuple[int, str, str, str, str, bool]]
    caught_up: list[str]


def kept(
    bundles: list[Bundle],
    tier: int | None,
    story: list[Event],
    truth: list[Event],
    came: dict[int, int],
    told: bool,
    restarts: set[int],
) -> Outcome:
    """Tell a story to a keeper whose registry gets each version before an event of it, and a restart at its end.

    ``came``: version to number of the event; ``told``: whether the keeper is told of it, as by POST, or finds it.
    """
    with tempfile.TemporaryDirectory() as directory:
        home, at = Home(Path(directory) / "home"), BEGAN

        def begun() -> Keeper:
            return Keeper(HomeBook(home, clock=lambda: BEGAN + 500), clock=lambda: at)

        def registered(number: int) -> None:
            for bundle in bundles:
                if came[bundle.version] == number:
                    registry = Registry(home, clock=lambda: BEGAN + 400)
                    registry.register(bundle, by="ann", owner="cards", run="r")
                    with registry.transaction() as db:
                        db.execute("UPDATE versions SET tier = ? WHERE version = ?", (tier, bundle.version))
                    if told:
                        keeper.arrived(bundle.digest)

        keeper = begun()
        for number, event in enumerate(story):
            at = max(at, event.at)
            registered(number)
            if number in restarts:
                assert keeper.counts["unfollowed"] == 0
                keeper = begun()
            if event.watch == "rollouts":
                keeper.heard(event.what, deleted=event.deleted)
                continue
            kind: WordKind = "RolloutApproval" if event.watch == "approvals" else "RolloutCommand"
            keeper.said(event.what, kind, named=there(truth, event.what["spec"]["rollout"], at))
        registered(len(story))
        for _ in range(2):
            assert keeper.counts["unfollowed"] == 0
            keeper = begun()
            keeper.arrived()
        assert keeper.counts["unfollowed"] == 0
        registry = Registry(home)
        return Outcome(
            [version.stage for version in registry.versions("small")],
            sorted(
                (version, a.by, a.role, a.reason, a.time, a.override)
                for version in (1, 2, 3)
                for a in registry.approvals("small", version)
            ),
            [e.subject for e in AuditLog(home.audit).entries() if e.action == CAUGHT_UP],
        )


@given(st.data(), st.sampled_from([None, 1, 2]))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whenever_a_version_is_registered_it_ends_where_it_would_have_been(
    law: Law, bundles: list[Bundle], data: st.DataObject, tier: int | None
) -> None:
    story = data.draw(stories(law))
    came = {
        version: data.draw(st.integers(0, len(story)), label=f"version {version}") for version in (1, 2, 3)
    }
    restarts = data.draw(st.sets(st.integers(1, len(story)), max_size=2))
    told = data.draw(st.booleans(), label="told")
    found = kept(bundles, tier, story, story, came, told, restarts)
    wanted = kept(bundles, tier, story, story, dict.fromkeys((1, 2, 3), 0), True, set())
    assert (found.stages, found.words) == (wanted.stages, wanted.words)
    assert len(set(found.caught_up)) == len(found.caught_up)
    assert wanted.caught_up == []
