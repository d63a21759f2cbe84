"""What the API server itself refuses, in the words that a user of kubectl sees."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from .kubectl import Kubectl

DIGEST = "sha256:" + "ab" * 32
GOOD: dict[str, Any] = {
    "apiVersion": "serinus.io/v1alpha1",
    "kind": "ModelRollout",
    "metadata": {"name": "fraud-4"},
    "spec": {
        "target": "fraud",
        "startedBy": "ann",
        "candidate": {"bundle": {"uri": "s3://models/fraud/4", "digest": DIGEST}},
    },
}


def rollout(**spec: Any) -> dict[str, Any]:
    made = copy.deepcopy(GOOD)
    made["spec"] |= spec
    return made


ENFORCED = {"name": "errors", "metric": "errors"}
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"steps": [{"weight": 25}, {"weight": 5}]}, "weights must rise from step to step"),
    ({"steps": [{"weight": 5}, {"weight": 5}]}, "weights must rise from step to step"),
    ({"steps": [{"weight": 5}, {"weight": 50, "shadow": True}]}, "shadow steps come first"),
    ({"steps": [{"weight": 5, "shadow": True}]}, "every step is a shadow step"),
    ({"steps": [{"weight": 0}]}, "should be greater than or equal to 1"),
    ({"steps": []}, "should have at least 1 items"),
    ({"steps": [{"weight": w} for w in range(1, 22)]}, "must have at most 20 items"),
    ({"steps": [{"weight": 5, "minRequest": 3}]}, 'unknown field "spec.steps[0].minRequest"'),
    ({"guards": [ENFORCED, ENFORCED]}, 'Duplicate value: {"name":"errors"}'),
    ({"guards": [ENFORCED | {"mode": "observe"}]}, "no guard is enforced"),
    ({"guards": [ENFORCED | {"marginRatio": 0.5}]}, "should be greater than or equal to 1"),
    ({"rollbackWindow": "1 hour"}, "a duration is a number and a unit"),
    ({"limits": {"readyTimeout": "soon"}}, "a duration is a number and a unit"),
    ({"alpha": 1}, "should be less than 1"),
    ({"candidate": {}}, "give exactly one of bundle and predictor"),
    (
        {
            "candidate": {
                "bundle": {"uri": "s3://m/4", "digest": DIGEST},
                "predictor": {"name": "v2", "graph": {"name": "scorer"}},
            }
        },
        "give exactly one of bundle and predictor",
    ),
    ({"candidate": {"predictor": {"name": "v2"}}}, "spec.candidate.predictor.graph: Required value"),
    ({"candidate": {"bundle": {"uri": "s3://m/4", "digest": "latest"}}}, "should match '^sha256:"),
    ({"notifications": [{"format": "slack"}]}, "give exactly one of url and channel"),
    ({"notifications": [{"url": "ftp://x"}]}, "should match '^https?://'"),
    ({"notifications": [{"url": "https://x", "phases": ["Soon"]}]}, 'Unsupported value: "Soon"'),
    ({"startedBy": "bob"}, "spec.startedBy must be your own name, ann, not bob"),
]


def test_a_good_rollout_is_taken_with_its_defaults(ann: Kubectl) -> None:
    taken = ann.apply(GOOD, "--dry-run=server", "-o", "json").json()
    assert [step["weight"] for step in taken["spec"]["steps"]] == [5, 25, 50, 100]
    assert [guard["name"] for guard in taken["spec"]["guards"]] == [
        "errors",
        "latency",
        "scores",
        "decisions",
    ]
    assert taken["spec"]["limits"] == {"maxDuration": "1h", "noDataTimeout": "5m", "readyTimeout": "2m"}


@pytest.mark.parametrize(("spec", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_a_wrong_rollout_is_refused_in_plain_words(ann: Kubectl, spec: dict[str, Any], words: str) -> None:
    done = ann.apply(rollout(**spec), "--dry-run=server")
    assert done.returncode != 0
    assert words in done.stderr


def test_an_approval_step_needs_to_know_who_started(ann: Kubectl) -> None:
    made = rollout()
    del made["spec"]["startedBy"]
    assert "spec.startedBy must be your own name, ann" in ann.apply(made, "--dry-run=server").stderr
    made["spec"]["steps"] = [{"weight": 5}, {"weight": 100}]
    assert ann.apply(made, "--dry-run=server").returncode == 0


OTHER = {"bundle": {"uri": "s3://models/fraud/5", "digest": "sha256:" + "cd" * 32}}
CHANGES: list[tuple[dict[str, Any], str | None]] = [
    ({"target": "credit"}, "target cannot change"),
    ({"candidate": OTHER}, "the candidate cannot change"),
    (
        {"candidate": {"bundle": GOOD["spec"]["candidate"]["bundle"], "builtBy": "bob"}},
        "builtBy cannot change",
    ),
    ({"steps": [{"weight": 100}]}, "steps cannot change"),
    ({"guards": [ENFORCED]}, "guards cannot change"),
    ({"alpha": 0.2}, "alpha cannot change"),
    ({"startedBy": "bob"}, "startedBy cannot change"),
    ({"paused": True}, None),
    ({"onNoData": "rollback"}, None),
    ({"limits": {"maxDuration": "2h"}}, None),
]


@pytest.mark.parametrize(("change", "words"), CHANGES)
def test_what_evidence_was_gathered_under_cannot_change(
    ann: Kubectl, change: dict[str, Any], words: str | None
) -> None:
    ann.apply(GOOD).check()
    done = ann.apply(rollout(**change), "--dry-run=server")
    assert (done.returncode == 0) is (words is None), done.stderr
    assert words is None or words in done.stderr


def test_a_whole_predictor_cannot_change_below_the_surface(ann: Kubectl) -> None:
    graph = {"name": "scorer", "parameters": [{"name": "depth", "value": "1"}]}
    made = rollout(candidate={"predictor": {"name": "v2", "graph": graph, "componentSpecs": [{"a": 1}]}})
    made["metadata"]["name"] = "fraud-whole"
    ann.apply(made).check()
    made["spec"]["candidate"]["predictor"]["componentSpecs"] = [{"a": 2}]
    done = ann.apply(made, "--dry-run=server")
    assert "the candidate cannot change" in done.stderr


def test_an_abort_cannot_be_taken_back(ann: Kubectl) -> None:
    made = rollout(abort=True)
    made["metadata"]["name"] = "fraud-aborted"
    ann.apply(made).check()
    made["spec"]["abort"] = False
    assert "an abort cannot be taken back" in ann.apply(made, "--dry-run=server").stderr


def test_an_abort_can_be_given_later(ann: Kubectl) -> None:
    ann.apply(GOOD).check()
    assert ann.apply(rollout(abort=True), "--dry-run=server").returncode == 0


def word(kind: str, **spec: Any) -> dict[str, Any]:
    filled = {"rollout": "fraud-4", "by": "ann", "reason": "read the report"} | spec
    return {
        "apiVersion": "serinus.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": kind.lower()},
        "spec": filled,
    }


def test_an_approval_carries_who_gave_it(ann: Kubectl) -> None:
    assert ann.apply(word("RolloutApproval"), "--dry-run=server").returncode == 0
    refused = ann.apply(word("RolloutApproval", by="bob"), "--dry-run=server").stderr
    assert "spec.by must be your own name, ann, not bob" in refused
    command = word("RolloutCommand", command="abort", by="bob")
    assert "must be your own name, ann, not bob" in ann.apply(command, "--dry-run=server").stderr


def test_a_role_is_granted_by_rbac(ann: Kubectl, admin: Kubectl) -> None:
    given = word("RolloutApproval", role="model-risk")
    assert "ann does not have the role model-risk" in ann.apply(given, "--dry-run=server").stderr
    admin.apply(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": "model-risk"},
            "rules": [
                {
                    "apiGroups": ["serinus.io"],
                    "resources": ["rolloutroles"],
                    "resourceNames": ["model-risk"],
                    "verbs": ["approve"],
                }
            ],
        }
    ).check()
    admin.run("create", "rolebinding", "risk", "--role=model-risk", "--user=ann").check()
    ann.until(lambda: ann.apply(given, "--dry-run=server").returncode == 0)
    other = word("RolloutApproval", role="legal")
    assert "ann does not have the role legal" in ann.apply(other, "--dry-run=server").stderr


def test_an_approval_cannot_be_changed(ann: Kubectl) -> None:
    ann.apply(word("RolloutApproval")).check()
    changed = word("RolloutApproval", reason="on second thought")
    assert "an approval cannot be changed" in ann.apply(changed, "--dry-run=server").stderr
