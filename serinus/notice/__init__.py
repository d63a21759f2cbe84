"""Adverse-action notices: what a person is told whose application was declined, made from the logged decision."""

from serinus.notice.letter import Notice, letter
from serinus.notice.policy import Creditor, Jurisdiction, Letter, NoticePolicy, load_notice_policy
from serinus.notice.principal import principal_reasons
from serinus.notice.scores import Disclosure, used_scores

__all__ = [
    "Creditor",
    "Disclosure",
    "Jurisdiction",
    "Letter",
    "Notice",
    "NoticePolicy",
    "letter",
    "load_notice_policy",
    "principal_reasons",
    "used_scores",
]
