"""What the tests of keys share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.registry.bank import Bank


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    return Bank(tmp_path)
