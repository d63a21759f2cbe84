"""Whether the words given for a version are enough: roles by tier, other people's eyes, expiry. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from serinus.access.types import AccessPolicy, Asked, Tier
from serinus.durations import parse_duration
from serinus.errors import SerinusError

NOTHING = Asked()
ANOTHER = "another person"


class Requirement(msgspec.Struct, frozen=True, kw_only=True):
    """What must be said: one word in each of ``roles`` and ``people`` words in all, none older than ``expire`` (s).

    ``override_lasts``: how long an override holds (s); None where the recorder sees to that. ``before``:
    what of a rollout waits for it, as in the policy.
    """

    roles: tuple[str, ...] = ()
    people: int = 0
    expire: float | None = None
    override_lasts: float | None = None
    before: Literal["promotion", "canary"] = "promotion"

    @property
    def asks(self) -> bool:
        """Whether anything is asked for."""
        return bool(self.roles) or self.people > 0

    @property
    def words(self) -> int:
        """How many people's words it takes."""
        return max(self.people, len(self.roles))


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """One person's word: in which role, when (Unix seconds), and with whose right if it was lent.

    ``override``: it stands for all that is missing.
    """

    by: str
    role: str
    at: float
    on_behalf_of: str = ""
    override: bool = False

    @property
    def people(self) -> frozenset[str]:
        """Who stands behind it: the speaker, and who lent the role."""
        return frozenset({self.by, self.on_behalf_of} - {""})


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a requirement is met.

    ``counted``: the words that make it so, or would. ``ignored``: words that do not count, each with
    its reason. ``missing``: roles still to speak, ``another person`` for a word in any. ``until``: when
    the judgement ends by expiry (Unix seconds). ``overridden``: it is met by an override alone.
    """

    met: bool
    counted: tuple[Word, ...] = ()
    ignored: tuple[tuple[Word, str], ...] = ()
    missing: tuple[str, ...] = ()
    until: float | None = None
    overridden: bool = False


_TIERS: dict[int | None, Tier] = {None: "none", 1: "1", 2: "2", 3: "3", 4: "4"}


def tier_name(tier: int | None) -> Tier:
    """A version's tier as the policy's keys have it.

    Raises:
        SerinusError: ``SRN-ACCESS-009`` for a number that is no tier: what it asks for nobody said.
    """
    if tier not in _TIERS:
        raise SerinusError(
            "SRN-ACCESS-009",
            f"{tier} is no tier, so nobody said whose word it asks for",
            where="the version's tier",
            hint="Tiers are 1 (the most material) to 4: set identity.tier in model.yaml, and run the pipeline again.",
        )
    return _TIERS[tier]


def requirement(policy: AccessPolicy, tier: int | None) -> Requirement:
    """What the policy asks for at a version's tier; None if nobody said one. Raises as ``tier_name``."""
    asked = policy.approvals.get(tier_name(tier), NOTHING)
    return Requirement(
        roles=asked.roles,
        people=max(asked.people, len(asked.roles)),
        expire=parse_duration(asked.expire) if asked.expire else None,
        override_lasts=parse_duration(policy.override.lasts),
        before=asked.before,
    )


def judge(
    needed: Requirement,
    words: Sequence[Word],
    *,
    own: Iterable[str],
    now: float,
    asked_at: float | None = None,
) -> Judgement:
    """Whether the words are enough, now.

    Args:
        own: who built the version and who started its rollout: none of them counts, neither by
            themselves nor through somebody they lent a role to.
        asked_at: when the question was put; an older word answers another one.
    """
    excluded = frozenset(own) - {""}
    valid: list[Word] = []
    ignored: list[tuple[Word, str]] = []
    for word in words:
        why = _void(needed, word, excluded, now, asked_at)
        if why is None:
            valid.append(word)
        else:
            ignored.append((word, why))
    overrides = [word for word in valid if word.override]
    counted, missing = _assign(needed, [word for word in valid if not word.override])
    met = not missing
    if overrides and missing:
        latest = max(overrides, key=lambda word: word.at)
        return Judgement(
            met=True,
            counted=(latest,),
            ignored=tuple(ignored),
            missing=missing,
            until=None if needed.override_lasts is None else latest.at + needed.override_lasts,
            overridden=True,
        )
    until = (
        min((word.at for word in counted), default=0.0) + needed.expire if needed.expire and counted else None
    )
    return Judgement(
        met=met, counted=counted, ignored=tuple(ignored), missing=missing, until=until if met else None
    )


def _void(
    needed: Requirement, word: Word, excluded: frozenset[str], now: float, asked_at: float | None
) -> str | None:
    """Why a word does not count, or None."""
    if word.by in excluded:
        return f"{word.by} built the version or started its rollout"
    if word.on_behalf_of in excluded:
        return f"{word.on_behalf_of}, who lent the role, built the version or started its rollout"
    if asked_at is not None and word.at < asked_at:
        return "it was given before it was asked for"
    lasts = needed.override_lasts if word.override else needed.expire
    if lasts is not None and now >= word.at + lasts:
        return "it has expired"
    return None


def _assign(needed: Requirement, words: Sequence[Word]) -> tuple[tuple[Word, ...], tuple[str, ...]]:
    """The largest choice of words, each for one slot and no person behind two of them; and what stays open.

    The number of slots and words is small (roles of a tier, people of a team): a search is enough.
    The newest word of a person in a role stands for all of them.
    """
    newest: dict[tuple[str, str, str], Word] = {}
    for word in words:
        key = (word.by, word.role, word.on_behalf_of)
        if key not in newest or newest[key].at < word.at:
            newest[key] = word
    pool = sorted(newest.values(), key=lambda word: -word.at)
    slots = (*needed.roles, *(("",) * (needed.people - len(needed.roles))))
    best: tuple[tuple[Word, ...], tuple[str, ...]] = ((), tuple(slot or ANOTHER for slot in slots))
    hopeless = sum(all(slot and word.role != slot for word in pool) for slot in slots)

    def search(
        i: int, first: int, chosen: tuple[Word, ...], taken: frozenset[str], left: tuple[str, ...]
    ) -> None:
        nonlocal best
        if len(left) >= len(best[1]) or len(best[1]) == hopeless:
            return
        if i == len(slots):
            best = (chosen, left)
            return
        # Slots for anybody are alike: filled in one order only.
        begin = first if not slots[i] else 0
        for n, word in enumerate(pool[begin:], begin):
            if (not slots[i] or word.role == slots[i]) and not word.people & taken:
                after = n + 1 if not slots[i] else first
                search(i + 1, after, (*chosen, word), taken | word.people, left)
        search(i + 1, first, chosen, taken, (*left, slots[i] or ANOTHER))

    search(0, 0, (), frozenset(), ())
    return best
