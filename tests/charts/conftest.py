"""The charts as helm renders them. Without helm these tests skip, but never in CI."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest

from tests.support.apiserver import ApiServer
from tests.support.apiserver import tools as server_tools

from .server import DEFINITIONS, ISTIO, OPERATOR, Cluster


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


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    path = server_tools()
    if path is None or not OPERATOR.exists() or not ISTIO.exists():
        why = "no test cluster's binaries (SERINUS_CLUSTER), or no .tools/charts (`make lint-charts`)"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    server = ApiServer(path)
    server.start()
    try:
        found = Cluster(server)
        for file in [*DEFINITIONS, ISTIO, *sorted(OPERATOR.glob("*.yaml"))]:
            done = found.run("apply", "--server-side", "-f", str(file))
            assert done.returncode == 0, done.stderr
        waited = found.run("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
        assert waited.returncode == 0, waited.stderr
        for name in ("serinus-system", "models", "fraud"):
            assert found.run("create", "namespace", name).returncode == 0
        yield found
    finally:
        server.stop()
