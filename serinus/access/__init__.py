"""Who may do what, and whose word counts: one policy for the command line, the services and the cluster.

The rules are pure (``roles``, ``approving``); ``load`` reads the policy, ``book`` keeps
delegations and overrides, and ``door`` puts them together for one installation.
"""

from serinus.access.approving import Judgement, Requirement, Word, judge, requirement
from serinus.access.door import Access, justified
from serinus.access.load import built_in, load_policy, policy_of, written
from serinus.access.roles import Delegation, Ruling, may
from serinus.access.types import AccessPolicy

__all__ = [
    "Access",
    "AccessPolicy",
    "Delegation",
    "Judgement",
    "Requirement",
    "Ruling",
    "Word",
    "built_in",
    "judge",
    "justified",
    "load_policy",
    "may",
    "policy_of",
    "requirement",
    "written",
]
