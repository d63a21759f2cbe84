"""Second opinions beside the evidence: tests of whole rows, of the model's uncertainty, and of columns row by row.

None of them decides anything: they are published for those who know them. What decides is the evidence, whose run
length is guaranteed; an online test's is not beyond independent rows, and a false alarm in 90 days is out of its reach.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple

import msgspec
import numpy as np

from serinus.bundle import Bundle
from serinus.watching import SCORE
from serinus.watching.bins import Floats
from serinus.watching.online import DECISION, Kind, Stream, kind_of
from serving.drift.detector import Detector, Library, OnlineDetector, OnlineState
from serving.drift.window import Sample

WHOLE_ROW = "whole row"
UNCERTAINTY = "model uncertainty"
Scope = Literal["none", "score", "all"]
MOST_MISSING = 0.05
"""Share of missing values in the reference above which a column is no part of whole rows: too few would be whole."""
MIN_ROWS = 100


class Choice(NamedTuple):
    """Which of Alibi Detect's detectors looks at a column: at a window of it, and row by row. Empty: none."""

    batch: str
    online: str


CHOICES: Mapping[Kind | Literal["score", "decision", "row"], Choice] = {
    "number": Choice("KSDrift", "CVMDriftOnline"),
    # Ties make the asymptotic p-value conservative; online they are broken at random, so the run length holds.
    "whole": Choice("KSDrift", "CVMDriftOnline"),
    "flag": Choice("ChiSquareDrift", "FETDriftOnline"),
    "category": Choice("ChiSquareDrift", ""),
    # A window of minutes holds only its own hours.
    "clock": Choice("", ""),
    "score": Choice("ClassifierUncertaintyDrift", "CVMDriftOnline"),
    "decision": Choice("", "FETDriftOnline"),
    "row": Choice("TabularDrift", ""),
}
"""The detectors by what a column is; the kinds come from the contract's column types (``kind_of``)."""


class Opinion(msgspec.Struct, frozen=True, kw_only=True):
    """A test of the last window. ``p_value`` is None where nothing could be said, ``reason`` says why."""

    name: str
    test: str
    rows: int
    p_value: float | None = None
    distance: float | None = None
    reason: str = ""


class Online(msgspec.Struct, frozen=True, kw_only=True):
    """A column's online test.

    Args:
        test: ``cvm``, or ``fet_more`` and ``fet_fewer`` for a share that grows or falls.
        rows: values that it saw; ``statistic`` and ``threshold`` of the last one, None before its first full window.
        crossed: whether any of the last window's values was above its threshold.
        crossings: times that it went above.
    """

    name: str
    test: str
    rows: int
    statistic: float | None
    threshold: float | None
    crossed: bool
    crossings: int


class Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What an online test needs to go on after a restart."""

    state: OnlineState
    above: bool = False
    crossings: int = 0


class Panel:
    """Prepared once of a bundle: what every predictor's windows are tested by.

    Args:
        window: rows that a window holds: levels of which fewer than five are expected in it are tested together.
        scope: ``score``: score and decision are watched row by row; ``all``: features too (half a millisecond a value
            with Alibi Detect).
    """

    def __init__(self, bundle: Bundle, library: Library, window: int, scope: Scope) -> None:
        self.library = library
        self.calibration = bundle.online
        self.decline_at = bundle.contract.decision.decline_at
        names = bundle.contract.feature_names
        self._at = {name: i for i, name in enumerate(names)}
        rows = bundle.reference_rows
        kinds: list[Kind] = [kind_of(bundle.contract, f, bundle.levels) for f in bundle.contract.features]
        missing = np.isnan(rows).mean(axis=0)
        self._columns = [
            i for i, kind in enumerate(kinds) if CHOICES[kind].batch and missing[i] <= MOST_MISSING
        ]
        discrete = [k for k, i in enumerate(self._columns) if CHOICES[kinds[i]].batch == "ChiSquareDrift"]
        whole = self._whole(rows)
        self._rare = {k: _rare(whole[:, k], window) for k in discrete}
        self._rows: Detector | None = None
        if len(whole) >= MIN_ROWS and self._columns:
            self._rows = library.rows(self._pooled(whole), discrete)
        self._uncertainty = library.uncertainty(bundle.reference_scores)
        wanted = {"none": set[str](), "score": {SCORE, DECISION}, "all": {SCORE, DECISION, *names}}[scope]
        streams = self.calibration.streams if self.calibration else ()
        self.streams = tuple(stream for stream in streams if stream.name in wanted)
        # Imports and compiling are paid now, before the program says that it is ready, and not by the first payload.
        for test in [test for stream in self.streams for test in _tests(self, stream)]:
            test.take(np.zeros(self.calibration.plan.windows[0] if self.calibration else 0))

    def judge(self, sample: Sample) -> tuple[Opinion, ...]:
        """The tests of one window: its whole rows, and the uncertainty of its scores."""
        whole = self._pooled(self._whole(sample.vectors))
        scores = sample.scores[~np.isnan(sample.scores)]
        return (
            _opinion(WHOLE_ROW, CHOICES["row"].batch, self._rows, whole),
            _opinion(UNCERTAINTY, CHOICES["score"].batch, self._uncertainty, scores),
        )

    def values(self, stream: Stream, sample: Sample) -> Floats:
        """A stream's values in a window that are present, in order of arrival."""
        if stream.name == SCORE:
            column = sample.scores
        elif stream.name == DECISION:
            column = np.where(np.isnan(sample.scores), np.nan, sample.scores >= self.decline_at)
        else:
            column = sample.vectors[:, self._at[stream.name]]
        return column[~np.isnan(column)]

    def _whole(self, vectors: Floats) -> Floats:
        rows = vectors[:, self._columns]
        return rows[~np.isnan(rows).any(axis=1)]

    def _pooled(self, whole: Floats) -> Floats:
        pooled = whole.copy()
        for k, rare in self._rare.items():
            pooled[np.isin(pooled[:, k], rare), k] = -1.0
        return pooled


class Watch:
    """One predictor's online tests. Their memory is bounded, whatever passes."""

    def __init__(self, panel: Panel) -> None:
        self._panel = panel
        self._tests = [test for stream in panel.streams for test in _tests(panel, stream)]

    def take(self, sample: Sample) -> tuple[Online, ...]:
        """Takes the values of a window in, one by one, and says where each test stands."""
        values = {stream.name: self._panel.values(stream, sample) for stream in self._panel.streams}
        return tuple(test.take(values[test.stream.name]) for test in self._tests)

    def save(self) -> dict[str, Kept]:
        """By column and test."""
        return {test.key: test.save() for test in self._tests}

    def load(self, kept: Mapping[str, Kept]) -> None:
        """Goes on where ``kept`` was saved; a test that it does not hold starts anew."""
        for test in self._tests:
            if test.key in kept:
                test.load(kept[test.key])


class _Test:
    def __init__(self, stream: Stream, test: str, detector: OnlineDetector) -> None:
        self.stream, self.test, self.key = stream, test, f"{stream.name}/{test}"
        self._detector = detector
        self._seen, self._above, self._crossings = 0, False, 0
        self._random = self._randomness(0)

    def _randomness(self, seen: int) -> np.random.Generator:
        # One draw a value, so a restart can go on at the same place.
        return np.random.Generator(np.random.PCG64([self.stream.seed, 1]).advance(seen))

    def take(self, values: Floats) -> Online:
        statistic = threshold = math.nan
        crossed = False
        shifts = self.stream.spread * (self._random.random(values.size) - 0.5)
        for value in (values + shifts).tolist():
            statistic, threshold = reading = self._detector.update(value)
            if reading.crossed and not self._above:
                self._crossings += 1
            self._above = reading.crossed
            crossed |= self._above
        self._seen += values.size
        return Online(
            name=self.stream.name,
            test=self.test,
            rows=self._seen,
            statistic=None if math.isnan(statistic) else statistic,
            threshold=None if math.isnan(statistic) else threshold,
            crossed=crossed,
            crossings=self._crossings,
        )

    def save(self) -> Kept:
        return Kept(state=self._detector.state(), above=self._above, crossings=self._crossings)

    def load(self, kept: Kept) -> None:
        self._detector.restore(kept.state)
        self._seen, self._above, self._crossings = kept.state.seen, kept.above, kept.crossings
        self._random = self._randomness(self._seen)


def _tests(panel: Panel, stream: Stream) -> list[_Test]:
    assert panel.calibration is not None
    if stream.test == "cvm":
        return [_Test(stream, "cvm", panel.library.online_numbers(stream, panel.calibration))]
    return [
        _Test(stream, "fet_more", panel.library.online_share(stream, panel.calibration, "more")),
        _Test(stream, "fet_fewer", panel.library.online_share(stream, panel.calibration, "fewer")),
    ]


def _opinion(name: str, test: str, detector: Detector | None, window: Floats) -> Opinion:
    if detector is None:
        return Opinion(name=name, test=test, rows=len(window), reason="the reference has too few whole rows")
    if len(window) < MIN_ROWS:
        return Opinion(
            name=name, test=test, rows=len(window), reason=f"{len(window)} rows, {MIN_ROWS} are needed"
        )
    found = detector.compare(window)
    if math.isnan(found.p_value):
        return Opinion(name=name, test=test, rows=len(window), reason="the test has no p-value")
    return Opinion(name=name, test=test, rows=len(window), p_value=found.p_value, distance=found.distance)


def _rare(codes: Floats, window: int) -> Floats:
    """Levels of which a window is expected to hold fewer than five (Cochran's rule)."""
    if not codes.size:
        return codes
    levels, counts = np.unique(codes, return_counts=True)
    return levels[counts / codes.size * window < 5]
