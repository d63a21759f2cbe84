"""The guard of CPU per request: the least of the rounds counts, held to what was stored."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.scorer.guard import KEYS, MARGIN, STORED, judge
from benchmarks.scorer.systems import all_systems

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("spent", "ratio", "held"),
    [
        ([30.0], 3.0, True),
        ([90.0, 30.0, 60.0], 3.0, True),  # a neighbour's noise only adds
        ([37.5], 3.75, True),
        ([40.0], 4.0, False),
    ],
)
def test_a_ratio_is_held_to_the_stored_one_with_a_margin(
    spent: list[float], ratio: float, held: bool
) -> None:
    (verdict,) = judge({"null": [14.0, 10.0], "ours-never": spent}, {"ours-never": 2.5}, 1.5)
    assert (verdict.ratio, verdict.bound, verdict.held) == (ratio, 3.75, held)


def test_a_row_without_a_stored_ratio_is_held_to_nothing() -> None:
    (verdict,) = judge({"null": [10.0], "ours-never": [1000.0]}, {})
    assert verdict.held


def test_a_slower_null_server_excuses_nothing() -> None:
    """Both sides are the least of the same rounds, so one bad round of the null server does not widen the bound."""
    (verdict,) = judge({"null": [10.0, 40.0], "ours-never": [80.0, 80.0]}, {"ours-never": 2.5})
    assert not verdict.held


def test_every_guarded_row_exists_and_has_a_stored_ratio() -> None:
    stored = json.loads((ROOT / STORED).read_text())
    assert set(stored["ratio"]) == set(KEYS)
    assert set(KEYS) <= {s.key for s in all_systems()}
    assert stored["margin"] == MARGIN


def test_the_rows_of_the_benchmark_have_names_of_their_own() -> None:
    keys = [s.key for s in all_systems()]
    assert len(keys) == len(set(keys))
