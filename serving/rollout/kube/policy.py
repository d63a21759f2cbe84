"""Who may say what: admission policies that tie a word to the identity that the API server authenticated.

A person writes a name into an approval, a command or a rollout; the policy
refuses any other than their own. So the objects carry who made them, and the
controller may rely on it. Pure.
"""

from __future__ import annotations

from typing import Any

from .names import ROLLOUT

NAME = "serinus-rollout-identity"
_VERSIONED = ("v1alpha1",)


def _policy(name: str, plural: str, validations: list[dict[str, str]]) -> dict[str, Any]:
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": f"{NAME}-{name}"},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {
                "resourceRules": [
                    {
                        "apiGroups": [ROLLOUT.group],
                        "apiVersions": list(_VERSIONED),
                        "operations": ["CREATE"],
                        "resources": [plural],
                    }
                ]
            },
            "validations": validations,
        },
    }


def _own(field: str) -> dict[str, str]:
    return {
        "expression": f"object.spec.{field} == request.userInfo.username",
        "messageExpression": (
            f"'spec.{field} must be your own name, ' + request.userInfo.username + ', not ' + object.spec.{field}"
        ),
        "reason": "Forbidden",
    }


def policies() -> list[dict[str, Any]]:
    """The policies and their bindings, cluster-wide."""
    role = {
        "expression": (
            "object.spec.role == 'approver' || authorizer.group('serinus.io').resource('rolloutroles')"
            ".namespace(object.metadata.namespace).name(object.spec.role).check('approve').allowed()"
        ),
        "messageExpression": (
            "request.userInfo.username + ' does not have the role ' + object.spec.role"
            " + ': it is granted by the verb approve on rolloutroles.serinus.io, resource name '"
            " + object.spec.role"
        ),
        "reason": "Forbidden",
    }
    started = [
        {
            "expression": (
                "has(object.spec.startedBy) ? object.spec.startedBy == request.userInfo.username"
                " : !object.spec.steps.exists(s, has(s.approval))"
            ),
            "messageExpression": (
                "'spec.startedBy must be your own name, ' + request.userInfo.username"
                " + (has(object.spec.startedBy) ? ', not ' + object.spec.startedBy : '')"
            ),
            "reason": "Forbidden",
        }
    ]
    found = [
        _policy("rollouts", "modelrollouts", started),
        _policy("approvals", "rolloutapprovals", [_own("by"), role]),
        _policy("commands", "rolloutcommands", [_own("by")]),
    ]
    return found + [_binding(policy["metadata"]["name"]) for policy in found]


def _binding(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"]},
    }
