"""What the drift monitor gets of a request by entity: the features that were scored, and nobody's id."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from serving.drift.payload import read_rows
from serving.scorer.payloads import REQUEST, RESPONSE
from serving.scorer.service import Codec
from tests.support.entities import payment
from tests.unit.scorer_entities.support import V1, V2, by_entity, by_tensors, rig


@pytest.mark.parametrize(("codec", "form"), [(V1, by_entity), (V2, by_tensors)])
def test_the_monitor_reads_features(codec: Codec, form: Callable[..., Any]) -> None:
    made = rig()
    records = [payment(1, 0, card="somebody"), payment(2, 1, card="somebody", kind="web")]
    made.predict(form(*records), codec)
    (asked, _, _, request), (answered, _, _, answer) = made.payloads.kept
    assert (asked, answered) == (REQUEST, RESPONSE)
    table = read_rows(request)
    assert table.names == made.service.scorer.contract.feature_names
    assert table.rows == [
        [10.0, "chip", 1.0, 0.0, 0.0, None, None],
        [10.0, "web", 1.0, 1.0, 10.0, 10.0, None],
    ]
    assert b"somebody" not in request + answer


@pytest.mark.parametrize(("codec", "form"), [(V1, by_entity), (V2, by_tensors)])
def test_of_a_refused_request_the_monitor_reads_nothing(codec: Codec, form: Callable[..., Any]) -> None:
    made = rig()
    reply = made.predict(form(payment(1, 0, card="somebody", amount=-1.0)), codec)
    assert reply.status == 400
    assert made.payloads.kept == []
