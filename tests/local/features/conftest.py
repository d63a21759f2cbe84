from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.redis import RedisServer, need_redis


@pytest.fixture(scope="session")
def redis() -> Iterator[RedisServer]:
    need_redis()
    # Not tmp_path: a socket's path has 107 characters at most.
    with tempfile.TemporaryDirectory(prefix="redis-") as directory, RedisServer(Path(directory)) as server:
        yield server
