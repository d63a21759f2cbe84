"""What reviews and wrong decisions come to, and that nothing is told where nothing is known."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from serinus.contract import Decision
from serinus.follow import exactly, matching
from serving.outcomes.business import Business, Cell, business
from serving.outcomes.engine import Engine, Settings
from serving.outcomes.http import build_app
from serving.outcomes.measures import Policy
from serving.outcomes.store import Store
from tests.support.bundles import small_contract
from tests.unit.outcomes.lines import DAY, START, decision, feedback, review
from tests.unit.outcomes.test_engine import contract

RULE = Decision(
    review_at=0.1,
    decline_at=0.6,
    cost_false_positive=5,
    cost_false_negative=120,
    cost_review=2,
    currency="EUR",
)


def cell(
    decision: str, n: int, answer: bool | None = None, leaning: bool | None = None, bad: bool | None = None
) -> Cell:
    return Cell(decision=decision, n=n, answer=answer, leaning=leaning, bad=bad, oldest=100.0)


def figures(
    *cells: Cell, rule: Decision = RULE, latest: tuple[int, int] = (100, 10), least: int = 1
) -> Business:
    referred = [c for c in cells if c.decision == "review"]
    settled = [c for c in cells if c.bad is not None]
    return business(rule, latest=latest, referred=referred, settled=settled, min_rows=least)


def test_without_anything_nothing_is_told() -> None:
    found = figures(latest=(0, 0))
    assert (found.load, found.oldest, found.override, found.saved, found.cost) == (None,) * 5
    assert (found.waiting, found.cost_rows, found.answers) == (0, 0, {})


def test_load_queue_and_overrides() -> None:
    found = figures(
        cell("review", 4),
        cell("review", 6, answer=False, leaning=True),
        cell("review", 3, answer=True, leaning=True),
        cell("review", 1, answer=True, leaning=False),
    )
    assert (found.load, found.waiting, found.oldest) == (0.1, 4, 100.0)
    assert found.override == pytest.approx(7 / 10)
    assert found.answers == {"good/bad": 6, "bad/bad": 3, "bad/good": 1}


def test_a_false_positive_is_saved_only_if_it_turned_out_good() -> None:
    found = figures(
        cell("review", 5, answer=False, leaning=True, bad=False),
        cell("review", 2, answer=False, leaning=True, bad=True),  # the person was wrong
        cell("review", 3, answer=False, leaning=False, bad=False),  # the model would have approved it too
    )
    assert found.saved == 5


def test_the_cost_of_a_decision() -> None:
    found = figures(
        cell("approve", 90, bad=False),
        cell("approve", 2, bad=True),  # 120 each
        cell("decline", 3, bad=False),  # 5 each
        cell("decline", 1, bad=True),
        cell("review", 3, answer=False, leaning=True, bad=False),  # 2 each, for the look
        cell("review", 1, answer=False, leaning=True, bad=True),  # 2 and 120
        cell("review", 7, bad=False),  # nobody has answered: what was done is not known
    )
    assert found.cost is not None
    assert found.cost_rows == 100
    assert found.cost.value == pytest.approx((240 + 15 + 6 + 122) / 100)
    assert found.cost.low < found.cost.value < found.cost.high


@pytest.mark.parametrize(
    ("rule", "least"), [(Decision(), 1), (Decision(cost_false_positive=1), 1), (RULE, 101)]
)
def test_no_cost_without_costs_or_with_too_few(rule: Decision, least: int) -> None:
    assert figures(cell("approve", 100, bad=False), rule=rule, least=least).cost is None


cells = st.lists(
    st.builds(
        cell,
        st.sampled_from(["approve", "decline", "review"]),
        st.integers(1, 50),
        st.one_of(st.none(), st.booleans()),
        st.booleans(),
        st.one_of(st.none(), st.booleans()),
    ),
    max_size=8,
)


@given(cells)
def test_law_the_cost_is_that_of_each_decision_one_by_one(found: list[Cell]) -> None:
    def one(c: Cell) -> float | None:
        if c.bad is None or (c.decision == "review" and c.answer is None):
            return None
        declined = c.answer if c.decision == "review" else c.decision == "decline"
        wrong = 0.0 if declined == c.bad else 5.0 if declined else 120.0
        return wrong + (2.0 if c.decision == "review" else 0.0)

    each = list(itertools.chain.from_iterable([one(c)] * c.n for c in found if one(c) is not None))
    told = figures(*found).cost
    if not each:
        assert told is None
        return
    assert told is not None
    mean = sum(x for x in each if x is not None) / len(each)
    assert told.value == pytest.approx(mean)
    assert told.low <= told.value <= told.high
    if len(each) > 1:
        spread = sum((x - mean) ** 2 for x in each if x is not None) / (len(each) - 1)
        assert told.high - told.value == pytest.approx(1.96 * math.sqrt(spread / len(each)), rel=1e-3)


class World:
    """An engine over files, with a contract that refers to people."""

    def __init__(self, path: Path) -> None:
        self.path, self.now = path, START
        self.engine = Engine(
            Settings(
                model="loans",
                contract=contract(decision=RULE),
                keep=60 * DAY,
                grace=DAY,
                policy=Policy(min_rows=5, min_bad=1),
            ),
            Store(path / "store.sqlite"),
            {
                "decisions": matching(path, "loans-*.jsonl"),
                "feedback": exactly(path / "loans.feedback.jsonl"),
                "reviews": exactly(path / "loans.review.feedback.jsonl"),
            },
            clock=lambda: self.now,
        )

    def add(self, name: str, *lines: bytes) -> None:
        with (self.path / name).open("ab") as file:
            file.write(b"".join(lines))

    def look(self) -> str:
        while self.engine.read():
            pass
        self.engine.look()
        return TestClient(build_app(self.engine)).get("/metrics").text


def series(page: str, name: str) -> list[str]:
    return [line for line in page.splitlines() if line.startswith(f"{name}{{")]


def test_answers_are_labels_and_make_the_metrics(tmp_path: Path) -> None:
    world = World(tmp_path)
    refer = [decision(f"r{i}", probability=0.3, decision="review") for i in range(4)]
    world.add("loans-v1.jsonl", *refer, *[decision(f"a{i}") for i in range(6)])
    page = world.look()
    at = 'model="loans",predictor="champion"'
    assert f"serinus_review_load_ratio{{{at}}} 0.4" in page
    assert f"serinus_review_waiting{{{at}}} 4.0" in page
    assert f"serinus_review_oldest_timestamp_seconds{{{at}}} {START}" in page.replace("1.76e+09", str(START))
    for absent in ("override_ratio", "answers"):
        assert series(page, f"serinus_review_{absent}") == []
    assert series(page, "serinus_false_positives_saved") == []
    assert series(page, "serinus_cost_per_decision") == []

    world.add("loans.review.feedback.jsonl", review("r0", False, True), review("r1", True, True))
    page = world.look()
    assert f"serinus_review_override_ratio{{{at}}} 0.5" in page
    assert f"serinus_false_positives_saved{{{at}}} 1.0" in page
    assert f"serinus_review_waiting{{{at}}} 2.0" in page
    assert 'serinus_labels_total{model="loans",result="joined"} 2.0' in page

    world.add("loans.feedback.jsonl", *[feedback(f"a{i}", 0) for i in range(6)])
    world.now = START + 8 * DAY
    page = world.look()
    cost = f'serinus_cost_per_decision{{currency="EUR",{at}}} 0.5'  # two looks at 2 EUR over eight decisions
    assert cost in page.replace(f'{at},currency="EUR"', f'currency="EUR",{at}')


@pytest.mark.parametrize("first", ["review", "outcome"])
def test_an_outcome_that_is_known_later_goes_before_a_reviewers_word(tmp_path: Path, first: str) -> None:
    world = World(tmp_path)
    world.add("loans-v1.jsonl", decision("r", probability=0.3, decision="review"))
    word = ("loans.review.feedback.jsonl", review("r", False, True))
    chargeback = ("loans.feedback.jsonl", feedback("r", 1, at=START + 3 * DAY))
    page = ""
    for name, line in (word, chargeback) if first == "review" else (chargeback, word):
        world.add(name, line)
        page = world.look()
    assert 'serinus_false_positives_saved{model="loans",predictor="champion"} 0.0' in page


def test_what_is_forgotten_or_unreadable_leaves_nothing(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.add("loans-v1.jsonl", decision("r", decision="review"))
    world.add("loans.review.feedback.jsonl", b'{"request_id":"x"}\n', review("r", True, True))
    assert 'result="unreadable"} 1.0' in world.look()
    world.now = START + 61 * DAY
    page = world.look()
    assert series(page, "serinus_review_answers") == []


def test_the_small_contract_refers_somebody() -> None:
    assert small_contract().decision.review_at is not None
