"""One small bundle and its yardstick for the whole package."""

from pathlib import Path
from typing import Any

import pytest

from serinus.bundle import Bundle
from serving.drift.detector import NumpyDetector
from serving.drift.evaluate import Yardstick, build_yardstick
from serving.drift.payload import Table
from serving.drift.policy import Policy, spend
from serving.drift.window import RowReader, Sample, Window
from tests.support.bundles import small_bundle

POLICY = Policy(alpha=spend(90 * 86_400.0, 300.0))


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    path: Path = tmp_path_factory.mktemp("drift")
    return small_bundle(path)


@pytest.fixture(scope="session")
def yardstick(bundle: Bundle) -> Yardstick:
    return build_yardstick(bundle, NumpyDetector, 500, POLICY)


@pytest.fixture(scope="session")
def reader(bundle: Bundle) -> RowReader:
    return RowReader(bundle.contract, bundle.levels)


def sample(reader: RowReader, rows: list[dict[str, Any]], scores: list[float] | None = None) -> Sample:
    window = Window(len(rows), len(reader.vectorizer.names), 0.0)
    for row in reader.read(Table(None, (), rows)):
        window.add(row)
    window.add_scores(scores or [])
    return window.close()
