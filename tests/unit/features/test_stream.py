"""The stream engine alone: idempotent, bounded, restartable, and never ahead of its labels."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from serinus.errors import SerinusError
from serinus.features import FeatureStream
from tests.unit.features.records import FEATURES, START, contract

HOUR = timedelta(hours=1)


def event(name: str, hours: float, **values: Any) -> dict[str, Any]:
    at = START + hours * HOUR
    base = {
        "id": name,
        "at": at,
        "seen": at,
        "card": "a",
        "shop": "x",
        "amount": 10.0,
        "kind": "chip",
        "online": True,
    }
    return {**base, **values}


def test_reading_features_changes_nothing() -> None:
    stream = FeatureStream(contract())
    stream.update(event("1", 0))
    before = stream.snapshot()
    assert stream.features(event("2", 1)) == stream.features(event("2", 1))
    assert stream.snapshot() == before


def test_the_same_event_twice_counts_once() -> None:
    stream = FeatureStream(contract())
    assert stream.update(event("1", 0))
    assert not stream.update(event("1", 0))
    assert not stream.update(event("1", 0.5, amount=99.0))
    assert stream.features(event("2", 1))["n_2h"] == 1.0
    assert stream.features(event("2", 1))["sum_6h"] == 10.0


@pytest.mark.parametrize(
    ("hours", "expected"),
    [(0.0, 0.0), (1 / 3600e6, 1.0), (2.0, 1.0), (2.0 + 1 / 3600e6, 0.0)],
    ids=["same moment", "one microsecond later", "exactly one window later", "a microsecond beyond"],
)
def test_a_window_holds_its_beginning_and_not_its_end(hours: float, expected: float) -> None:
    stream = FeatureStream(contract())
    stream.update(event("1", 0))
    assert stream.features(event("2", hours))["n_2h"] == expected


@pytest.mark.parametrize(("hours", "expected"), [(3.0, None), (3.5, 1.0), (6.0, 1.0), (6.5, None)])
def test_a_label_is_read_after_its_delay_and_within_the_window(hours: float, expected: float | None) -> None:
    stream = FeatureStream(contract())
    stream.update(event("1", 0))
    stream.label("1", "1", START + 1 * HOUR)
    assert stream.features(event("2", hours))["risk_3h"] == expected


def test_a_label_later_than_its_delay_is_read_only_from_then_on() -> None:
    stream = FeatureStream(contract())
    stream.update(event("1", 0))
    stream.update(event("2", 0.5, bad=0))
    stream.label("1", 1, START + 5 * HOUR)
    assert stream.features(event("3", 4))["risk_3h"] == 0.0
    assert stream.features(event("3", 4))["bad_6h"] == 0.0
    assert stream.features(event("3", 5.5))["bad_6h"] == 1.0


def test_a_label_that_overtakes_its_event_waits_for_it() -> None:
    stream = FeatureStream(contract())
    assert not stream.label("1", 1, START + HOUR)
    stream.update(event("1", 0, seen=START + 2 * HOUR))
    assert stream.features(event("2", 4))["risk_3h"] == 1.0


def test_a_corrected_label_replaces_the_first() -> None:
    stream = FeatureStream(contract())
    stream.update(event("1", 0))
    stream.label("1", 1, START + HOUR)
    stream.label("1", 0, START + 2 * HOUR)
    assert stream.features(event("2", 4))["risk_3h"] == 0.0


def test_an_event_without_the_entity_has_an_empty_past() -> None:
    stream = FeatureStream(contract())
    stream.update(event("1", 0, card=None))
    found = stream.features(event("2", 1, card=None))
    assert found["n_2h"] == 0.0
    assert found["mean_6h"] is None


def test_features_come_in_the_order_of_the_contract() -> None:
    found = FeatureStream(contract()).features(event("1", 0))
    assert tuple(found) == tuple(feature["name"] for feature in FEATURES)


def test_memory_holds_what_windows_and_lateness_need_and_no_more() -> None:
    stream = FeatureStream(contract(), lateness="1h")
    for n in range(20_000):
        stream.update(event(str(n), n / 60))
    stream.sweep()
    reach = 9 * 60 + 60  # shop: 6 h window and 3 h delay, one event a minute, one hour of lateness
    assert len(stream) <= 2 * (reach + 64 + 1)
    for n in range(100):
        stream.update(event(f"late {n}", 400, card=f"card {n}", shop=f"shop {n}"))
    stream.update(event("far", 10_000))
    stream.sweep()
    assert len(stream) == 2


def test_an_event_older_than_all_that_is_kept_is_counted_and_ignored() -> None:
    stream = FeatureStream(contract(), lateness="1h")
    stream.update(event("1", 100))
    assert not stream.update(event("2", 0))
    assert stream.dropped == 1


def test_a_damaged_or_foreign_snapshot_is_refused_and_the_state_kept() -> None:
    stream = FeatureStream(contract())
    stream.update(event("1", 0))
    other = FeatureStream(contract(features=[*FEATURES[:7], FEATURES[8]]))
    for snapshot in (b"nonsense", other.snapshot(), stream.snapshot()[:-20]):
        with pytest.raises(SerinusError) as caught:
            stream.restore(snapshot)
        assert caught.value.code == "SRN-FEATURES-006"
    assert stream.features(event("2", 1))["n_2h"] == 1.0


@pytest.mark.parametrize("at", [None, "soon", 12])
def test_a_record_without_a_usable_time_is_refused(at: object) -> None:
    with pytest.raises(SerinusError) as caught:
        FeatureStream(contract()).features({**event("1", 0), "at": at})
    assert caught.value.code == "SRN-FEATURES-005"


def test_a_value_of_the_wrong_type_is_passed_on_for_the_vectorizer_to_name() -> None:
    found = FeatureStream(contract()).features(event("1", 0, amount="abc"))
    assert found["amount"] == "abc"


def test_json_texts_give_the_same_features_as_typed_values() -> None:
    stream = FeatureStream(contract())
    stream.update(event("1", 0))
    typed = event("2", 1, card=7, amount=2.5)
    text = {**typed, "at": typed["at"].isoformat() + "Z", "card": "7", "amount": "2.5", "online": "true"}
    assert stream.features(text) == stream.features(typed)
