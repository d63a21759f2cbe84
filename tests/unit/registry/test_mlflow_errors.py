"""What MLflow says, in an error: as much as is read, never half a word."""

from __future__ import annotations

import pytest

from serinus.registry.mlflow_store import beginning

LONG = " ".join(["gateway"] * 60)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("refused", "refused"),
        ("two\n   lines", "two lines"),
        (LONG, " ".join(["gateway"] * 37) + " …"),
        ("x" * 400, "x" * 300 + " …"),
        ("x" * 300, "x" * 300),
    ],
)
def test_it_ends_behind_a_word(text: str, said: str) -> None:
    assert beginning(text) == said
