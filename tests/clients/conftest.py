"""One scorer for all clients, both listeners open."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from serinus.bundle import Bundle
from serinus.model import Answer
from serinus.scoring import Scorer
from tests.local.scorer.process import ScorerProcess
from tests.support.bundles import small_bundle, small_home
from tests.unit.scorer.support import BAD, GOOD, NAMES


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clients")


@pytest.fixture(scope="session")
def bundle(folder: Path) -> Bundle:
    return small_bundle(folder)


@pytest.fixture(scope="session")
def expected(bundle: Bundle) -> list[Answer]:
    """The answers to GOOD and BAD."""
    made = Scorer(bundle)
    return made.score(
        made.vectorizer.encode_rows([dict(zip(NAMES, row, strict=True)) for row in (GOOD, BAD)])
    )


@pytest.fixture(scope="session")
def scorer(bundle: Bundle, folder: Path) -> Generator[ScorerProcess]:
    env = {
        "PREDICTIVE_UNIT_ID": "classifier",
        "SELDON_DEPLOYMENT_ID": "shop",
        "PREDICTIVE_UNIT_HTTP_SERVICE_PORT": "0",
        "PREDICTIVE_UNIT_GRPC_SERVICE_PORT": "0",
    }
    with ScorerProcess(bundle.path, small_home(folder).root, env=env) as made:
        yield made
