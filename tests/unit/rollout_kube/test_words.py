"""Words as the controller reads them: which are meant for this rollout, when given, and that each counts once."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from msgspec.structs import replace

from serinus.kube.api import Api
from serving.rollout.engine import new_status
from serving.rollout.kube.names import APPROVAL, COMMAND, Kind
from serving.rollout.kube.resource import BundleRef, Candidate, ModelRolloutSpec
from serving.rollout.kube.subject import Scene, Subject
from serving.rollout.kube.watch import World
from serving.rollout.kube.words import ResourceApprovals, ResourceInbox
from serving.rollout.status import Phase

pytestmark = pytest.mark.anyio

CREATED = "2026-03-01T09:00:00Z"
BEGUN = 1_772_357_400.0  # 09:30, after a wait for another rollout
SPEC = ModelRolloutSpec(
    target="fraud",
    candidate=Candidate(bundle=BundleRef(uri="s3://models/fraud/4", digest=f"sha256:{'a' * 64}")),
)
SCENE = Scene(
    namespace="models",
    name="fraud-4",
    uid="u",
    spec=SPEC,
    subject=Subject(uid="s", champion={"name": "old"}),
)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Words:
    """A world that holds these words only."""

    def __init__(self, *commands: dict[str, Any], kind: Kind = COMMAND) -> None:
        self.commands = list(commands)
        self.kind = kind

    def of(self, kind: Kind, namespace: str, owner: str) -> list[dict[str, Any]]:
        return self.commands if (kind, namespace, owner) == (self.kind, "models", "fraud-4") else []


def said(at: str, command: str = "abort", **spec: Any) -> dict[str, Any]:
    metadata = {"name": f"c-{at}", "uid": f"uid-{at}", "creationTimestamp": f"2026-03-01T{at}Z"}
    return {"metadata": metadata, "spec": {"rollout": "fraud-4", "by": "bob", "command": command} | spec}


def status(phase: Phase = Phase.PROGRESSING, handled: tuple[str, ...] = ()) -> Any:
    begun = new_status(SPEC.rollout("old"), name="fraud-4", champion="old", candidate="p", by="a", now=BEGUN)
    return replace(begun, phase=phase, handled=handled)


def inbox(*commands: dict[str, Any], spec: ModelRolloutSpec = SPEC, **fields: Any) -> ResourceInbox:
    world = cast("World", Words(*commands))
    now = status(**fields)
    return ResourceInbox(
        world, SCENE, lambda: now, lambda: spec, lambda: False, lambda: BEGUN + 60, created=CREATED
    )


@pytest.mark.parametrize(
    ("case", "at", "meant"),
    [
        ("while it runs", "09:31:00", True),
        ("while it waited to begin", "09:10:00", True),
        ("in the second in which it was made", "09:00:00", True),
        ("about an earlier rollout of that name", "08:59:59", False),
    ],
)
async def test_commands_since_the_rollout_was_made_count(case: str, at: str, meant: bool) -> None:
    given = await inbox(said(at)).commands()
    assert [command.id for command in given] == ([f"uid-{at}"] if meant else []), case


def owned(word: dict[str, Any], uid: str) -> dict[str, Any]:
    owner = {"apiVersion": "serinus.io/v1alpha1", "kind": "ModelRollout", "name": "fraud-4", "uid": uid}
    return word | {"metadata": word["metadata"] | {"ownerReferences": [owner]}}


@pytest.mark.parametrize(("uid", "meant"), [("u", True), ("another", False)])
async def test_a_word_that_belongs_to_another_rollout_of_that_name_is_none_on_this(
    uid: str, meant: bool
) -> None:
    """Written by somebody who looked at that one, and sent when this had taken its place."""
    given = await inbox(owned(said("09:31:00"), uid)).commands()
    assert bool(given) is meant
    spec = {"rollout": "fraud-4", "by": "bob", "reason": "seen", "role": "risk"}
    metadata = {"name": "a", "uid": "w", "creationTimestamp": "2026-03-01T09:31:00Z"}
    world = cast("World", Words(owned({"metadata": metadata, "spec": spec}, uid), kind=APPROVAL))
    told: list[str] = []

    async def refused(found: dict[str, Any], why: str) -> None:
        told.append(why)

    found = await ResourceApprovals(world, SCENE, refused, created=CREATED).approvals()
    assert [word.by for word in found] == (["bob"] if meant else [])
    assert bool(told) is not meant


@pytest.mark.parametrize("ahead", [-90.0, -1.0, 0.0, 1.0, 90.0])
@pytest.mark.parametrize("late", [0.0, 0.7, 30.0])
async def test_an_approval_given_after_it_was_asked_for_never_seems_to_precede_it(
    ahead: float, late: float
) -> None:
    """By whatever the API server's clock is ahead of the controller's."""
    asked = BEGUN + 0.4  # by our clock
    stamp = datetime.fromtimestamp(int(asked + late + ahead), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    spec = {"rollout": "fraud-4", "by": "bob", "reason": "seen", "role": "risk"}
    given = {"metadata": {"name": "a", "uid": "u", "creationTimestamp": stamp}, "spec": spec}
    world = cast("World", Words(given, kind=APPROVAL))

    async def refused(found: dict[str, Any], why: str) -> None:
        raise AssertionError(why)

    (found,) = await ResourceApprovals(
        world, SCENE, refused, ahead=lambda: ahead, created=CREATED
    ).approvals()
    assert asked <= found.at <= asked + late + 1.0


@pytest.mark.parametrize(("at", "meant"), [("09:10:00", True), ("09:00:00", True), ("08:59:59", False)])
async def test_an_approval_of_an_earlier_rollout_of_that_name_counts_for_no_other(
    at: str, meant: bool
) -> None:
    """What the tier asks for may be said before the engine asks, not before the candidate could be known."""
    spec = {"rollout": "fraud-4", "by": "bob", "reason": "seen", "role": "risk"}
    metadata = {"name": "a", "uid": "u", "creationTimestamp": f"2026-03-01T{at}Z"}
    world = cast("World", Words({"metadata": metadata, "spec": spec}, kind=APPROVAL))
    told: list[str] = []

    async def refused(found: dict[str, Any], why: str) -> None:
        told.append(why)

    approvals = ResourceApprovals(world, SCENE, refused, created=CREATED)
    for _ in range(2):
        assert [word.by for word in await approvals.approvals()] == (["bob"] if meant else [])
    assert [why[:15] for why in told] == ([] if meant else ["SRN-ROLLOUT-008"]), "told once"


async def test_the_servers_clock_is_compared_with_ours() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        date = format_datetime(datetime.fromtimestamp(int(time.time()) + 90, UTC), usegmt=True)
        return httpx.Response(200, json={}, headers={"Date": date})

    config = SimpleNamespace(
        host="http://k", verify_ssl=False, ssl_ca_cert=None, get_api_key_with_prefix=lambda name: None
    )
    api = Api(config, httpx.MockTransport(answer))
    await api.get(APPROVAL, "models", "a")
    await api.close()
    assert 88 < api.ahead <= 90


async def test_a_command_that_cannot_be_read_keeps_no_other_from_being_heard() -> None:
    given = await inbox(said("09:31:00", command="explode"), said("09:32:00")).commands()
    assert [command.id for command in given] == ["uid-09:32:00"]


async def test_a_pause_by_the_spec_is_given_anew_after_any_number_of_turns() -> None:
    words = [f"spec.paused={'true' if n % 2 == 0 else 'false'}#{n}" for n in range(60)]
    paused = replace(SPEC, paused=True)
    for kept in (words, words[-50:]):  # all of them, or what is left when old ones are forgotten
        (command,) = await inbox(spec=paused, handled=tuple(kept)).commands()
        assert (command.kind, command.id) == ("pause", "spec.paused=true#60")
