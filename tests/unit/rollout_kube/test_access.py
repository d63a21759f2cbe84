"""What a model's tier asks for on a cluster, and words that override it."""

from __future__ import annotations

from typing import Any, cast

import pytest

from serinus.access import AccessPolicy, built_in
from serinus.errors import SerinusError
from serving.rollout.kube.resource import BundleRef, Candidate, ModelRolloutSpec
from serving.rollout.kube.rollout import RolloutTask, Settings
from serving.rollout.kube.subject import Scene, Subject, from_wire, tier_of
from serving.rollout.kube.words import ResourceApprovals
from serving.rollout.spec import Required

from ..access.policies import bank

WHY = "The approver is in hospital and fraud runs at 40 k an hour; reviewed by phone."


def scene(tier: int | None, started_by: str = "ann") -> Scene:
    bundle = BundleRef(uri="s3://models/a", digest="sha256:" + "a" * 64)
    spec = ModelRolloutSpec(
        target="fraud", candidate=Candidate(bundle=bundle, built_by="ben"), started_by=started_by
    )
    subject = Subject(uid="u", champion={"name": "champion"}, tier=tier)
    return Scene(namespace="models", name="fraud-4", uid="u", spec=spec, subject=subject)


def asked(tier: int | None, policy: AccessPolicy, started_by: str = "ann") -> Required | None:
    resource = {"metadata": {"namespace": "models", "name": "fraud-4", "uid": "u"}}
    task = RolloutTask(cast(Any, None), cast(Any, None), resource, Settings(policy=policy))
    return task._rollout(scene(tier, started_by)).required


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
        asked(1, bank(), started_by="")
    assert asked(None, bank(), started_by="") is None


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
