"""The e-detector: its guarantee, when it fires, and that it stays silent."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from serinus.errors import SerinusError
from serinus.watching import Detector, Evidence, Plan, Tally, ball, build_baseline

from . import laws, worlds

Floats = NDArray[np.float64]
BASE = worlds.baseline()
WEEK = Plan(budget="7d", look="1h")

shares = st.lists(st.floats(0.02, 1), min_size=3, max_size=3).map(lambda v: np.array(v) / sum(v))


@settings(max_examples=200, deadline=None)
@given(shares, st.lists(st.floats(0.05, 20), min_size=3, max_size=3), st.floats(0, 0.5), shares)
def test_a_row_is_worth_at_most_one_under_every_law_of_the_ball(
    centre: Floats, payoff: list[float], radius: float, other: Floats
) -> None:
    distance = float(np.sqrt(np.sum((other - centre) ** 2 / centre)))
    law = centre + min(1.0, radius / distance) * (other - centre) if distance > 1e-9 else centre
    e = np.exp(ball.log_payoff(np.array(payoff), centre, np.array(radius)))
    assert float(law @ e) <= 1 + 1e-12


@pytest.mark.parametrize("direction", [(1.0, 0.0, 0.0), (-1.0, 0.0, 1.0), (0.0, 1.0, -1.0), (0.0, 0.0, 1.0)])
@pytest.mark.parametrize("history", [0, 6])
def test_a_look_is_worth_at_most_one_under_the_farthest_law_of_the_null(
    direction: tuple[float, ...], history: int
) -> None:
    base, plan = laws.three_cells(), Plan(min_rows=1, tolerance=0.02)
    watch = Detector(plan, base)
    evidence = watch.start()
    for k in range(history):  # the learning bets have learned something false
        tally = Tally(base)
        tally.add(np.random.default_rng(k).choice(3, (400, 1), p=[0.2, 0.3, 0.5]).astype(float))
        evidence = watch.update(evidence, tally.take())
    means = laws.look_means(watch, evidence, laws.on_the_edge(base, plan, np.array(direction)), 4)
    assert means.max() <= 1 + 1e-6
    assert means.max() > 0.5, "the bets are on something"


def test_dependence_is_paid_for_by_the_root() -> None:
    base, history = laws.three_cells(), np.random.default_rng(3).choice(3, (400, 1), p=[0.2, 0.3, 0.5])
    found = {}
    for m in (1.0, 3.0):
        plan = Plan(min_rows=1, dependence=m)
        watch, tally = Detector(plan, base), Tally(base)
        tally.add(history.astype(float))
        evidence = watch.update(watch.start(), tally.take())
        law = laws.on_the_edge(base, plan, np.zeros(3))
        found[m] = laws.look_means(watch, evidence, law, 3, copies=3).max()
    assert found[3.0] <= 1 + 1e-6, "each row comes three times, and three is what the plan says"
    assert found[1.0] > 1.01, "unsaid, it would be taken for evidence"


def test_the_run_length_is_kept_at_the_edge_of_the_null() -> None:
    base, plan = laws.three_cells(), Plan(budget="50h", look="1h", tolerance=0.005, reference_error=0.999)
    law = laws.on_the_edge(base, plan, np.array([1.0, 0.0, -0.5]))
    rng, watch, lengths = np.random.default_rng(11), Detector(plan, base), []
    for _ in range(12):
        evidence, length = watch.start(), 120
        for k in range(120):
            tally = Tally(base)
            tally.add(rng.choice(3, (200, 1), p=law).astype(float))
            evidence = watch.update(evidence, tally.take())
            report = watch.judge(evidence)
            if report.columns[0].evidence:
                length = k + 1
                break
        lengths.append(length)
    assert np.mean(lengths) >= plan.run_length


def _moved(rows: Floats) -> None:
    rows[:, 1] += 5


def _spread(rows: Floats) -> None:
    rows[:, 1] = 40 + 1.8 * (rows[:, 1] - 40)


def _category(rows: Floats) -> None:
    rows[: len(rows) // 5, 3] = 2


def _fewer_zeros(rows: Floats) -> None:
    zero = np.flatnonzero(rows[:, 0] == 0)
    rows[zero[: zero.size // 2], 0] = 20


def _counts(rows: Floats) -> None:
    rows[:, 2] += np.random.default_rng(0).random(len(rows)) < 0.8


@pytest.mark.parametrize(
    ("change", "column"),
    [
        (_moved, "age"),
        (_spread, "age"),
        (_category, "channel"),
        (_fewer_zeros, "amount"),
        (_counts, "count"),
    ],
)
def test_it_fires_on_a_shift_that_matters_and_names_the_column(
    change: Callable[[Floats], None], column: str
) -> None:
    _, _, report = worlds.run(WEEK, BASE, 3, 1000, change)
    assert report.drifted == (column,)
    assert report.status == "drift"
    assert report.quality == "good"


def test_it_stays_silent_on_clean_traffic() -> None:
    rng, watch = np.random.default_rng(5), Detector(WEEK, BASE)
    evidence = watch.start()
    for _ in range(150):
        evidence = watch.update(evidence, worlds.look(BASE, rng, 400))
        report = watch.judge(evidence)
        assert (report.status, report.quality) == ("stable", "good")
        assert report.log10_e < report.threshold_log10 - 1


def test_evidence_without_effect_is_no_drift() -> None:
    def slightly(rows: Floats) -> None:
        rows[:, 1] += 2.4

    _, _, report = worlds.run(WEEK, BASE, 40, 4000, slightly)
    age = report.columns[1]
    assert age.evidence
    assert not age.material
    assert report.status == "stable"


def test_effect_without_evidence_is_no_drift() -> None:
    _, _, report = worlds.run(Plan(budget="52w", look="1m", dependence=100), BASE, 1, 400, _moved)
    age = report.columns[1]
    assert age.material
    assert not age.evidence
    assert report.status == "stable"


def test_evidence_fades_when_the_shift_is_over() -> None:
    watch, evidence, report = worlds.run(WEEK, BASE, 20, 1000, _moved)
    assert report.drifted == ("age",)
    rng = np.random.default_rng(3)
    for _ in range(3):
        evidence = watch.update(evidence, worlds.look(BASE, rng, 1000))
    assert watch.judge(evidence).status == "stable"


def _gaps(rows: Floats) -> None:
    rows[np.random.default_rng(0).random(len(rows)) < 0.01, 1] = np.nan


def test_one_percent_missing_is_bad_data_and_no_drift() -> None:
    _, _, report = worlds.run(WEEK, BASE, 4, 1000, _gaps)
    assert [(s.column, s.kind) for s in report.bad] == [("age", "missing")]
    assert (report.status, report.quality) == ("stable", "bad")


def test_a_shift_under_missing_values_is_found() -> None:
    def both(rows: Floats) -> None:
        _moved(rows)
        _gaps(rows)

    _, _, report = worlds.run(WEEK, BASE, 3, 1000, both)
    assert report.drifted == ("age",)


def test_refused_unknown_and_out_of_range_are_bad_data() -> None:
    watch, rng = Detector(WEEK, BASE), np.random.default_rng(1)
    evidence = watch.start()
    for _ in range(4):
        rows = worlds.draw(rng, 500)
        rows[:20, 1] = 1000
        rows[20:40, 3] = np.nan
        tally = Tally(BASE)
        tally.add(rows, unknown=np.array([0, 0, 0, 20]), refused=30)
        evidence = watch.update(evidence, tally.take())
    found = {(s.column, s.kind) for s in watch.judge(evidence).bad}
    assert found == {("", "refused"), ("age", "outside"), ("channel", "unknown")}


def test_a_restart_changes_nothing() -> None:
    rng, watch = np.random.default_rng(4), Detector(WEEK, BASE)
    looks = [worlds.look(BASE, rng, 300, _moved) for _ in range(5)]
    straight = restarted = watch.start()
    for sketch in looks:
        straight = watch.update(straight, sketch)
        restarted = Detector(WEEK, worlds.baseline()).update(restarted, sketch)
        restarted = msgspec.json.decode(msgspec.json.encode(restarted), type=Evidence)
    assert restarted == straight
    assert len(msgspec.json.encode(straight)) < 8_000


def test_thin_looks_wait_until_they_can_be_judged() -> None:
    plan, rng = Plan(budget="7d", look="1h", min_rows=100), np.random.default_rng(4)
    watch = Detector(plan, BASE)
    evidence = watch.start()
    for _ in range(60):
        evidence = watch.update(evidence, worlds.look(BASE, rng, 40, _moved))
    assert watch.judge(evidence).drifted == ("age",)
    assert watch.update(evidence, Tally(BASE).take()) == evidence, "a look without rows is none"


def _daily(rng: np.random.Generator, hour: int, n: int) -> Floats:
    return rng.normal(2.0 * np.sin(2 * np.pi * hour / 24), 1, (n, 1))


def test_a_daily_cycle_is_no_drift_where_the_reference_knows_the_hour() -> None:
    rng = np.random.default_rng(8)
    hours = rng.integers(0, 24, 24_000)
    rows = np.concatenate([_daily(rng, int(h), 1) for h in hours])
    plain = build_baseline(["x"], rows)
    hourly = build_baseline(["x"], rows, strata=hours)
    drifted = {}
    for name, base in (("plain", plain), ("hourly", hourly)):
        watch, found = Detector(WEEK, base), 0
        evidence = watch.start()
        for k in range(48):
            tally = Tally(base)
            tally.add(_daily(np.random.default_rng(k), k % 24, 500))
            evidence = watch.update(evidence, tally.take(), stratum=k % 24 if base.strata > 1 else 0)
            found += bool(watch.judge(evidence).drifted)
        drifted[name] = found
    assert drifted["hourly"] == 0
    assert drifted["plain"] > 10, "without strata the night is drift"


def test_a_part_of_the_time_is_counted_and_not_judged() -> None:
    rng = np.random.default_rng(1)
    rows = np.stack([rng.normal(size=2000), rng.integers(0, 2, 2000)], axis=1).astype(float)
    base = build_baseline(["x", "is_night"], rows, unwatched=["is_night"])
    watch, tally = Detector(WEEK, base), Tally(base)
    tally.add(np.stack([rng.normal(size=2000), np.ones(2000)], axis=1))
    report = watch.judge(watch.update(watch.start(), tally.take()))
    assert [c.status for c in report.columns] == ["stable", "no_data"]


def test_nothing_is_said_about_nothing() -> None:
    watch = Detector(WEEK, BASE)
    report = watch.judge(watch.start())
    assert (report.status, report.quality) == ("no_data", "no_data")
    assert all(c.effect is None for c in report.columns)


def test_foreign_evidence_sketches_and_strata_are_refused() -> None:
    watch, other = Detector(WEEK, BASE), Detector(WEEK, worlds.baseline(seed=9))
    look = worlds.look(BASE, np.random.default_rng(1), 100)
    with pytest.raises(SerinusError, match="SRN-WATCHING-002"):
        watch.update(other.start(), look)
    with pytest.raises(SerinusError, match="SRN-WATCHING-002"):
        other.update(other.start(), look)
    with pytest.raises(SerinusError, match="SRN-WATCHING-002"):
        watch.judge(other.start())
    with pytest.raises(SerinusError, match="SRN-WATCHING-005"):
        watch.update(watch.start(), look, stratum=1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"budget": "1m"},
        {"look": "soon"},
        {"tolerance": -1.0},
        {"dependence": 0.5},
        {"tolerances": {"a": -0.1}},
    ],
)
def test_a_plan_that_cannot_be_meant_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(SerinusError, match="SRN-WATCHING-004"):
        Plan(**wrong)  # type: ignore[arg-type]


def test_what_only_the_verdict_reads_may_change_freely() -> None:
    evidence = Detector(WEEK, BASE).start()
    Detector(msgspec.structs.replace(WEEK, min_psi=0.25, min_excess=0.05), BASE).judge(evidence)
