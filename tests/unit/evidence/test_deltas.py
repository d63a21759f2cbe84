"""From counters to batches: restarts, gaps, late pods, unreadable values."""

from __future__ import annotations

import math

import numpy as np
import pytest

from serinus.evidence import Counter, Evidence, Guard, Plan, Sample, deltas, judge
from tests.unit.evidence.laws import gather, plan_of, sample, scrapes

NAN = float("nan")


def _counted(samples: list[Sample]) -> tuple[int, int, int, int]:
    state = gather(plan_of(), samples).guards[0]
    bad = np.frombuffer(state.bad, dtype="<i8")
    return state.n_stable, state.n_canary, int(bad[0]), int(bad[1])


def test_what_was_counted_before_the_rollout_is_no_evidence() -> None:
    assert _counted([sample(0, {"s": (9000, 90)}, {"c": (50, 50)})]) == (0, 0, 0, 0)


def test_units_between_two_scrapes_are_counted() -> None:
    assert _counted(
        [sample(0, {"s": (9000, 90)}, {"c": (50, 5)}), sample(15, {"s": (9100, 92)}, {"c": (61, 8)})]
    ) == (100, 11, 2, 3)


def test_a_gap_in_all_sources_loses_nothing() -> None:
    assert _counted(
        [
            sample(0, {"s": (0, 0)}, {"c": (0, 0)}),
            Sample(at=15, stable={}, canary={}),
            sample(90, {"s": (600, 3)}, {"c": (60, 1)}),
        ]
    ) == (600, 60, 3, 1)


def test_a_gap_in_the_canary_is_bridged_in_both_arms_by_one_longer_batch() -> None:
    """An incident during the gap must not be charged to the arm that came late: both arms span it."""
    samples = [
        sample(0, {"s": (0, 0)}, {"c": (0, 0)}),
        sample(15, {"s": (100, 50)}, {}),
        sample(30, {"s": (200, 51)}, {"c": (20, 6)}),
    ]
    assert _counted(samples[:2]) == (0, 0, 0, 0)
    assert _counted(samples) == (200, 20, 51, 6)


def test_a_pod_that_missed_a_scrape_is_left_out_of_the_next_batch() -> None:
    assert _counted(
        [
            sample(0, {"s": (0, 0)}, {"c1": (0, 0), "c2": (0, 0)}),
            sample(15, {"s": (100, 1)}, {"c1": (10, 0)}),
            sample(30, {"s": (200, 2)}, {"c1": (20, 0), "c2": (20, 20)}),
            sample(45, {"s": (300, 3)}, {"c1": (30, 0), "c2": (30, 21)}),
        ]
    ) == (300, 40, 3, 1)


def test_a_new_pod_enters_with_its_second_scrape_and_a_lost_one_leaves() -> None:
    assert _counted(
        [
            sample(0, {"s": (0, 0)}, {"c1": (0, 0)}),
            sample(15, {"s": (100, 1)}, {"c1": (10, 1), "c2": (7, 7)}),
            sample(30, {"s": (200, 2)}, {"c2": (17, 8)}),
        ]
    ) == (200, 20, 2, 2)


@pytest.mark.parametrize("arm", ["stable", "canary"])
def test_a_restarted_process_starts_a_new_baseline_in_either_arm_alike(arm: str) -> None:
    quiet, reset = [(0, 0), (100, 1), (200, 2)], [(1000, 10), (40, 40), (140, 41)]
    s, c = (reset, quiet) if arm == "stable" else (quiet, reset)
    n_s, n_c, bad_s, bad_c = _counted([sample(15 * k, {"s": s[k]}, {"c": c[k]}) for k in range(3)])
    assert {n_s, n_c} == {100, 200}
    assert (bad_s, bad_c) == ((1, 2) if arm == "stable" else (2, 1))


def test_one_counter_that_went_back_resets_all_counters_of_its_process() -> None:
    """The other metric's counters may have passed their old values already; they are unknowable all the
    same."""
    plan = Plan(guards=(Guard(name="a", metric="a"), Guard(name="b", metric="b")))

    def scrape(at: float, a: tuple[int, int], b: tuple[int, int]) -> Sample:
        quiet = {"a": Counter(at * 10, (at,)), "b": Counter(at * 10, (at,))}
        return Sample(
            at=at,
            stable={"s": quiet},
            canary={"c": {"a": Counter(a[0], (a[1],)), "b": Counter(b[0], (b[1],))}},
        )

    evidence = gather(plan, [scrape(0, (500, 5), (10, 1)), scrape(15, (30, 0), (30, 9))])
    assert [state.n_canary for state in evidence.guards] == [0, 0]


@pytest.mark.parametrize(
    "broken",
    [
        (NAN, NAN),
        (200.0, NAN),
        (NAN, 2.0),
        (math.inf, 2.0),
        (-1.0, 0.0),
        (200.0, 201.0),
        (200.5, 2.0),
        (200.0, 1.5),
        (200.0, 2.0, 1.0),
        (200.0,),
    ],
    ids=[
        "nan",
        "nan bad",
        "nan n",
        "infinite",
        "negative",
        "more bad than units",
        "fraction",
        "bad fraction",
        "edges",
        "no edge",
    ],
)
def test_what_cannot_be_read_is_as_if_it_had_not_been_scraped(broken: tuple[float, ...]) -> None:
    from tests.unit.evidence import laws

    laws.what_cannot_be_read_is_not_evidence(broken)


def test_units_and_bad_units_read_at_different_instants_are_left_out_together() -> None:
    assert _counted(
        [
            sample(0, {"s": (0, 0)}, {"c": (100, 10)}),
            sample(15, {"s": (100, 1)}, {"c": (102, 15)}),
            sample(30, {"s": (200, 2)}, {"c": (112, 15)}),
        ]
    ) == (200, 10, 2, 0)


def test_a_scrape_from_the_past_is_ignored() -> None:
    samples = scrapes([(100, 10, 1, 1), (100, 10, 2, 0)])
    assert gather(plan_of(), [*samples, samples[1]]) == gather(plan_of(), samples)


@pytest.mark.parametrize("at", [NAN, math.inf])
def test_a_scrape_without_a_time_is_ignored(at: float) -> None:
    samples = scrapes([(100, 10, 1, 1)])
    assert gather(plan_of(), [*samples, sample(at, {"s": (900, 9)}, {"c": (90, 9)})]) == gather(
        plan_of(), samples
    )


def test_silence_is_no_data_whatever_its_form() -> None:
    for canary in ({}, {"c": (NAN, NAN)}, {"c": (0.0, 0.0)}):
        verdict = judge(
            plan_of(), gather(plan_of(), [sample(15.0 * k, {"s": (100 * k, k)}, canary) for k in range(9)])
        )
        assert verdict.outcome == "no_data"


def test_counters_survive_packing() -> None:
    rng = np.random.default_rng(2)
    for top in (10**3, 10**7, 10**12):
        one = sample(
            0,
            {f"s{i}": tuple(sorted(rng.integers(0, top, 21).tolist(), reverse=True)) for i in range(5)},
            {"c": (top, top, 0)},
        )
        counters = deltas.read(one, {"errors"})
        again = deltas.unpack(deltas.pack(counters))
        assert again.spans == counters.spans
        assert (again.values == counters.values).all()
    assert deltas.unpack(b"") is deltas.NOTHING


def test_metrics_that_no_guard_reads_are_not_kept() -> None:
    evidence: Evidence = gather(plan_of(), [sample(0, {"s": (1, 0)}, {"c": (1, 0)}, metric="other")])
    assert evidence == gather(plan_of(), [])
