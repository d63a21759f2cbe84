"""Second opinions: which detector looks at which column, missing values apart, and what survives a restart."""

import dataclasses
from pathlib import Path
from typing import Any, get_args

import msgspec
import numpy as np
import pytest

from serinus.bundle import Bundle, SigningKey, open_bundle, write_bundle
from serinus.watching import SCORE
from serinus.watching.online import DECISION, Kind, OnlinePlan, calibrate
from serving.drift.detector import Library, NumpyDetector
from serving.drift.evaluate import build_yardstick
from serving.drift.http import describe
from serving.drift.monitor import Monitor
from serving.drift.payload import Table
from serving.drift.plain import NumpyLibrary
from serving.drift.report import Settings
from serving.drift.rows import RowReader
from serving.drift.second import CHOICES, UNCERTAINTY, WHOLE_ROW, Kept, Online, Opinion, Panel, Watch
from serving.drift.state import MemoryStore, Store
from serving.drift.window import Sample
from tests.support.bundles import small_home, small_parts, small_records
from tests.unit.drift.conftest import POLICY
from tests.unit.drift.test_monitor import Clock, page, pass_a_look, request, response

PLAN = OnlinePlan(reference=200, windows=(10, 40), ert=200, streams=2000)


def watched_bundle(place: Path) -> Bundle:
    parts = small_parts(n=5000)
    online = calibrate(parts.contract, parts.levels, parts.reference_rows, parts.reference_scores, PLAN)
    key = SigningKey.load_or_create(small_home(place).keys)
    return open_bundle(write_bundle(place, dataclasses.replace(parts, online=online), key).path, trusted=None)


@pytest.fixture(scope="session")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return watched_bundle(tmp_path_factory.mktemp("second"))


@pytest.fixture(params=["numpy", "alibi"])
def library(request: pytest.FixtureRequest) -> Library:
    if request.param == "numpy":
        return NumpyLibrary()
    from serving.drift.alibi import AlibiLibrary

    return AlibiLibrary()


def sample(bundle: Bundle, rows: list[dict[str, Any]], *, seed: int = 2, shift: float = 0.0) -> Sample:
    vectors = RowReader(bundle.contract, bundle.levels).read(Table(None, (), rows)).vectors
    scores = np.random.default_rng(seed).choice(bundle.reference_scores, len(rows))
    return Sample(vectors, np.clip(scores + shift, 0, 1))


def opinion(found: tuple[Opinion, ...], name: str) -> Opinion:
    return next(o for o in found if o.name == name)


def online(found: tuple[Online, ...], name: str, test: str) -> Online:
    return next(o for o in found if (o.name, o.test) == (name, test))


# --- the choice -----------------------------------------------------------------
def test_every_kind_of_column_has_its_detectors() -> None:
    assert set(CHOICES) == {*get_args(Kind), "score", "decision", "row"}
    used = {name for choice in CHOICES.values() for name in choice if name}
    assert used == {
        "KSDrift",
        "ChiSquareDrift",
        "TabularDrift",
        "ClassifierUncertaintyDrift",
        "CVMDriftOnline",
        "FETDriftOnline",
    }


@pytest.mark.parametrize(
    ("scope", "names"),
    [
        ("none", set[str]()),
        ("score", {SCORE, DECISION}),
        ("all", {SCORE, DECISION, "amount", "hour", "days_since_last", "merchant_risk"}),
    ],
)
def test_the_scope_says_what_is_watched_row_by_row(watched: Bundle, scope: Any, names: set[str]) -> None:
    assert {s.name for s in Panel(watched, NumpyLibrary(), 500, scope).streams} == names


def test_a_bundle_without_thresholds_is_not_watched_row_by_row(bundle: Bundle) -> None:
    panel = Panel(bundle, NumpyLibrary(), 500, "all")
    assert panel.streams == ()
    assert Watch(panel).take(sample(bundle, small_records(500, seed=1))) == ()


# --- windows -----------------------------------------------------------------
def test_clean_windows_are_silent(watched: Bundle, library: Library) -> None:
    panel = Panel(watched, library, 500, "none")
    for seed in range(5):
        for found in panel.judge(sample(watched, small_records(500, seed=50 + seed), seed=seed)):
            assert found.p_value is not None
            assert found.p_value > 1e-4


def test_whole_rows_and_uncertainty_find_a_shift(watched: Bundle, library: Library) -> None:
    rows = [{**row, "amount": row["amount"] * 2} for row in small_records(500, seed=9)]
    found = Panel(watched, library, 500, "none").judge(sample(watched, rows, shift=0.2))
    for name in (WHOLE_ROW, UNCERTAINTY):
        p_value = opinion(found, name).p_value
        assert p_value is not None
        assert p_value < 1e-8


def test_rows_with_missing_values_are_no_whole_rows_and_a_column_of_them_is_no_part_of_one(
    watched: Bundle, library: Library
) -> None:
    # A tenth of days_since_last is missing in the reference, so it stands apart; amount is always there.
    panel = Panel(watched, library, 500, "none")
    clean = sample(watched, small_records(500, seed=9))
    holed = Sample(clean.vectors.copy(), clean.scores)
    holed.vectors[:, 3] = np.nan
    assert panel.judge(holed) == panel.judge(clean)
    holed.vectors[:150, 0] = np.nan
    assert opinion(panel.judge(holed), WHOLE_ROW).rows == 350
    holed.vectors[:450, 0] = np.nan
    assert opinion(panel.judge(holed), WHOLE_ROW).p_value is None


@pytest.mark.parametrize("rows", [0, 99])
def test_a_tiny_window_says_nothing(watched: Bundle, library: Library, rows: int) -> None:
    tiny = sample(watched, small_records(500, seed=9))
    found = Panel(watched, library, 500, "none").judge(Sample(tiny.vectors[:rows], tiny.scores[:rows]))
    assert [o.p_value for o in found] == [None, None]
    assert all(f"{rows} rows" in o.reason for o in found)


# --- row by row -----------------------------------------------------------------
def test_a_three_sigma_shift_with_one_percent_of_missing_values_is_found_row_by_row(
    watched: Bundle, library: Library
) -> None:
    watch = Watch(Panel(watched, library, 500, "all"))
    rows = small_records(200, seed=9)
    before = online(watch.take(sample(watched, rows)), "days_since_last", "cvm")
    assert (before.rows, before.crossed) == (sum(r["days_since_last"] is not None for r in rows), False)
    for i, row in enumerate(rows):
        row["days_since_last"] = None if i % 100 == 0 else (row["days_since_last"] or 0.0) + 60.0
    after = online(watch.take(sample(watched, rows)), "days_since_last", "cvm")
    assert after.crossed
    assert after.crossings >= 1


def test_more_declines_are_found_and_fewer_too_each_in_its_own_direction(
    watched: Bundle, library: Library
) -> None:
    rows = small_records(200, seed=9)
    watch = Watch(Panel(watched, library, 500, "score"))
    found = watch.take(sample(watched, rows, shift=0.4))
    assert online(found, DECISION, "fet_more").crossed
    assert not online(found, DECISION, "fet_fewer").crossed
    assert online(found, SCORE, "cvm").crossed


def test_a_restart_changes_nothing(watched: Bundle, library: Library) -> None:
    panel = Panel(watched, library, 500, "all")
    first, second = Watch(panel), Watch(panel)
    first.take(sample(watched, small_records(130, seed=4)))
    text = msgspec.json.encode(first.save())
    second.load(msgspec.json.decode(text, type=dict[str, Kept]))
    later = sample(watched, small_records(90, seed=5), seed=6)
    assert first.take(later) == second.take(later)
    assert first.save() == second.save()


def test_what_is_kept_does_not_grow(watched: Bundle, library: Library) -> None:
    watch = Watch(Panel(watched, library, 500, "all"))
    watch.take(sample(watched, small_records(100, seed=4)))
    early = len(msgspec.json.encode(watch.save()))
    for seed in range(4):
        watch.take(sample(watched, small_records(150, seed=seed), seed=seed))
    assert len(msgspec.json.encode(watch.save())) < 1.05 * early


def test_a_column_of_integers_is_shifted_within_its_ties_alone(watched: Bundle) -> None:
    hour = next(s for s in Panel(watched, NumpyLibrary(), 500, "all").streams if s.name == "hour")
    assert hour.spread == 1.0
    assert min(hour.reference) >= -0.5
    assert max(hour.reference) <= 23.5


# --- in the monitor -----------------------------------------------------------------
@pytest.fixture
def clock() -> Clock:
    return Clock()


def monitor_of(bundle: Bundle, clock: Clock, store: Store, library: Library | None = None) -> Monitor:
    yardstick = build_yardstick(bundle, NumpyDetector, 200, POLICY)
    return Monitor(
        Settings("small", bundle.digest, 200, 3600.0),
        yardstick,
        RowReader(bundle.contract, bundle.levels),
        POLICY,
        clock=clock,
        store=store,
        panel=Panel(bundle, library or NumpyLibrary(), 200, "all"),
    )


def pass_by(monitor: Monitor, clock: Clock, bundle: Bundle, seed: int) -> None:
    monitor.process(request(small_records(200, seed=seed)))
    scores = np.random.default_rng(seed).choice(bundle.reference_scores, 200).tolist()
    monitor.process(response(scores, bundle.digest))
    pass_a_look(monitor, clock)


def test_the_monitor_publishes_second_opinions_by_name(watched: Bundle, clock: Clock) -> None:
    monitor = monitor_of(watched, clock, MemoryStore())
    pass_by(monitor, clock, watched, 1)
    text = page(monitor)
    for name in (WHOLE_ROW, UNCERTAINTY):
        assert f'serinus_drift_p_value{{feature="{name}",model="small",predictor="champion"}}' in text
    labels = 'feature="model decision",model="small",predictor="champion",test="fet_more"'
    for series in ("online_statistic", "online_threshold", "online_crossings_total"):
        assert f"serinus_drift_{series}{{{labels}}}" in text
    seen: Any = describe(monitor)["predictors"]
    assert {o.name for o in seen["champion"]["opinions"]} == {WHOLE_ROW, UNCERTAINTY}
    assert {o.rows for o in seen["champion"]["online"] if o.name == SCORE} == {200}


def test_online_tests_go_on_after_a_kill_where_they_stood(watched: Bundle, clock: Clock) -> None:
    kept, straight = MemoryStore(), monitor_of(watched, clock, MemoryStore())
    for seed in range(4):
        killed = monitor_of(watched, clock, kept)
        before = clock.now
        pass_by(killed, clock, watched, seed)
        clock.now = before
        pass_by(straight, clock, watched, seed)
        # The window is a fair sample drawn anew after a restart; here it holds every row, in order.
        assert killed.snapshot().online == straight.snapshot().online
    assert {o.rows for o in straight.snapshot().online["champion"] if o.name == SCORE} == {800}


def test_an_opinion_that_fails_costs_no_verdict(
    watched: Bundle, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a library's own")

    monkeypatch.setattr(Panel, "judge", broken)
    monitor = monitor_of(watched, clock, MemoryStore())
    pass_by(monitor, clock, watched, 1)
    assert monitor.snapshot().evaluations["champion"].verdict.rows == 200
    assert monitor.snapshot().opinions == {}


def test_a_predictor_that_is_forgotten_takes_its_opinions_along(watched: Bundle, clock: Clock) -> None:
    monitor = monitor_of(watched, clock, MemoryStore())
    pass_by(monitor, clock, watched, 1)
    monitor._forget("champion")
    assert monitor.snapshot().online == monitor.snapshot().opinions == {}
