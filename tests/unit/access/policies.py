"""A bank's policy, and words said under it."""

from __future__ import annotations

from typing import Any

import yaml

from serinus.access import AccessPolicy, Delegation, Word
from serinus.access.load import parse_policy

BANK = """\
apiVersion: serinus.io/v1
kind: AccessPolicy
groups:
  modelling: [ann, ben]
  risk: [vera, vic]
roles:
  developer: [group:modelling]
  validator: [group:risk, dora]
  approver: [oscar, olga, ann]
  auditor: [amy]
  operator: [pat]
  reviewer: [rita, rob]
  breakglass: [pat, ann]
approvals:
  1: {roles: [validator, approver], expire: 30d}
  2: {roles: [approver], expire: 90d}
  3: {people: 1}
delegation: {longest: 14d}
"""
DAY = 86_400.0


def bank(**changes: Any) -> AccessPolicy:
    return parse_policy(yaml.safe_load(BANK) | changes, where="bank.yaml")


def word(by: str, role: str, at: float = 0.0, lent: str = "") -> Word:
    return Word(by=by, role=role, at=at, on_behalf_of=lent, override=role == "breakglass")


def lent(role: str, by: str, to: str, since: float = 0.0, until: float = 7 * DAY, **more: Any) -> Delegation:
    fields: dict[str, Any] = {"id": f"{role}-{by}-{to}", "reason": "on leave", "made": since, **more}
    return Delegation(role=role, by=by, to=to, since=since, until=until, **fields)
