"""A model that needs more memory than its scorer gives it is served by LightGBM: slower, with the same answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from serinus.errors import SerinusError
from serinus.scoring import Scorer
from tests.support.bundles import small_bundle


def test_beyond_its_memory_a_model_is_served_by_the_library_and_says_so(tmp_path: Path) -> None:
    bundle = small_bundle(tmp_path)
    roomy = Scorer(bundle)
    if roomy.backend != "native":
        pytest.skip("the kernel is not compiled in this installation")
    told: list[SerinusError] = []
    tight = Scorer(bundle, warn=told.append, budget=1000)
    assert tight.backend == "library"
    assert [w.code for w in told] == ["SRN-MODEL-004"]
    assert "too large for the kernel" in told[0].what
    rows = bundle.golden_rows[:5]
    for one, other in zip(roomy.score(rows, "always"), tight.score(rows, "always"), strict=True):
        assert (one.decision, [r.code for r in one.reasons]) == (
            other.decision,
            [r.code for r in other.reasons],
        )
        assert one.probability == pytest.approx(other.probability, abs=1e-12)
