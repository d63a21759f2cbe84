"""The law of the two engines: replaying a file gives each row its batch values."""

from __future__ import annotations

import heapq
import math
import random
import tempfile
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serinus.features import FeatureStream, compute_features
from tests.unit.features.records import START, contract, read_rows, write_records

LABEL_DELAY = timedelta(hours=3)

# A coarse grid makes ties, and events exactly on a window's edge, common.
record = st.fixed_dictionaries(
    {
        "id": st.integers(0, 30).map(str),
        "at": st.integers(0, 40).map(lambda step: START + timedelta(minutes=30 * step)),
        "late": st.sampled_from([0, 0, 0, 0, 30, 90, 600]),
        "card": st.sampled_from(["a", "b", None]),
        "shop": st.sampled_from(["x", "y"]),
        "amount": st.one_of(st.none(), st.floats(0, 1e6, width=32)),
        "kind": st.sampled_from(["chip", "web", None]),
        "online": st.booleans(),
        "bad": st.sampled_from([0, 1, None]),
        "group": st.just("g"),
    }
)


def with_arrival(raw: dict[str, Any]) -> dict[str, Any]:
    return {**raw, "seen": raw["at"] + timedelta(minutes=raw["late"])}


def batch(records: list[dict[str, Any]], directory: Path) -> dict[int, dict[str, Any]]:
    source = write_records(directory / "records.parquet", records)
    compute_features(contract(), source, directory / "features.parquet", threads=1)
    return {row["row_id"]: row for row in read_rows(directory / "features.parquet")}


def replay(records: list[dict[str, Any]], stream: FeatureStream) -> dict[int, dict[str, object]]:
    """Score and add each event when it arrives; deliver each label when it is known."""
    order = sorted(range(len(records)), key=lambda row: (records[row]["seen"], records[row]["at"], row))
    labels: list[tuple[Any, int]] = []
    rows: dict[int, dict[str, object]] = {}
    seen: set[str] = set()
    for row in order:
        event = records[row]
        while labels and labels[0][0] <= event["seen"]:
            known, about = heapq.heappop(labels)
            stream.label(records[about]["id"], records[about]["bad"], known)
        if event["id"] in seen:
            assert not stream.update(event)
            continue
        seen.add(event["id"])
        unlabelled = {name: value for name, value in event.items() if name != "bad"}
        rows[row] = stream.features(unlabelled)
        assert stream.update(unlabelled)
        heapq.heappush(labels, (event["at"] + LABEL_DELAY, row))
    return rows


def assert_same(streamed: dict[int, dict[str, object]], batched: dict[int, dict[str, Any]]) -> None:
    assert streamed.keys() == batched.keys()
    for row, features in streamed.items():
        for name, value in features.items():
            expected = batched[row][name]
            if isinstance(value, float) and isinstance(expected, float):
                # std of nearly equal values loses digits in one-pass formulas, in proportion to the values
                assert math.isclose(
                    value, expected, rel_tol=1e-9, abs_tol=1e-6 if name == "std_6h" else 1e-9
                ), (
                    row,
                    name,
                    value,
                    expected,
                )
            else:
                assert value == expected, (row, name, value, expected)


def naive(records: list[dict[str, Any]], row: int) -> dict[str, Any]:
    """The Feature docstring, word for word, over the whole file: an oracle for both engines."""
    hour = timedelta(hours=1)
    first: dict[str, int] = {}
    for index in sorted(range(len(records)), key=lambda i: (records[i]["seen"], records[i]["at"], i)):
        first.setdefault(records[index]["id"], index)
    now = records[row]

    def past(entity: str, window: int, delay: int) -> list[dict[str, Any]]:
        end = now["at"] - delay * hour
        return [
            event
            for index, event in enumerate(records)
            if first[event["id"]] == index
            and now[entity] is not None
            and event[entity] == now[entity]
            and end - window * hour <= event["at"] < end
            and event["seen"] <= now["at"]
        ]

    amounts = [e["amount"] for e in past("card", 6, 0) if e["amount"] is not None]
    bads = [e["bad"] for e in past("shop", 3, 3) if e["bad"] is not None]
    return {
        "day": float((now["at"].date() - date(1970, 1, 1)).days),
        "n_2h": float(len(past("card", 2, 0))),
        "n_6h": float(len(past("card", 6, 1))),
        "sum_6h": math.fsum(amounts),
        "mean_6h": math.fsum(amounts) / len(amounts) if amounts else None,
        "risk_3h": sum(bads) / len(bads) if bads else None,
    }


def random_records(count: int, seed: int) -> list[dict[str, Any]]:
    chance = random.Random(seed)
    records = [
        with_arrival(
            {
                "id": str(chance.randrange(count)),
                "at": START + timedelta(minutes=15 * chance.randrange(4 * 72)),
                "late": chance.choice([0, 0, 0, 0, 15, 120, 1000]),
                "card": chance.choice(["a", "b", "c", None]),
                "shop": chance.choice(["x", "y", "z"]),
                "amount": chance.choice([None, round(chance.lognormvariate(4, 1), 2)]),
                "kind": "chip",
                "online": chance.random() < 0.5,
                "bad": chance.choice([0, 0, 1, None]),
                "group": "g",
            }
        )
        for _ in range(count)
    ]
    return records


def test_both_engines_follow_the_definition_of_a_window(tmp_path: Path) -> None:
    records = random_records(600, seed=5)
    batched = batch(records, tmp_path)
    assert_same(replay(records, FeatureStream(contract(), lateness="2d")), batched)
    assert len(batched) < len(records), "the file must hold duplicates"
    for row in batched:
        expected = naive(records, row)
        for name, value in expected.items():
            assert batched[row][name] == (value if value is None else pytest.approx(value, rel=1e-9)), (
                row,
                name,
            )


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(record.map(with_arrival), min_size=1, max_size=40))
def test_replaying_late_duplicate_and_tied_events_gives_the_batch_values(
    records: list[dict[str, Any]],
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        assert_same(
            replay(records, FeatureStream(contract(), lateness="1d")), batch(records, Path(directory))
        )


def test_a_stream_restored_halfway_goes_on_as_if_never_stopped(tmp_path: Path) -> None:
    records = [{**event, "seen": event["at"]} for event in random_records(300, seed=6)]
    records = sorted(records, key=lambda event: event["at"])
    records = [{**event, "id": str(row)} for row, event in enumerate(records)]
    whole, first = FeatureStream(contract()), FeatureStream(contract())
    whole.warm(records[:150])
    first.warm(records[:150])
    second = FeatureStream(contract())
    second.restore(first.snapshot())
    for event in records[150:]:
        assert second.features(event) == whole.features(event)
        whole.update(event)
        second.update(event)
