"""A request by entity: enriched, scored, remembered; refused by the contract's word."""

from __future__ import annotations

import json
from typing import Any

import pytest

from serinus.features import FeatureStream
from serinus.features.online import MemoryStore
from tests.support.entities import FEATURES, cards, payment, payments
from tests.unit.scorer_entities.support import V2, by_entity, by_tensors, rig, scorer


def expected(records: list[dict[str, Any]]) -> list[float]:
    """Probabilities by the stream engine and the bare scorer, one record after the other."""
    stream, made = FeatureStream(cards()), scorer()
    found: list[float] = []
    for record in records:
        found.append(made.one(made.vectorizer.encode(stream.features(record))).probability)
        stream.update(record)
    return found


def test_records_sent_one_by_one_are_scored_on_the_features_of_the_stream() -> None:
    made, records = rig(), payments(300)
    scored = [made.scores(record)[0] for record in records]
    assert scored == expected(records)
    assert len(set(scored)) > 50, "the model must tell them apart"


@pytest.mark.parametrize("size", [2, 7, 300])
def test_a_request_of_many_records_answers_as_many_requests_of_one(size: int) -> None:
    made, records = rig(), payments(300)
    scored: list[float] = []
    for start in range(0, len(records), size):
        scored += made.scores(*records[start : start + size])
    assert scored == expected(records)


def test_without_update_on_score_no_record_sees_another() -> None:
    made, records = rig(remember=False), payments(40)
    scored = made.scores(*records)
    assert scored == [made.scores(record)[0] for record in records]
    assert scored == [expected([record])[0] for record in records]


def test_both_protocols_answer_the_same() -> None:
    records = payments(20)
    tensors = rig().predict(by_tensors(*records), codec=V2)
    assert tensors.status == 200, tensors.body
    outputs = {o["name"]: o["data"] for o in json.loads(tensors.body)["outputs"]}
    assert outputs["probability"] == rig().scores(*records)


def test_the_decision_log_holds_the_vector_and_no_id() -> None:
    made = rig()
    made.scores(payment(1, 0, card="secret-card", shop="secret-shop"))
    made.scores(payment(2, 1, card="secret-card", shop="secret-shop", amount=20.0))
    assert made.vectors()[1] == (20.0, 0.0, 1.0, 1.0, 10.0, 10.0, None)
    assert "secret" not in str(made.sink.events)


def test_an_event_sent_twice_counts_once_and_one_without_id_not_at_all() -> None:
    made = rig()
    for record in (payment(1, 0), payment(1, 0.5), {k: v for k, v in payment(0, 0.6).items() if k != "id"}):
        made.scores(record)
    made.scores(payment(9, 1))
    assert made.vectors()[-1][3] == 1.0
    assert [made.metric("serinus_events_total", outcome=o) for o in ("added", "duplicate", "unnamed")] == [
        2,
        1,
        1,
    ]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"amount": "a lot"}, "jsonData.records[1].amount: is 'a lot'; expected a number"),
        ({"amount": True}, "jsonData.records[1].amount: is True; expected a number"),
        ({"amount": -1}, "jsonData.records[1].amount: is -1; the contract allows 0 and more"),
        ({"amount": 1e6}, "jsonData.records[1].amount: is 1000000.0; the contract allows 100,000 and less"),
        ({"amount": 10**400}, "jsonData.records[1].amount: is infinite or too large"),
        ({"amount": None}, "jsonData.records[1].amount: is missing, and the contract refuses a missing value"),
        ({"amount": "NA"}, "jsonData.records[1].amount: is missing, and the contract refuses a missing value"),
        ({"kind": "magic"}, "jsonData.records[1].kind: is 'magic'; the contract knows chip, web"),
        ({"kind": 3}, "jsonData.records[1].kind: is 3; expected one of its levels as text"),
        ({"kind": True}, "jsonData.records[1].kind: is True; expected one of its levels as text"),
        ({"kind": 1.5}, "jsonData.records[1].kind: is 1.5; expected one of its levels as text"),
        ({"till": 1.5}, "jsonData.records[1].till: is 1.5; expected a whole number"),
        ({"home": "perhaps"}, "jsonData.records[1].home: is 'perhaps'; expected true or false"),
        ({"at": "yesterday"}, "jsonData.records[1].at: is 'yesterday'; expected a time in ISO 8601"),
        ({"at": 1700000000}, "jsonData.records[1].at: is 1700000000; expected a time in ISO 8601"),
        ({"at": "0001-01-01T00:00:00+14:00"}, "jsonData.records[1].at: is '0001-01-01T00:00:00+14:00'; expected"),
        ({"at": None}, "jsonData.records[1].at: is missing, and the contract refuses a missing value"),
        ({"at": "9999-12-31T23:59:59"}, "jsonData.records[1].at: lies more than 86400 s ahead of the clock"),
        ({"card": None}, "jsonData.records[1].card: is missing, and the contract refuses a missing value"),
        ({"card": 1.5}, "jsonData.records[1].card: is 1.5; expected an id"),
        ({"card": "x" * 201}, "jsonData.records[1].card: has 201 characters; 200 at most"),
        ({"card": 10**200}, "jsonData.records[1].card: has more than 200 digits"),
        ({"id": "x" * 201}, "jsonData.records[1].id: has 201 characters; 200 at most"),
        ({"at": " " * 60 + "2026-01-05"}, "jsonData.records[1].at: has 70 characters; a time has 64 at most"),
        ({"card": "a\nb"}, "jsonData.records[1].card: has characters that cannot be printed"),
        ({"sex": "f"}, "jsonData.records[1].sex: is a protected attribute"),
        ({"sex": None}, "jsonData.records[1].sex: is a protected attribute"),
        ({"bad": 0}, "jsonData.records[1].bad: is the label; a request must not bring its own answer"),
        ({"n_2h": 1}, "jsonData.records[1].n_2h: is not a column of this contract"),
    ],
)  # fmt: skip
def test_what_the_contract_refuses_is_named_and_nothing_is_remembered(
    changes: dict[str, Any], says: str
) -> None:
    made = rig()
    assert made.refused(payment(1, 0), payment(2, 1, **changes)).startswith(f"400 {says}")
    assert made.vectors() == []
    made.scores(payment(3, 1))
    assert made.vectors()[0][3] == 0.0


def test_what_the_contract_allows_is_scored() -> None:
    made = rig()
    made.scores(payment(1, 0, shop=None))
    made.scores({k: v for k, v in payment(2, 1, till="NaN").items() if k != "home"})
    made.scores(payment(3, 2, card=7), payment(4, 2.5, card=7.0), payment(5, 3, card="7"))
    assert [vector[3] for vector in made.vectors()] == [0.0, 1.0, 0.0, 1.0, 2.0]


def test_an_unknown_entity_has_an_empty_past_and_is_counted() -> None:
    made = rig()
    made.scores(payment(1, 0))
    assert made.vectors()[0] == (10.0, 0.0, 1.0, 0.0, 0.0, None, None)
    made.scores(payment(2, 1))
    for entity in ("card", "shop"):
        assert made.metric("serinus_entity_unknown_total", entity=entity) == 1
    made.scores(payment(3, 100))  # what is beyond reach is not known any more
    assert made.metric("serinus_entity_unknown_total", entity="card") == 2
    assert made.metric("serinus_feature_missing_total", feature="mean_6h") == 2
    assert made.metric("serinus_feature_missing_total", feature="amount") == 0


def test_an_unknown_entity_is_refused_where_the_contract_says_so() -> None:
    contract = cards(entities={"card": {"column": "card", "unknown": "refuse"}, "shop": "shop"})
    made = rig(contract)
    refusal = "400 jsonData.records[0].card: names an unknown card, and the contract refuses that"
    assert made.refused(payment(1, 0)) == refusal
    assert made.refused(payment(1, 0)) == refusal, "a refused event must not make its card known"
    made.events({"records": [payment(0, 0)]})
    assert made.scores(payment(2, 1))


def test_a_late_event_is_refused_or_scored_as_the_contract_says_and_counted() -> None:
    early, late = payment(1, 10), payment(2, 3.9)
    made = rig()
    made.scores(early)
    assert made.scores(payment(3, 4.0)), "six hours back is not late"
    assert made.refused(late).startswith(
        "400 jsonData.records[0].at: lies more than 6h before the newest event"
    )
    assert made.metric("serinus_event_late_total") == 1
    event = {"id": "id", "time": "at", "lateness": "6h", "late": "allow"}
    lenient = rig(cards(event=event))
    lenient.scores(early)
    assert lenient.scores(late)
    assert lenient.metric("serinus_event_late_total") == 1


def test_a_feature_that_must_not_be_missing_refuses_the_entity_that_lacks_it() -> None:
    features = [{**f, "missing": "refuse"} if f["name"] == "mean_6h" else f for f in FEATURES]
    made = rig(cards(features=features))
    assert made.refused(payment(1, 0)) == (
        "400 jsonData.records[0].card: has no mean_6h, and the contract refuses it missing"
    )
    assert made.metric("serinus_feature_missing_total", feature="mean_6h") == 1
    made.events({"records": [payment(0, 0)]})
    assert made.scores(payment(1, 1))


def test_a_scorer_without_a_store_says_so_and_still_takes_vectors() -> None:
    made = rig()
    made.service._enricher = made.service._intake = None  # pyright: ignore[reportPrivateUsage]
    assert made.refused(payment(1, 0)).startswith(
        "400 jsonData.records: this scorer keeps no features by entity"
    )
    assert made.events({"records": []}).status == 400
    assert made.predict({"data": {"ndarray": [[10.0, "chip", 0, 1, 10.0, 10.0, None]]}}).status == 200


def test_vectors_are_scored_as_before_and_remembered_nowhere() -> None:
    made = rig(store=(store := MemoryStore(cards())))
    assert made.predict({"data": {"ndarray": [[10.0, "chip", 0, 1, 10.0, 10.0, None]]}}).status == 200
    assert len(store.stream) == 0


def test_no_records_are_no_request() -> None:
    assert rig().predict(by_entity()).status == 400
