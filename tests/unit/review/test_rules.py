"""What an answer means, and which way the model leaned."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from serinus.contract import Contract
from serinus.errors import SerinusError
from serinus.review import answer_of, leaning, words_of
from tests.support.bundles import small_contract


def contract(**costs: float) -> Contract:
    base = small_contract()
    none: dict[str, float | None] = {"cost_false_positive": None, "cost_false_negative": None}
    return replace(base, decision=replace(base.decision, **(none | costs)))


@pytest.mark.parametrize(
    ("probability", "costs", "bad"),
    [
        (0.49, {}, False),
        (0.5, {}, True),
        (0.1, {"cost_false_positive": 5.0, "cost_false_negative": 120.0}, True),  # 12 against 4.5
        (0.03, {"cost_false_positive": 5.0, "cost_false_negative": 120.0}, False),  # 3.6 against 4.85
        (0.9, {"cost_false_positive": 5.0}, True),  # one cost alone says nothing
    ],
)
def test_which_way_a_model_leans(probability: float, costs: dict[str, float], bad: bool) -> None:
    assert leaning(contract(**costs), probability) is bad


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0.01, 1e6), st.floats(0.01, 1e6))
def test_law_more_risk_never_leans_towards_good(p: float, q: float, fp: float, fn: float) -> None:
    by = contract(cost_false_positive=fp, cost_false_negative=fn)
    low, high = sorted((p, q))
    assert leaning(by, high) or not leaning(by, low)


@pytest.mark.parametrize(
    ("text", "bad"), [("bad", True), ("good", False), ("1", True), ("0", False), (" Bad ", True)]
)
def test_the_labels_values_are_answers(text: str, bad: bool) -> None:
    assert answer_of(small_contract(), text) is bad


def test_a_contract_has_its_own_words_first() -> None:
    base = small_contract()
    named = replace(
        base,
        label=replace(base.label, positive="Y", positive_words=("fraud",), negative_words=("legitimate",)),
    )
    assert words_of(named) == (("fraud", "Y", "bad"), ("legitimate", "0", "good"))
    assert answer_of(named, "Fraud")
    assert answer_of(named, "yes")
    assert not answer_of(named, "n")
    assert not answer_of(named, "legitimate")
    with pytest.raises(SerinusError, match="SRN-QUEUE-004.*fraud or Y or bad"):
        answer_of(named, "perhaps")


def test_the_repositorys_contracts_have_words_that_differ() -> None:
    from serinus.contract import load_contract

    for name, said in (("fraud", ("fraud", "legitimate")), ("credit", ("denied", "granted"))):
        bad, good = words_of(load_contract(f"models/{name}/contract.yaml"))
        assert (bad[0], good[0]) == said
        assert not set(bad) & set(good)
