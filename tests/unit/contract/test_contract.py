"""A contract is read once, strictly; every contradiction is named at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from serinus.contract import dump_contract, load_contract, parse_contract
from serinus.errors import SerinusError


def document(**changes: Any) -> dict[str, Any]:
    """A sound contract with a window and a label delay; keys may be replaced."""
    sound: dict[str, Any] = {
        "apiVersion": "serinus.io/v1",
        "kind": "DataContract",
        "name": "cards",
        "columns": {
            "id": {"type": "id"},
            "at": {"type": "timestamp"},
            "card": {"type": "id"},
            "amount": {"type": "number", "min": 0},
            "race": {"type": "category"},
            "fraud": {"type": "integer"},
        },
        "event": {"id": "id", "time": "at"},
        "entities": {"card": "card"},
        "label": {"column": "fraud", "delay": "7d"},
        "features": [
            {"name": "amount", "column": "amount"},
            {"name": "spent_7d", "entity": "card", "aggregate": "sum", "column": "amount", "window": "7d"},
        ],
    }
    return {**sound, **changes}


def features(*added: dict[str, Any]) -> dict[str, Any]:
    return document(features=[{"name": "amount", "column": "amount"}, *added])


def test_a_sound_contract_survives_the_way_to_json_and_back() -> None:
    contract = parse_contract(document(), where="test")
    assert parse_contract(dump_contract(contract), where="test") == contract


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        pytest.param(document(labels={}), "unknown field `labels`", id="a misspelt key"),
        pytest.param(document(name="Not A Name"), "matching regex", id="a name no label may carry"),
        pytest.param(document(version=0), ">= 1", id="a version before the first"),
        pytest.param({"apiVersion": "serinus.io/v1"}, "missing required field", id="nothing but a header"),
        pytest.param([1, 2], "Expected `object`", id="a list"),
        pytest.param(None, "Expected `object`", id="an empty file"),
    ],
)
def test_a_document_of_another_form_is_refused(wrong: object, says: str) -> None:
    with pytest.raises(SerinusError) as caught:
        parse_contract(wrong, where="c.yaml")
    assert caught.value.code == "SRN-CONTRACT-004"
    assert says in caught.value.what


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (document(label={"column": "nope"}), 'label.column names column "nope"'),
        (document(label={"column": "fraud", "delay": "soon"}), "label.delay: 'soon' is not a duration"),
        (document(event={"time": "amount"}), "whose type is number, not timestamp"),
        (document(entities={"card": "cardd"}), 'entities.card names column "cardd"'),
        (document(features=[]), "a model needs at least one"),
        (document(protected=[{"column": "amount"}]), "protected attribute amount is used by a feature"),
        (document(decision={"review_at": 0.9, "decline_at": 0.5}), "review_at 0.9 is above decline_at 0.5"),
        (features({"name": "amount", "column": "amount"}), '"amount" is used 2 times'),
        (features({"name": "y", "column": "fraud"}), "it is the label itself"),
        (features({"name": "c", "column": "card"}), "type id cannot be a model input"),
        (features({"name": "n", "entity": "card", "aggregate": "count"}), "an aggregate needs a window"),
        (features({"name": "n", "entity": "shop", "aggregate": "count", "window": "1d"}), 'entity "shop"'),
        (
            features({"name": "r", "entity": "card", "aggregate": "mean", "column": "fraud", "window": "7d"}),
            "the label is known only after 7d",
        ),
        (
            document(fairness={"jurisdiction": "x", "measures": [{"measure": "adverse_impact_ratio"}]}),
            "takes min, not max",
        ),
    ],
)
def test_a_contradiction_is_named(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(SerinusError) as caught:
        parse_contract(wrong, where="c.yaml")
    assert caught.value.code == "SRN-CONTRACT-005"
    assert says in caught.value.what


def test_all_contradictions_are_named_at_once() -> None:
    wrong = document(label={"column": "nope"}, entities={"card": "nope"})
    with pytest.raises(SerinusError, match=r"label\.column.*entities\.card"):
        parse_contract(wrong, where="c.yaml")


def test_a_label_feature_that_waits_for_the_label_is_sound() -> None:
    window = {
        "name": "r",
        "entity": "card",
        "aggregate": "mean",
        "column": "fraud",
        "window": "7d",
        "delay": "7d",
    }
    parse_contract(features(window), where="c.yaml")


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        (None, "SRN-CONTRACT-001", "c.yaml"),
        ("a: b\n  c: [", "SRN-CONTRACT-002", "line 2"),
        ("- 1", "SRN-CONTRACT-004", "c.yaml"),
    ],
)
def test_a_file_that_is_no_contract_names_its_place(
    tmp_path: Path, text: str | None, code: str, place: str
) -> None:
    path = tmp_path / "c.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SerinusError) as caught:
        load_contract(path)
    assert caught.value.code == code
    assert place in caught.value.where


@pytest.mark.parametrize(
    ("name", "allowed"), [("amount", False), ("spent_7d", False), ("mean_7d", True), ("strict_7d", False)]
)
def test_what_may_be_missing_follows_from_the_declaration(name: str, allowed: bool) -> None:
    mean = {"entity": "card", "aggregate": "mean", "column": "amount", "window": "7d"}
    document_ = document()
    document_["features"] += [{"name": "mean_7d", **mean}, {"name": "strict_7d", "missing": "refuse", **mean}]
    contract = parse_contract(document_, where="test")
    assert contract.allows_missing(contract.feature(name)) is allowed


def test_an_entity_is_a_column_or_says_what_an_unknown_one_means() -> None:
    short = parse_contract(document(), where="test")
    long = parse_contract(
        document(entities={"card": {"column": "card", "unknown": "refuse"}}, event={**document()["event"]}),
        where="test",
    )
    assert (short.entity("card").column, short.entity("card").unknown) == ("card", "allow")
    assert (long.entity("card").column, long.entity("card").unknown) == ("card", "refuse")
    assert parse_contract(dump_contract(long), where="test") == long
    assert (short.event.lateness, short.event.late) == ("7d", "refuse")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (document(entities={"card": {"column": "nowhere"}}), 'entities.card names column "nowhere"'),
        (document(event={"id": "id", "time": "at", "lateness": "soon"}), "event.lateness"),
    ],
)
def test_a_wrong_entity_or_lateness_is_named(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(SerinusError) as caught:
        parse_contract(wrong, where="test")
    assert says in str(caught.value)
