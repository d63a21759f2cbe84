"""Whether the words given are enough: by tier, by other people, while they hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.access import Requirement, Word, built_in, judge, requirement
from serinus.access.approving import ANOTHER
from serinus.errors import SerinusError

from .policies import DAY, bank, word

TIER_1 = requirement(bank(), 1)
TIER_2 = requirement(bank(), 2)
TIER_3 = requirement(bank(), 3)
OWN = ("ben", "pat")  # who built it, and who started its rollout
CASES: list[tuple[str, Requirement, list[Word], tuple[str, ...]]] = [
    # what, what is asked, what was said on day 0, what is missing on day 1
    ("nothing said", TIER_1, [], ("validator", "approver")),
    ("one of two", TIER_1, [word("vera", "validator")], ("approver",)),
    ("both", TIER_1, [word("vera", "validator"), word("oscar", "approver")], ()),
    (
        "one person in both roles counts once",
        TIER_1,
        [word("dora", "validator"), word("dora", "approver")],
        ("approver",),
    ),
    (
        "a person in both roles leaves room for another",
        TIER_1,
        [word("dora", "validator"), word("dora", "approver"), word("vera", "validator")],
        (),
    ),
    (
        "two validators are no approver",
        TIER_1,
        [word("vera", "validator"), word("vic", "validator")],
        ("approver",),
    ),
    ("the builder's word", TIER_2, [word("ben", "approver")], ("approver",)),
    ("the starter's word", TIER_2, [word("pat", "approver")], ("approver",)),
    ("the builder's word by another's mouth", TIER_2, [word("zoe", "approver", lent="ben")], ("approver",)),
    ("a lent role", TIER_2, [word("zoe", "approver", lent="oscar")], ()),
    (
        "who lends and who borrows are one word",
        TIER_1,
        [word("vera", "validator"), word("oscar", "approver", lent="vera")],
        ("approver",),
    ),
    ("anybody's word", TIER_3, [word("rita", "reviewer")], ()),
    ("nobody's word", TIER_3, [], (ANOTHER,)),
]


@pytest.mark.parametrize(("what", "needed", "words", "missing"), CASES, ids=[c[0] for c in CASES])
def test_what_counts(what: str, needed: Requirement, words: list[Word], missing: tuple[str, ...]) -> None:
    found = judge(needed, words, own=OWN, now=DAY)
    assert (found.met, found.missing) == (not missing, missing)
    assert set(found.counted) | {w for w, _ in found.ignored} <= set(words)


def test_a_word_expires() -> None:
    words = [word("oscar", "approver", at=DAY)]
    assert judge(TIER_2, words, own=OWN, now=91 * DAY - 1).met
    late = judge(TIER_2, words, own=OWN, now=91 * DAY)
    assert (late.met, late.ignored[0][1]) == (False, "it has expired")
    assert judge(TIER_2, words, own=OWN, now=2 * DAY).until == 91 * DAY
    assert judge(TIER_3, [word("x", "y")], own=OWN, now=9e9).until is None, "tier 3's words hold"


def test_a_newer_word_of_the_same_person_renews_it() -> None:
    words = [word("oscar", "approver", at=0.0), word("oscar", "approver", at=60 * DAY)]
    assert judge(TIER_2, words, own=OWN, now=140 * DAY).met


def test_a_word_before_the_question_answers_another_one() -> None:
    assert not judge(TIER_2, [word("oscar", "approver", at=5.0)], own=OWN, now=9.0, asked_at=6.0).met


def test_an_override_stands_for_what_is_missing_for_its_time_and_never_for_ones_own_work() -> None:
    given_ = [word("pia", "breakglass", at=0.0)]
    found = judge(TIER_1, given_, own=OWN, now=DAY - 1)
    assert (found.met, found.overridden, found.missing, found.until) == (
        True,
        True,
        ("validator", "approver"),
        DAY,
    )
    assert not judge(TIER_1, given_, own=OWN, now=DAY).met
    assert not judge(TIER_1, [word("pat", "breakglass")], own=OWN, now=1.0).met
    both = [*given_, word("vera", "validator"), word("oscar", "approver")]
    assert not judge(TIER_1, both, own=OWN, now=1.0).overridden, "what was said in full is not overridden"


def test_what_a_tier_asks_for() -> None:
    assert (TIER_1.roles, TIER_1.words, TIER_1.expire) == (("validator", "approver"), 2, 30 * DAY)
    assert requirement(bank(), None).asks is False, "a policy without the key none asks nothing"
    assert requirement(built_in(), 1).roles == ("validator", "approver")
    strict = bank(approvals={2: {"people": 3, "before": "canary"}})
    assert (requirement(strict, 2).words, requirement(strict, 2).before) == (3, "canary")


PEOPLE = ["ann", "ben", "cid", "dee", "eve"]
ROLES = ["validator", "approver", "legal", "breakglass"]
names = st.sampled_from(PEOPLE)
words_ = st.lists(
    st.builds(word, names, st.sampled_from(ROLES), st.floats(0, 100 * DAY), st.sampled_from(["", *PEOPLE])),
    max_size=6,
)
needs = st.builds(
    lambda roles, people, expire: Requirement(
        roles=tuple(roles),
        people=max(people, len(roles)),
        expire=expire,
        override_lasts=DAY,
    ),
    st.lists(st.sampled_from(ROLES[:3]), max_size=3, unique=True),
    st.integers(0, 4),
    st.one_of(st.none(), st.floats(1, 50 * DAY)),
)
own = st.sets(names, max_size=2)


@given(needs, words_, own, st.floats(0, 200 * DAY))
def test_law_nobodys_own_work_by_whatever_mouth(
    needed: Requirement, said: list[Word], mine: set[str], now: float
) -> None:
    found = judge(needed, said, own=mine, now=now)
    assert not any(w.people & mine for w in found.counted)
    foreign = [w for w in said if not w.people & mine]
    assert found.met == judge(needed, foreign, own=(), now=now).met


@given(needs, words_, own)
def test_law_one_person_counts_once(needed: Requirement, said: list[Word], mine: set[str]) -> None:
    found = judge(needed, said, own=mine, now=100 * DAY)
    behind = [person for w in found.counted for person in w.people]
    assert len(behind) == len(set(behind))
    if found.met and not found.overridden and needed.asks:
        assert len(found.counted) == needed.words


@given(needs, words_, own, st.floats(100 * DAY, 150 * DAY), st.floats(0, 50 * DAY))
def test_law_time_only_takes_away(
    needed: Requirement, said: list[Word], mine: set[str], now: float, more: float
) -> None:
    later = judge(needed, said, own=mine, now=now + more)
    assert judge(needed, said, own=mine, now=now).met or not later.met


@given(needs, words_, own, st.floats(100 * DAY, 150 * DAY))
def test_law_the_judgement_ends_when_it_says(
    needed: Requirement, said: list[Word], mine: set[str], now: float
) -> None:
    found = judge(needed, said, own=mine, now=now)
    if found.met and found.until is not None:
        assert found.until > now
        assert judge(needed, list(found.counted), own=mine, now=found.until - 1e-3).met
        assert not judge(needed, list(found.counted), own=mine, now=found.until).met


@given(needs, words_, own, names, st.sampled_from(ROLES[:3]))
def test_law_lending_adds_no_word_of_the_same_person(
    needed: Requirement, said: list[Word], mine: set[str], lender: str, role: str
) -> None:
    # However many people a lender speaks through, it is one word: the others' count as if there were one mouth.
    lent_ = [word(f"mouth-{i}", role, 100 * DAY, lender) for i in range(3)]
    found = judge(needed, [*said, *lent_], own=mine, now=100 * DAY)
    assert sum(w.on_behalf_of == lender or w.by == lender for w in found.counted) <= 1


@given(needs, words_, own, words_)
def test_law_more_words_never_take_an_approval_away(
    needed: Requirement, said: list[Word], mine: set[str], more: list[Word]
) -> None:
    now = 100 * DAY
    assert (
        not judge(needed, said, own=mine, now=now).met or judge(needed, [*said, *more], own=mine, now=now).met
    )


def test_a_crowd_is_judged_at_once() -> None:
    crowd = [word(f"p{i}", f"r{i % 5}", at=float(i)) for i in range(500)]
    needed = Requirement(roles=(*(f"r{i}" for i in range(5)), "nobody"), people=10)
    assert judge(needed, crowd, own=(), now=1e3).missing == ("nobody",)


@pytest.mark.parametrize("tier", [0, 5, -1])
def test_a_number_that_is_no_tier_asks_for_nothing_because_it_is_refused(tier: int) -> None:
    with pytest.raises(SerinusError, match=f"SRN-ACCESS-009.*{tier} is no tier"):
        requirement(bank(), tier)
