"""A guard on the processor: what a decision costs, beside what a server costs that only answers."""

from __future__ import annotations

import pytest

from tests.local.scorer.cpu import compare

pytestmark = pytest.mark.local
# 4.5 to 5.7 with the decision log on, on two cores that others were using; neighbours harm the
# caches of the larger program more, so the margin is wide.
MEASURED = 5.7
MARGIN = 1.75


def test_a_decision_costs_a_bounded_multiple_of_an_answer() -> None:
    ours, floor = compare(9000, "--explain", "never")
    assert ours / floor < MEASURED * MARGIN, f"{ours:.0f} us against {floor:.0f} us"
