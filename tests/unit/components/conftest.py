"""A run of a sound model, up to its card."""

from __future__ import annotations

import pytest

from tests.unit.components.support import QUICK, Run, contract, loans


@pytest.fixture(scope="package")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run(tmp_path_factory.mktemp("sound"), contract(), loans(), QUICK)
    run.prepare()
    run.judge()
    run.gate()
    run.card()
    return run
