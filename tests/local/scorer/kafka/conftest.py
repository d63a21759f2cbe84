"""One broker for the tests of a file."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.local.scorer.kafka.broker import Broker


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Generator[Broker]:
    """A real one, plain."""
    with Broker(tmp_path_factory.mktemp("kafka")) as made:
        yield made
