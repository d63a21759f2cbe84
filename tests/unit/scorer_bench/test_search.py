"""The search for the highest rate that holds."""

from __future__ import annotations

import pytest

from benchmarks.scorer.search import Verdict, highest


def server(limit: float, generator: float = 1e9):
    def probe(rate: float) -> Verdict:
        return "void" if rate > generator else "held" if rate <= limit else "failed"

    return probe


@pytest.mark.parametrize("limit", [3.0, 97.0, 1000.0, 23456.0])
@pytest.mark.parametrize("start", [2.0, 700.0, 50_000.0])
def test_it_finds_the_limit_within_the_precision_from_either_side(limit: float, start: float) -> None:
    found = highest(server(limit), start, precision=0.04)
    assert limit / 1.05 <= found.rate <= limit
    assert not found.limited


def test_a_server_that_holds_no_rate_has_none() -> None:
    found = highest(server(0.5), 100, least=2)
    assert found.rate == 0
    assert [rate for rate, _ in found.tried][-2:] == [2, 2]  # each failure is tried again


def test_one_unlucky_probe_costs_nothing() -> None:
    calls: list[float] = []

    def probe(rate: float) -> Verdict:
        calls.append(rate)
        return "failed" if len(calls) == 1 or rate > 500 else "held"

    assert 500 / 1.05 <= highest(probe, 400).rate <= 500


def test_a_rate_that_the_generator_cannot_offer_is_a_bound_and_no_verdict() -> None:
    found = highest(server(1e6, generator=5000), 1000)
    assert found.limited
    assert 5000 / 1.05 <= found.rate <= 5000


def test_it_stops_with_what_it_knows_when_the_time_is_up() -> None:
    left = iter([True] * 4 + [False] * 50)
    found = highest(server(1e6), 100, may_go_on=lambda: next(left))
    assert found.rate > 0
    assert len(found.tried) <= 4
