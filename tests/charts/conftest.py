"""The charts as helm renders them. Without helm these tests skip, but never in CI."""

from __future__ import annotations

import os
import shutil

import pytest


@pytest.fixture(autouse=True)
def tools(request: pytest.FixtureRequest) -> None:
    """Skip what needs a tool that is not there."""
    wanted = {"helm"} | set(getattr(request.module, "TOOLS", ()))
    missing = sorted(tool for tool in wanted if shutil.which(tool) is None)
    if missing:
        why = f"{', '.join(missing)} not on the PATH; `make lint-charts` builds what is needed"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
