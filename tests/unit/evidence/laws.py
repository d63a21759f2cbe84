"""The laws of the evidence, as functions that raise AssertionError when broken.

Tests call them on the code as it is; ``test_mutants`` calls them on code broken on purpose and wants them
to raise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
from scipy.stats import nchypergeom_fisher

from serinus.evidence import Counter, Evidence, Guard, Plan, Sample, judge, start
from serinus.evidence import updating as engine
from serinus.evidence.updating import bad_of

Batch = tuple[int, int, int, int]  # n_stable, n_canary, bad_stable, bad_canary


def plan_of(**guard: object) -> Plan:
    """One guard on plain errors."""
    return Plan(guards=(Guard(name="errors", metric="errors", **guard),))  # type: ignore[arg-type]


def sample(
    at: float,
    stable: dict[str, tuple[float, ...]],
    canary: dict[str, tuple[float, ...]],
    share: float | None = None,
    metric: str = "errors",
) -> Sample:
    """A scrape from source → (n, bad...)."""

    def arm(sources: dict[str, tuple[float, ...]]) -> dict[str, dict[str, Counter]]:
        return {name: {metric: Counter(counts[0], tuple(counts[1:]))} for name, counts in sources.items()}

    return Sample(at=at, stable=arm(stable), canary=arm(canary), canary_share=share)


def scrapes(batches: Sequence[Batch], every: float = 15.0, first: float = 0.0) -> list[Sample]:
    """Cumulative scrapes of one stable and one canary process; the first only sets the baseline."""
    total = np.zeros(4)
    out = [sample(first, {"s": (0, 0)}, {"c": (0, 0)})]
    for k, batch in enumerate(batches, start=1):
        total += batch
        n_s, n_c, bad_s, bad_c = total.tolist()
        out.append(sample(first + k * every, {"s": (n_s, bad_s)}, {"c": (n_c, bad_c)}))
    return out


def gather(plan: Plan, samples: Sequence[Sample], evidence: Evidence | None = None) -> Evidence:
    """All samples taken in."""
    evidence = evidence or start(plan)
    for one in samples:
        evidence = engine.update(plan, evidence, one)
    return evidence


def e_value(plan: Plan, evidence: Evidence) -> float:
    """The combined evidence of harm."""
    return 10 ** judge(plan, evidence).log10_e


def odds_share(base: float, ratio: float) -> float:
    """The share whose odds are ``ratio`` times those of ``base``."""
    odds = base / (1 - base) * ratio
    return odds / (1 + odds)


def evidence_is_a_supermartingale(
    history: Sequence[Batch], batch: tuple[int, int, int], ratio: float = 1.25, every: float = 15.0
) -> None:
    """Whatever was seen before, one more batch does not raise the expected evidence of a canary within its
    margin.

    Exact: with the margins of the next batch given, its canary's bad units follow Fisher's law at
    ``ratio``; the expectation over them is summed, not sampled.
    """
    plan = plan_of()
    n_s, n_c, total = batch
    past = scrapes(history, every)
    before = gather(plan, past)
    now = e_value(plan, before)
    low, high = max(0, total - n_s), min(n_c, total)
    expected = 0.0
    for bad_c in range(low, high + 1):
        after = gather(plan, [scrapes([*history, (n_s, n_c, total - bad_c, bad_c)], every)[-1]], before)
        expected += float(nchypergeom_fisher.pmf(bad_c, n_s + n_c, total, n_c, ratio)) * e_value(plan, after)
    assert expected <= now * (1 + 1e-5), f"expected evidence rises from {now} to {expected}"


def every_unit_counts_once(batches: Sequence[Batch]) -> None:
    """The units in the evidence are those between the first scrape and the last, each once."""
    plan = plan_of()
    state = gather(plan, scrapes(batches)).guards[0]
    bad_s, bad_c = bad_of(state)
    counted = (state.n_stable, state.n_canary, int(bad_s.sum()), int(bad_c.sum()))
    assert counted == tuple(np.sum(batches, axis=0).tolist())


def a_repeated_scrape_changes_nothing(batches: Sequence[Batch]) -> None:
    """Scrapes delivered twice, and old ones delivered again, leave the evidence as it is."""
    plan = plan_of()
    samples = scrapes(batches)
    once = gather(plan, samples)
    assert gather(plan, [s for one in samples for s in (one, one)]) == once
    assert gather(plan, samples, once) == once


def by_json(plan: Plan, evidence: Evidence) -> Evidence:
    """A restart: the evidence goes out to the status of a resource and comes back."""
    return msgspec.json.decode(msgspec.json.encode(evidence), type=Evidence)


def a_restart_changes_nothing(
    batches: Sequence[Batch], restart: Callable[[Plan, Evidence], Evidence] = by_json
) -> None:
    """A controller that restarts after every scrape ends with the same evidence as one that never did."""
    plan = plan_of()
    whole = evidence = start(plan)
    for one in scrapes(batches):
        whole = engine.update(plan, whole, one)
        evidence = engine.update(plan, restart(plan, evidence), one)
    assert evidence == whole


def what_cannot_be_read_is_not_evidence(broken: tuple[float, ...]) -> None:
    """A source whose counter cannot be read is as good as a source that was not scraped."""
    plan = plan_of()
    steady = {"s": (1000.0, 5.0)}

    def run(second: dict[str, tuple[float, ...]]) -> Evidence:
        return gather(
            plan,
            [
                sample(0, steady, {"c1": (100, 1), "c2": (100, 1)}),
                sample(15, {"s": (2000, 10)}, {"c1": (200, 2), **second}),
                sample(30, {"s": (3000, 15)}, {"c1": (300, 3), "c2": (300, 3)}),
            ],
        )

    assert run({"c2": broken}) == run({})


def a_better_canary_is_never_harm(**guard: object) -> None:
    """One-sided guards take no offence at a canary with fewer bad units."""
    plan = plan_of(**guard)
    evidence = gather(plan, scrapes([(2000, 200, 200, 0)] * 40))
    verdict = judge(plan, evidence)
    assert verdict.outcome != "harm"
    assert verdict.log10_e <= 0
