"""Who was asked about is not in the decision log: neither entity ids nor protected attributes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serinus.events import DecisionLog
from serving.scorer.decisions import Recorder
from serving.scorer.service import V1, V2
from tests.support.entities import payment
from tests.unit.scorer_entities.support import NOW, by_entity, by_tensors, rig

secrets = st.text("ΑΒΓΔΕΖΗΘ☃", min_size=6, max_size=12) | st.sampled_from(
    ["4111111111111111", "5555555555554444", "customer-Jane-Q-Public"]
)


@settings(max_examples=25, deadline=None)
@given(card=secrets, shop=secrets, protected=secrets, event_id=secrets)
def test_entity_ids_event_ids_and_protected_attributes_are_not_in_the_logs_bytes(
    tmp_path_factory: pytest.TempPathFactory, card: str, shop: str, protected: str, event_id: str
) -> None:
    made = rig()
    path = tmp_path_factory.mktemp("log") / "log.jsonl"
    log = DecisionLog(path)
    made.service.recorder = Recorder(log, made.service.identity, now=lambda: NOW)
    plain: dict[str, Any] = payment(1, 700, card=card, shop=shop, id=event_id)
    answered = 0
    for record in (plain, {**plain, "sex": protected}, {**plain, "card_number": card}):
        for document, codec in ((by_entity(record), V1), (by_tensors(record), V2)):
            answered += made.predict(document, codec).status == 200
    assert answered >= 2
    made.service.recorder.write()
    log.close()
    content = path.read_bytes()
    assert content.count(b"\n") == answered
    for secret in (card, shop, protected, event_id):
        for written in (secret, json.dumps(secret)[1:-1]):
            assert written.encode() not in content
