"""What a model's tier asks for on a cluster, and words that override it."""

from __future__ import annotations

from typing import Any, cast

import pytest
from msgspec.structs import replace

from serinus.access import AccessPolicy, built_in
from serinus.errors import SerinusError
from serving.rollout.kube.resource import BundleRef, Candidate, ModelRolloutSpec
from serving.rollout.kube.rollout import RolloutTask, Settings
from serving.rollout.kube.subject import Scene, Subject, from_wire, tier_of
from serving.rollout.kube.words import ResourceApprovals
from serving.rollout.spec import Approval, Required, Step

from ..access.policies import bank

WHY = "The approver is in hospital and fraud runs at 40 k an hour; reviewed by phone."


def scene(
    tier: int | None, started_by: str = "ann", built_by: str = "ben", steps: tuple[Step, ...] = ()
) -> Scene:
    bundle = BundleRef(uri="s3://models/a", digest="sha256:" + "a" * 64)
    spec = ModelRolloutSpec(
        target="fraud", candidate=Candidate(bundle=bundle, built_by=built_by), started_by=started_by
    )
    spec = replace(spec, steps=steps) if steps else spec
    subject = Subject(uid="u", champion={"name": "champion"}, tier=tier)
    return Scene(namespace="models", name="fraud-4", uid="u", spec=spec, subject=subject)


def task(policy: AccessPolicy) -> RolloutTask:
    resource = {"metadata": {"namespace": "models", "name": "fraud-4", "uid": "u"}}
    return RolloutTask(cast(Any, None), cast(Any, None), resource, Settings(policy=policy))


def asked(tier: int | None, policy: AccessPolicy) -> Required | None:
    return task(policy)._rollout(scene(tier)).required


def test_the_tier_is_the_deployments_label_and_is_kept_in_the_status() -> None:
    deployment: dict[str, Any] = {"metadata": {"name": "fraud", "labels": {"serinus.io/tier": "1"}}}
    assert tier_of(deployment) == 1
    assert tier_of({"metadata": {"name": "fraud"}}) is None
    with pytest.raises(SerinusError, match=r"serinus.io/tier is 'high'"):
        tier_of({"metadata": {"name": "fraud", "labels": {"serinus.io/tier": "high"}}})
    for tier in (1, None):
        subject = Subject(uid="u", champion={"name": "v1"}, tier=tier)
        assert from_wire(subject.to_wire()) == subject
    assert from_wire({"uid": "u", "predictor": {}}).tier is None, "a status of before says none"


def test_the_policys_approvals_are_the_rollouts() -> None:
    found = asked(1, bank())
    assert found is not None
    assert (found.roles, found.people, found.expire) == (("validator", "approver"), 2, "30d")
    assert asked(None, built_in()) is None
    assert asked(3, built_in()) is None


def test_nobody_hides_who_started_it() -> None:
    with pytest.raises(SerinusError, match=r"startedBy is missing.*tier \(1\)"):
        task(bank())._admit(scene(1, started_by=""))
    task(bank())._admit(scene(None, started_by="", steps=OPEN))


OPEN = (Step(weight=10, min_requests=10), Step(weight=100, min_seconds=5))
ASKING = (*OPEN[:1], Step(weight=100, min_seconds=5, approval=Approval()))


@pytest.mark.parametrize(
    ("policy", "tier", "steps", "begins"),
    [
        (bank(), 1, OPEN, False),  # its tier asks for words
        (bank(), None, ASKING, False),  # its own step does
        (bank(), None, OPEN, True),  # nobody is asked
        (built_in(), 1, ASKING, True),  # nobody wrote a policy
        (built_in(), None, ASKING, True),
    ],
)
def test_where_a_policy_is_in_force_nothing_that_asks_for_words_begins_without_its_builder(
    policy: AccessPolicy, tier: int | None, steps: tuple[Step, ...], begins: bool
) -> None:
    task(policy)._admit(scene(tier, steps=steps))
    for blank in ("", " "):
        if begins:
            task(policy)._admit(scene(tier, built_by=blank, steps=steps))
        else:
            with pytest.raises(
                SerinusError, match=r"SRN-ROLLOUT-001 .*builtBy is missing, and an access policy"
            ):
                task(policy)._admit(scene(tier, built_by=blank, steps=steps))


def test_one_that_has_begun_under_another_policy_keeps_its_judge() -> None:
    """What cannot begin any more goes on: without its engine nobody would look at its canary."""
    begun = scene(1, started_by="", built_by="", steps=ASKING)
    assert task(bank())._rollout(begun).required is not None


class World:
    def __init__(self, *given: dict[str, Any]) -> None:
        self.given = given

    def of(self, *_: Any) -> tuple[dict[str, Any], ...]:
        return self.given


def approval(by: str, role: str, reason: str) -> dict[str, Any]:
    return {
        "metadata": {"name": f"a-{by}", "uid": by, "creationTimestamp": "2026-11-28T10:00:00Z"},
        "spec": {"rollout": "fraud-4", "by": by, "role": role, "reason": reason},
    }


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("built_by", "strict", "counts", "refused", "unsure"),
    [
        ("ben", True, True, "", ""),
        ("ben", False, True, "", ""),
        ("", True, False, "who built it is not stated", "so nobody's approval counts"),
        ("", False, True, "", "that is not held against whoever approves"),
    ],
)
@pytest.mark.parametrize("role", ["approver", "breakglass"])
async def test_a_word_counts_without_the_builders_name_only_where_nobody_wrote_a_policy(
    role: str, built_by: str, strict: bool, counts: bool, refused: str, unsure: str
) -> None:
    told: list[str] = []

    async def tell(_: dict[str, Any], why: str) -> None:
        told.append(why)

    approvals = ResourceApprovals(
        cast(Any, World(approval("pat", role, WHY))),
        scene(1, built_by=built_by),
        tell,
        bank().override,
        lambda: 1_795_860_060.0,
        created="2026-11-28T09:00:00Z",
        strict=strict,
    )
    assert bool(await approvals.approvals()) is counts
    assert [why for why in told if refused and refused in why and "SRN-APPROVAL-003" in why] == told
    assert bool(told) is bool(refused)
    assert unsure in approvals.unsure
    assert bool(unsure) is bool(approvals.unsure)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("given", "later", "counts", "override", "refused"),
    [
        (approval("pat", "breakglass", WHY), 60.0, True, True, False),
        (approval("pat", "breakglass", WHY), 90_000.0, False, False, False),  # over
        (approval("pat", "breakglass", "urgent"), 60.0, False, False, True),
        (approval("ben", "breakglass", WHY), 60.0, False, False, True),  # built it
        (approval("ann", "breakglass", WHY), 60.0, False, False, True),  # started it
        (approval("oscar", "approver", "seen"), 90_000.0, True, False, False),
    ],
)
async def test_an_override_needs_its_justification_and_ends(
    given: dict[str, Any], later: float, counts: bool, override: bool, refused: bool
) -> None:
    told: list[str] = []

    async def tell(_: dict[str, Any], why: str) -> None:
        told.append(why)

    begun = 1_795_860_000.0  # 2026-11-28T10:00:00Z
    approvals = ResourceApprovals(
        cast(Any, World(given)),
        scene(1),
        tell,
        bank().override,
        lambda: begun + later,
        created="2026-11-28T09:00:00Z",
    )
    found = await approvals.approvals()
    assert [word.override for word in found] == ([override] if counts else [])
    assert bool(told) is refused


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
