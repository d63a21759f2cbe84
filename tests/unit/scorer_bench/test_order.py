"""What is measured when: what the targets rest on first and repeatedly, so that a run cut short lacks the least."""

from __future__ import annotations

import pytest

from benchmarks.scorer.run import order
from benchmarks.scorer.systems import System, all_systems


def steps(rounds: int, seed: int = 6) -> list[str | tuple[int, str]]:
    return [
        step if isinstance(step, str) else (step[0], step[1].key) for step in order(SYSTEMS, rounds, seed)
    ]


SYSTEMS: list[System] = all_systems()
HEADLINE = {s.key for s in SYSTEMS if s.headline}


@pytest.mark.parametrize("rounds", [1, 2, 3, 5])
def test_headline_rows_stand_in_every_round_and_every_other_row_once(rounds: int) -> None:
    found = [step for step in steps(rounds) if isinstance(step, tuple)]
    wanted = [(r, key) for r in range(rounds) for key in HEADLINE]
    wanted += [(0, s.key) for s in SYSTEMS if not s.headline]
    assert sorted(found) == sorted(wanted)


def test_the_first_round_of_the_headline_rows_comes_first_and_then_the_batches() -> None:
    found = steps(3)
    first = found[: len(HEADLINE)]
    assert {step[1] for step in first if isinstance(step, tuple)} == HEADLINE
    assert found[len(HEADLINE) : len(HEADLINE) + 2] == ["batches", "crosscheck"]


def test_rounds_lie_apart_and_are_shuffled_by_the_seed() -> None:
    found = steps(3)
    ends = [
        max(i for i, step in enumerate(found) if isinstance(step, tuple) and step[0] == r) for r in (1, 2)
    ]
    between = [step for step in found[ends[0] + 1 : ends[1]] if isinstance(step, tuple) and step[0] == 0]
    assert between
    assert steps(3) == steps(3)
    assert steps(3) != steps(3, seed=7)


def test_the_targets_rest_on_rows_that_are_measured_more_than_once() -> None:
    assert {"null", "ours-never-off", "ours-never", "ours-always"} <= HEADLINE
