"""One small bundle and its yardstick for the whole package."""

from pathlib import Path
from typing import Any

import pytest

from serinus.bundle import Bundle
from serving.drift.detector import NumpyDetector
from serving.drift.evaluate import Yardstick, build_yardstick, evaluate, run_tests
from serving.drift.lane import Comparisons, Lane
from serving.drift.payload import Table
from serving.drift.policy import Policy
from serving.drift.rows import RowReader
from serving.drift.verdict import Verdict
from tests.support.bundles import small_bundle

POLICY = Policy()


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    path: Path = tmp_path_factory.mktemp("drift")
    return small_bundle(path, n=5000)


@pytest.fixture(scope="session")
def yardstick(bundle: Bundle) -> Yardstick:
    return build_yardstick(bundle, NumpyDetector, 500, POLICY)


@pytest.fixture(scope="session")
def reader(bundle: Bundle) -> RowReader:
    return RowReader(bundle.contract, bundle.levels)


def lane(yardstick: Yardstick, policy: Policy = POLICY, *, primary: bool = True) -> Lane:
    return Lane(Comparisons(yardstick.baseline, policy), 500, 0.6, 0.0, primary=primary)


def look(
    lane: Lane,
    yardstick: Yardstick,
    reader: RowReader,
    rows: list[dict[str, Any]],
    scores: list[float] | None = None,
    policy: Policy = POLICY,
) -> Verdict | None:
    """One look of ``rows`` and ``scores``, judged; None if nothing came."""
    lane.add(reader.read(Table(None, (), rows)), 1.0)
    if scores:
        lane.add_scores(scores, "sha256:own", 1.0, own=True)
    closed = lane.close(2.0, 3600.0)
    if closed is None:
        return None
    tests = run_tests(yardstick, closed.sample, policy) if closed.sample else None
    return evaluate("champion", yardstick, closed.report, closed.sketch, tests, policy)
