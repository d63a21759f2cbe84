"""Where the cluster is: a kubeconfig, or a script that makes one node and knows its kubeconfig.

SERINUS_CLUSTER   the script (default ../shared/cluster/cluster beside the checkout); its verbs are
                  up, istio, env, base-images, build-image ARGS, load IMAGE…, down
KUBECONFIG        another cluster, instead
SERINUS_GATEWAY   host:port of the Istio gateway that Seldon's VirtualServices use (default 127.0.0.1:8003)
SERINUS_SELDON    ``real`` if the cluster runs Seldon's own operator; else the tests bring their stand-in
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GATEWAY = os.environ.get("SERINUS_GATEWAY", "127.0.0.1:8003")
EXECUTOR = os.environ.get("SERINUS_EXECUTOR") == "yes"
REAL_SELDON = os.environ.get("SERINUS_SELDON", "stand-in") == "real"
# SERINUS_IMAGES names where the images are, SERINUS_IMAGE_TAG which; both as the Makefile's images target has them.
PREFIX = os.environ.get("SERINUS_IMAGES", "docker.io/serinus")
TAG = os.environ.get("SERINUS_IMAGE_TAG", "cluster-tests")


class NoClusterError(Exception):
    """There is none; the message says what to do."""


def script() -> Path | None:
    """The script that makes a node, if there is one."""
    given = os.environ.get("SERINUS_CLUSTER")
    path = Path(given) if given else ROOT.parent / "shared" / "cluster" / "cluster"
    return path if path.is_file() and os.access(path, os.X_OK) else None


def kubeconfig() -> str:
    """The kubeconfig to use.

    Raises:
        NoClusterError: if nothing names one.
    """
    if os.environ.get("KUBECONFIG"):
        return os.environ["KUBECONFIG"]
    cluster = script()
    if cluster is None:
        raise NoClusterError("no cluster: set KUBECONFIG, or SERINUS_CLUSTER to a script that makes one")
    said = subprocess.run([cluster, "env"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"KUBECONFIG=(\S+)", said)
    if found is None or not Path(found[1]).exists():
        raise NoClusterError(
            "the cluster is not up: make test-cluster brings it up, or `cluster up` and `cluster istio`"
        )
    return found[1]


def image(name: str) -> str:
    """One of the project's images, as the cluster has it: ``scorer``, ``drift``, ``controller``, ``pipeline``."""
    return f"{PREFIX}/{name}:{TAG}"


TEST_SERVER = "docker.io/serinus-tests/server:1"


def tool(name: str) -> str:
    """``helm`` or ``kubectl``: from the PATH, or from beside the cluster's script's other tools."""
    found = shutil.which(name)
    if found is None and (cluster := script()) is not None:
        shell = f'eval "$("{cluster}" env)"; command -v {name}'
        found = subprocess.run(["bash", "-c", shell], capture_output=True, text=True).stdout.strip()
    if not found:
        raise NoClusterError(f"{name} is not on the PATH")
    return found


def helm(*arguments: str) -> str:
    """Run helm on this cluster; what it prints.

    Raises:
        AssertionError: with its words, if it fails.
    """
    command = [tool("helm"), *arguments]
    done = subprocess.run(
        command, env=os.environ | {"KUBECONFIG": kubeconfig()}, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout
