from __future__ import annotations

import os
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[4] / "shared" / "data" / "card_transactions_2018.csv.gz"


@pytest.fixture(scope="module")
def source() -> Path:
    """The file, which the project does not contain."""
    if not SOURCE.exists():
        if os.environ.get("CI") == "true":
            pytest.fail(f"{SOURCE} is absent, and in CI it must not be")
        pytest.skip(f"{SOURCE} is absent; the project does not contain it")
    return SOURCE
