"""Events, labels and outcomes from the stream: taken whole or not at all, and once each."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.entities import COLUMNS, START, cards, payment
from tests.unit.scorer_entities.support import Rig, rig

DAY = 24.0


def lines(*items: dict[str, Any]) -> bytes:
    return b"\n".join(json.dumps(item).encode() for item in items)


def at(hours: float) -> str:
    return (START + timedelta(hours=hours)).isoformat()


def taken(made: Rig, body: Any, *, as_lines: bool = False) -> dict[str, int]:
    reply = made.events(body, lines=as_lines)
    assert reply.status == 200, reply.body
    return {name: count for name, count in json.loads(reply.body).items() if count}


def risk(made: Rig, hours: float, shop: str = "x") -> float | None:
    """The share of bad payments at the shop that a payment at that hour is scored on."""
    made.scores({k: v for k, v in payment(0, hours, shop=shop).items() if k != "id"})
    return made.vectors()[-1][6]


@pytest.mark.parametrize("as_lines", [False, True])
def test_records_enter_the_histories_once(as_lines: bool) -> None:
    made = rig()
    records = [payment(1, 0), payment(2, 0.5), payment(1, 0.7)]
    body = lines(*records) if as_lines else {"records": records}
    assert taken(made, body, as_lines=as_lines) == {"added": 2, "duplicate": 1}
    assert taken(made, body, as_lines=as_lines) == {"duplicate": 3}
    made.scores(payment(9, 1))
    assert made.vectors()[0][3] == 2.0
    assert made.metric("serinus_events_total", outcome="duplicate") == 4


def test_an_event_older_than_everything_kept_is_late() -> None:
    made = rig()
    # The longest window with its delay reaches 27 h back, and 6 h more are kept.
    assert taken(made, {"records": [payment(1, 40), payment(2, 7), payment(3, 6.9)]}) == {
        "added": 2,
        "late": 1,
    }


def test_a_record_of_the_past_may_bring_its_label() -> None:
    made = rig()
    assert taken(made, {"records": [payment(1, 0, bad=1), payment(2, 0, bad=0), payment(3, 0)]}) == {
        "added": 3
    }
    assert risk(made, 2.9) is None, "the label is known three hours later"
    assert risk(made, 3.1) == 0.5


@pytest.mark.parametrize("as_lines", [False, True])
def test_a_label_comes_by_event_id_and_is_read_from_when_it_was_known(as_lines: bool) -> None:
    made = rig()
    made.scores(payment(1, 0))
    label = {"event_id": 1, "value": 1, "at": at(5)}
    body = lines({"label": label}) if as_lines else {"labels": [label]}
    assert taken(made, body, as_lines=as_lines) == {"labels": 1}
    assert [risk(made, hours) for hours in (4.9, 5.1)] == [None, 1.0]


def test_a_label_that_overtakes_its_event_waits_for_it() -> None:
    made = rig()
    assert taken(made, {"labels": [{"event_id": 1, "value": 1, "at": at(1)}]}) == {"labels_waiting": 1}
    assert taken(made, {"records": [payment(1, 0)]}) == {"added": 1}
    assert risk(made, 4) == 1.0


def test_a_label_comes_by_the_request_it_was_decided_under() -> None:
    made = rig()
    made.scores(payment(1, 0), request_id="one")
    made.scores(payment(2, 0.1), payment(3, 0.2), request_id="two")
    labels = [
        {"request_id": name, "value": value, "at": at(4)}
        for name, value in (("one", 1), ("two.0", 0), ("two.1", 0))
    ]
    assert taken(made, {"labels": [*labels, {"request_id": "never", "value": 1}]}) == {
        "labels": 3,
        "labels_waiting": 1,
    }
    assert risk(made, 5) == pytest.approx(1 / 3)


@pytest.mark.parametrize(("request_id", "truth"), [("one", [[1]]), ("two", [[1], [None]])])
def test_feedback_is_a_label_known_when_it_came(request_id: str, truth: list[list[Any]]) -> None:
    came = START + timedelta(hours=4)
    made = rig(now=came.replace(tzinfo=UTC).timestamp())
    made.scores(payment(1, 0), request_id="one")
    made.scores(payment(2, 0), payment(3, 0), request_id="two")
    body = {"response": {"meta": {"puid": request_id}}, "truth": {"data": {"ndarray": truth}}}
    reply = made.service.feedback(json.dumps(body).encode(), None)
    assert getattr(reply, "status", 200) == 200
    assert [risk(made, hours) for hours in (3.9, 4.1)] == [None, 1.0]


@pytest.mark.parametrize(
    ("body", "as_lines", "says"),
    [
        ({"records": [payment(1, 0), payment(2, 0, amount="x")]}, False, "records[1].amount: is 'x'; expected"),
        ({"records": [payment(1, 0), payment(2, 0, sex="f")]}, False, "records[1].sex: is a protected attribute"),
        ({"record": []}, False, "Object contains unknown field `record`"),
        ({"labels": [{"value": 1}]}, False, "labels[0]: give exactly one of event_id and request_id"),
        ({"labels": [{"event_id": 1, "request_id": "a", "value": 1}]}, False, "labels[0]: give exactly one of"),
        ({"labels": [{"event_id": 1, "value": None}]}, False, "labels[0].value: is missing"),
        ({"labels": [{"event_id": 1, "value": 1, "at": "soon"}]}, False, "labels[0].at: is 'soon'; expected a time"),
        (lines(payment(1, 0)) + b"\n\n{", True, "line 3: the body is not JSON"),
        (lines(payment(1, 0), payment(2, 0, home=3)), True, "line 2: home: is 3; expected true or false"),
        (lines(payment(1, 0), {"label": {"event_id": 1}}), True, "line 2: Object missing required field `value`"),
        (b"[1, 2]", True, "line 1: Expected `object`, got `array`"),
        (b"", False, "the body is empty"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_and_nothing_of_the_batch_is_taken(
    body: Any, as_lines: bool, says: str
) -> None:
    made = rig()
    reply = made.events(body, lines=as_lines)
    assert (reply.status, json.loads(reply.body)["status"]["info"][: len(says)]) == (400, says)
    made.scores(payment(9, 1))
    assert made.vectors()[0][3] == 0.0


def test_a_record_from_the_future_would_make_the_store_forget_and_is_refused() -> None:
    made = rig()
    reply = made.events({"records": [payment(1, 0, at=datetime(2999, 1, 1).isoformat())]})
    assert b"lies more than 86400 s ahead of the clock" in reply.body


LONG = "x" * 201


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"records": [payment(LONG, 0)]}, "records[0].id: has 201 characters; 200 at most"),
        ({"records": [payment(10**200, 0)]}, "records[0].id: has more than 200 digits"),
        ({"records": [payment(1, 0, shop=LONG)]}, "records[0].shop: has 201 characters; 200 at most"),
        ({"records": [payment(1, 0, bad=LONG)]}, "records[0].bad: has 201 characters; 200 at most"),
        ({"labels": [{"event_id": LONG, "value": 1}]}, "labels[0].event_id: has 201 characters; 200 at most"),
        ({"labels": [{"event_id": -(10**200), "value": 1}]}, "labels[0].event_id: has more than 200 digits"),
        ({"labels": [{"request_id": LONG, "value": 1}]}, "labels[0].request_id: has 201 characters; 200 at"),
        ({"labels": [{"event_id": 1, "value": LONG}]}, "labels[0].value: has 201 characters; 200 at most"),
        ({"labels": [{"event_id": 1, "value": 1, "at": " " * 65}]}, "labels[0].at: has 65 characters; a time has"),
    ],
)  # fmt: skip
def test_what_would_be_remembered_is_no_longer_than_that(body: Any, says: str) -> None:
    reply = rig().events(body)
    assert (reply.status, json.loads(reply.body)["status"]["info"][: len(says)]) == (400, says)


def test_an_entity_is_bounded_whatever_the_type_of_its_column() -> None:
    columns = {**COLUMNS, "shop": {"type": "category", "missing": "allow"}, "till": {"type": "number"}}
    made = rig(cards(columns=columns, entities={"card": "card", "shop": "shop", "till": "till"}))
    refusal = "400 jsonData.records[0].shop: has 201 characters; 200 at most"
    assert made.refused(payment(1, 0, till=1, shop=LONG)) == refusal
    assert (
        made.refused(payment(1, 0, till=10**200)) == "400 jsonData.records[0].till: has more than 200 digits"
    )
    assert made.scores(payment(1, 0, till=1, shop="x" * 200))
