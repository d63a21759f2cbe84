"""Whose words a rollout waits for: what its step asks for, and what the version's tier does. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from serinus.access import Judgement, Word, judge

from .ports import ApprovalRecord
from .spec import RolloutSpec
from .status import RolloutStatus


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """The approval before step ``index``: what each of its demands came to, by the rules of all approvals."""

    index: int
    judgements: tuple[Judgement, ...]

    @property
    def met(self) -> bool:
        """Whether nothing is missing, or an override stands for it."""
        return all(judgement.met for judgement in self.judgements)

    @property
    def missing(self) -> tuple[str, ...]:
        """Roles still to speak, ``another person`` for a word in any; of an override what it stands for."""
        return tuple(dict.fromkeys(role for judgement in self.judgements for role in judgement.missing))

    @property
    def awaited(self) -> tuple[str, ...]:
        """The same, and nothing once it is met."""
        return () if self.met else self.missing


def asked(spec: RolloutSpec, status: RolloutStatus, given: Sequence[ApprovalRecord], now: float) -> Asked:
    """What is asked for next, and what of it was said."""
    index = _next(spec, status)
    step = spec.steps[index]
    words = [
        Word(by=a.by, role=a.role, at=a.at, on_behalf_of=a.on_behalf_of, override=a.override) for a in given
    ]
    # Who started the rollout does not count, whatever the recorder allowed.
    own = (status.started_by,)
    found: list[Judgement] = []
    if step.approval is not None:
        asked_at = status.asked_at or status.phase_since
        found.append(judge(step.approval.requirement(), words, own=own, now=now, asked_at=asked_at))
    if spec.required is not None and index == spec.required_at():
        found.append(judge(spec.required.requirement(), words, own=own, now=now))
    return Asked(index=index, judgements=tuple(found))


def _next(spec: RolloutSpec, status: RolloutStatus) -> int:
    for index in range(status.step + 1, len(spec.steps)):
        if spec.asks(index) and status.approved_step < index:
            return index
    return min(status.step + 1, len(spec.steps) - 1)
