"""A namespace of its own on the real API server, with our resources and policies in place."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.rollout.kube.crd import definitions

from .kubectl import Kubectl
from .server import foreign_words, server

__all__ = ["server"]

ROOT = Path(__file__).parents[3]
CLUSTER = Path(os.environ.get("SERINUS_CLUSTER", ROOT.parent / "shared" / "cluster" / "cluster"))


def absent(why: str) -> None:
    """Without a cluster these tests skip, but never in CI."""
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)


@pytest.fixture(scope="session")
def cluster() -> dict[str, str]:
    """The environment in which kubectl reaches the cluster."""
    if not CLUSTER.exists():
        absent(f"no test cluster: {CLUSTER} does not exist; set SERINUS_CLUSTER")
    shell = f'eval "$({CLUSTER} env)"; echo "$KUBECONFIG"; echo "$PATH"'
    config, path = subprocess.run(
        ["bash", "-c", shell], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    environment = os.environ | {"KUBECONFIG": config, "PATH": path}
    answer = subprocess.run(
        ["kubectl", "get", "--raw", "/readyz"], env=environment, capture_output=True, text=True
    )
    if answer.returncode != 0:
        absent(f"the test cluster does not answer; {CLUSTER} up ({answer.stderr.strip()})")
    return environment


@pytest.fixture(scope="session")
def installed(cluster: dict[str, str]) -> dict[str, str]:
    """Our resources and policies, as the chart installs them."""
    files = [
        *(ROOT / "manifests/base/crds").glob("*.yaml"),
        ROOT / "charts/serinus/files/rollout-policies.yaml",
    ]
    for file in files:
        subprocess.run(
            ["kubectl", "apply", "--server-side", "--force-conflicts", "-f", str(file)],
            env=cluster,
            check=True,
            capture_output=True,
        )
    crds = [f"crd/{made['metadata']['name']}" for made in definitions()]
    subprocess.run(
        ["kubectl", "wait", "--for=condition=Established", *crds, "--timeout=90s"],
        env=cluster,
        check=True,
        capture_output=True,
    )
    # Policies are taken up later than they are stored: wait until each refuses what it is for.
    anyone = Kubectl("default", cluster, "ann", ("system:masters",))
    for _, body in foreign_words():
        anyone.until(
            lambda body=body: "must be your own name" in anyone.apply(body, "--dry-run=server").stderr
        )
    return cluster


@pytest.fixture
def namespace(installed: dict[str, str]) -> Iterator[str]:
    """A namespace that goes when the test has ended."""
    name = f"ctl-{uuid.uuid4().hex[:8]}"
    subprocess.run(["kubectl", "create", "namespace", name], env=installed, check=True, capture_output=True)
    yield name
    subprocess.run(
        ["kubectl", "delete", "namespace", name, "--wait=false"],
        env=installed,
        check=True,
        capture_output=True,
    )


@pytest.fixture
def admin(installed: dict[str, str], namespace: str) -> Kubectl:
    return Kubectl(namespace, installed)


@pytest.fixture
def ann(admin: Kubectl) -> Kubectl:
    """Someone who may start, command and approve rollouts, and nothing else."""
    admin.run(
        "create", "role", "rollouts", "--verb=*", "--resource=modelrollouts.serinus.io",
        "--resource=rolloutapprovals.serinus.io", "--resource=rolloutcommands.serinus.io",
    ).check()  # fmt: skip
    admin.run("create", "rolebinding", "ann", "--role=rollouts", "--user=ann").check()
    user = Kubectl(admin.namespace, admin.environment, "ann")
    user.until(lambda: user.apply(_PROBE, "--dry-run=server").returncode == 0)
    return user


_PROBE = {
    "apiVersion": "serinus.io/v1alpha1",
    "kind": "RolloutCommand",
    "metadata": {"name": "probe"},
    "spec": {"rollout": "x", "command": "pause", "by": "ann"},
}
