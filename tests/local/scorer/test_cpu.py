"""A guard on the processor: what a decision costs, beside what a server costs that only answers."""

from __future__ import annotations

import pytest

from tests.local.scorer.cpu import compare

pytestmark = pytest.mark.local
# Measured on a quiet machine: docs/decisions/scorer-http-stack.md. The margin is for
# neighbours, whose harm to caches grows with the code that runs.
MEASURED = 3.5
MARGIN = 2.5


def test_a_decision_costs_a_bounded_multiple_of_an_answer() -> None:
    ours, floor = compare(9000, "--explain", "never")
    assert ours / floor < MEASURED * MARGIN, f"{ours:.0f} us against {floor:.0f} us"
