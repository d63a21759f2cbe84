"""Whose word a tier asks for, who may give it, who may not: the chart's access policy, RBAC and admission together."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.cluster import node
from tests.cluster.conftest import PREFIX, make_namespace
from tests.cluster.controller.kubectl import Done, Kubectl
from tests.cluster.kube import Kube, Obj
from tests.cluster.predictors import Served, predictor
from tests.cluster.traffic import Traffic, failed
from tests.cluster.waiting import eventually

from ..controller.conftest import cluster, installed
from .conftest import answers
from .controller import Pods
from .rollout import QUICK_STEPS, Rollout

__all__ = ["cluster", "installed"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

POLICY: Obj = {
    "apiVersion": "serinus.io/v1",
    "kind": "AccessPolicy",
    "groups": {"modelling": ["ann", "ben"]},
    "roles": {
        "developer": ["group:modelling"],
        "validator": ["vera"],
        "approver": ["olga"],
        "operator": ["pat"],
        "breakglass": ["pat", "ann"],
    },
    "approvals": {
        "1": {"roles": ["validator", "approver"], "before": "canary"},
        "2": {"roles": ["approver"], "expire": "15s"},
    },
    "override": {"role": "breakglass", "lasts": "1h", "justification": 40},
}
JUSTIFIED = "The approver is in hospital; fraud runs at 40 k an hour; reviewed by phone."


class Models:
    """A namespace of models under the policy, and people who act in it with their own rights."""

    def __init__(self, kube: Kube, namespace: str, controller: Pods, environment: dict[str, str]) -> None:
        self.kube, self.namespace, self.controller = kube, namespace, controller
        self._environment = environment

    def as_(self, name: str) -> Kubectl:
        """kubectl as this person, in the groups that the cluster's authenticator knows of."""
        groups = [group for group, members in POLICY["groups"].items() if name in members]
        return Kubectl(self.namespace, self._environment, name, groups)

    def word(self, rollout: str, by: str, role: str, reason: str = "read the report", as_: str = "") -> Done:
        """A RolloutApproval by ``by``, sent by ``as_``."""
        return self.as_(as_ or by).run(
            *("create", "-f", "-"),
            document={
                "apiVersion": "serinus.io/v1alpha1",
                "kind": "RolloutApproval",
                "metadata": {"generateName": f"{rollout}-"},
                "spec": {"rollout": rollout, "by": by, "role": role, "reason": reason},
            },
        )

    def start(self, by: str, target: str, started_by: str = "", steps: list[Obj] = QUICK_STEPS) -> Done:
        """A ModelRollout of the same name as its target, of a version that ben built."""
        return self.as_(by).run(
            *("create", "-f", "-"),
            document={
                "apiVersion": "serinus.io/v1alpha1",
                "kind": "ModelRollout",
                "metadata": {"name": target},
                "spec": {
                    "target": target,
                    "startedBy": started_by or by,
                    "candidate": {"predictor": predictor("b", target=target), "builtBy": "ben"},
                    "steps": steps,
                    "limits": {"readyTimeout": "4m", "noDataTimeout": "2m", "maxDuration": "10m"},
                },
            },
        )


@pytest.fixture(scope="module")
def governed(
    kube: Kube, seldon: None, installed: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Models]:
    """The chart with the policy, its ClusterRoles by ``serinus access rbac``, and nobody's rights beyond them."""
    names = (f"{PREFIX}-governed", f"{PREFIX}-governed-system")
    directory = tmp_path_factory.mktemp("policy")
    (directory / "policy.yaml").write_text(yaml.safe_dump(POLICY))
    (directory / "values.yaml").write_text(yaml.safe_dump({"accessPolicy": POLICY}))
    for name in names:
        make_namespace(kube, name)
    controller = Pods(kube, names[0], names[1], "-f", str(directory / "values.yaml"))
    admin = Kubectl(names[0], installed)
    rbac = _rbac(directory, names[0])
    try:
        admin.run("apply", "-f", "-", text=rbac).check()
        controller.start()
        yield Models(kube, names[0], controller, installed)
        controller.stop()
    finally:
        admin.run("delete", "-f", "-", "--ignore-not-found", text=rbac)
        for name in names:
            kube.delete("Namespace", None, name)


def _rbac(directory: Path, namespace: str) -> str:
    command = [sys.executable, "-m", "serinus.cli", "access", "rbac", "--namespace", namespace]
    command += ["--prefix", PREFIX, "--policy", str(directory / "policy.yaml")]
    environment = os.environ | {"SERINUS_HOME": str(directory)}
    return subprocess.run(
        command, cwd=node.ROOT, env=environment, capture_output=True, text=True, check=True
    ).stdout


@pytest.fixture
def target(request: pytest.FixtureRequest, governed: Models) -> Iterator[Served]:
    """A champion of the tier that the test is given, with the label that says so."""
    tier: int = request.param
    served = Served(governed.kube, governed.namespace, f"tier-{tier}-{len(request.node.name)}")
    served.create(predictor("a", 100, target=served.name), labels={"serinus.io/tier": str(tier)})
    answers(served)
    yield served
    if governed.kube.get("ModelRollout", served.namespace, served.name) is not None:
        print(Rollout(governed.kube, served.namespace, served.name).said)
        governed.kube.delete("ModelRollout", served.namespace, served.name)
        eventually(lambda: governed.kube.get("ModelRollout", served.namespace, served.name) is None, 180)
    governed.kube.delete("SeldonDeployment", served.namespace, served.name)


RIGHTS: list[tuple[str, str, str, bool]] = [
    ("ann", "create", "modelrollouts", True),
    ("vera", "create", "modelrollouts", False),
    ("pat", "create", "modelrollouts", True),
    ("vera", "create", "rolloutapprovals", True),
    ("ben", "create", "rolloutapprovals", False),
    ("ann", "create", "rolloutcommands", True),
    ("vera", "approve", "rolloutroles/validator", True),
    ("vera", "approve", "rolloutroles/approver", False),
    ("olga", "approve", "rolloutroles/approver", True),
    ("pat", "approve", "rolloutroles/breakglass", True),
    ("olga", "approve", "rolloutroles/breakglass", False),
    ("zoe", "get", "modelrollouts", False),
    *((who, "get", "secrets", False) for who in ("ann", "vera", "olga", "pat")),
    *((who, "create", "pods", False) for who in ("ann", "vera", "olga", "pat")),
    *((who, "patch", "modelrollouts:status", False) for who in ("ann", "vera", "olga", "pat")),
]


@pytest.mark.parametrize(("who", "verb", "what", "may"), RIGHTS)
def test_the_policys_roles_are_rights(governed: Models, who: str, verb: str, what: str, may: bool) -> None:
    resource, _, name = what.partition("/")
    resource, _, subresource = resource.partition(":")
    group = "" if resource in ("secrets", "pods") else "serinus.io"
    asked = {"namespace": governed.namespace, "verb": verb, "group": group, "resource": resource}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": asked | {"name": name, "subresource": subresource}},
    }
    answer = (
        governed.as_(who)
        .run(*("create", "--validate=false", "-f", "-", "-o", "json"), document=review)
        .json()
    )
    assert answer["status"]["allowed"] is may, answer["status"]


@pytest.mark.parametrize("target", [1], indirect=True)
def test_a_canary_of_tier_1_meets_nobody_before_validator_and_approver_agree(
    governed: Models, target: Served
) -> None:
    assert "forbidden" in governed.start("vera", target.name).stderr
    assert "must be your own name, ann, not olga" in governed.start("ann", target.name, "olga").stderr
    governed.start("ann", target.name).check()
    rollout = Rollout(governed.kube, governed.namespace, target.name)
    with Traffic(target.namespace, target.name, rate=40) as traffic:
        assert rollout.until("AwaitingApproval") == "AwaitingApproval"

        assert "forbidden" in governed.word(target.name, "ben", "approver").stderr
        assert "does not have the role validator" in governed.word(target.name, "olga", "validator").stderr
        assert "must be your own name" in governed.word(target.name, "olga", "approver", as_="vera").stderr
        # Who started it may break the glass by RBAC, and is refused for being at both ends.
        governed.word(target.name, "ann", "breakglass", JUSTIFIED).check()
        eventually(lambda: _refused(governed, "SRN-APPROVAL"), what="ann's own word is refused")

        governed.word(target.name, "vera", "validator").check()
        eventually(lambda: _asked(rollout) == "approver", what="only the approver is still asked")
        assert {answer.predictor for answer in traffic.answers} == {"a"}
        assert target.weights in ({"a": 100}, {"a": 100, "b": 0})

        governed.word(target.name, "olga", "approver").check()
        assert rollout.until_ended() == "Promoted"
    assert not failed(traffic.answers)
    assert _overrides(governed, target.name) == 0


@pytest.mark.parametrize("target", [1], indirect=True)
def test_breaking_the_glass_takes_a_justification_and_is_told(governed: Models, target: Served) -> None:
    governed.start("ann", target.name).check()
    rollout = Rollout(governed.kube, governed.namespace, target.name)
    with Traffic(target.namespace, target.name, rate=40):
        rollout.until("AwaitingApproval")
        governed.word(target.name, "pat", "breakglass", "in a hurry").check()
        eventually(lambda: _refused(governed, "the policy asks for 40"), what="no justification")
        assert rollout.phase == "AwaitingApproval"
        governed.word(target.name, "pat", "breakglass", JUSTIFIED).check()
        assert rollout.until_ended() == "Promoted"
    # Events and metrics may come after the status.
    eventually(lambda: any(e.startswith("ApprovalOverridden") and "pat" in e for e in rollout.events()))
    eventually(lambda: _overrides(governed, target.name) == 1)


@pytest.mark.parametrize("target", [2], indirect=True)
def test_a_word_that_has_expired_is_asked_for_again(governed: Models, target: Served) -> None:
    longer_than_a_word = [
        {"weight": 10, "minRequests": 30, "minSeconds": 18},
        {"weight": 100, "minSeconds": 3},
    ]
    governed.start("ann", target.name, steps=longer_than_a_word).check()
    governed.word(target.name, "olga", "approver").check()
    rollout = Rollout(governed.kube, governed.namespace, target.name)
    with Traffic(target.namespace, target.name, rate=40):
        rollout.until("AwaitingApproval")
        governed.word(target.name, "olga", "approver", "still true").check()
        assert rollout.until_ended() == "Promoted"


def _asked(rollout: Rollout) -> str:
    """Whose approval is waited for."""
    return rollout.status["message"].partition("waiting for approval by ")[2].partition(" before ")[0]


def _refused(governed: Models, word: str) -> bool:
    """Some Event in the namespace tells of an approval that was refused in these words."""
    events = governed.kube.list("Event", governed.namespace)
    found = [e for e in events if e["involvedObject"]["kind"] == "RolloutApproval"]
    assert any(word in (e.get("message") or "") for e in found), [e.get("message") for e in found]
    return True


def _overrides(governed: Models, rollout: str) -> float:
    """What the acting controller's page counts for the model."""
    lines = [
        line
        for line in governed.controller.metrics().splitlines()
        if line.startswith("serinus_approval_overrides_total") and f'"{rollout}"' in line
    ]
    return sum(float(line.rpartition(" ")[2]) for line in lines)
