"""The pipeline's image by digest, and a store that pods and tests reach."""

from __future__ import annotations

import os
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator

import pytest

from tests.cluster import node
from tests.cluster.conftest import missing
from tests.cluster.kube import Kube
from tests.support.s3 import S3Server

REGISTRY = "127.0.0.1:5000"


@pytest.fixture(scope="session")
def pipeline_image(kube: Kube, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The pipeline's image as NAME@sha256:…, from a registry that the node pulls from.

    ``SERINUS_PIPELINE_IMAGE`` names one; otherwise the image that was built here goes to
    the cluster's own registry on loopback.
    """
    given = os.environ.get("SERINUS_PIPELINE_IMAGE")
    if given:
        return given
    cluster = node.script()
    if cluster is None or os.environ.get("KUBECONFIG") or shutil.which("buildah") is None:
        missing("no image of the pipeline by digest: set SERINUS_PIPELINE_IMAGE")
    assert cluster is not None
    try:
        urllib.request.urlopen(f"http://{REGISTRY}/v2/", timeout=5).close()
    except OSError:
        subprocess.run([cluster, "registry"], check=True, stdout=subprocess.DEVNULL)
    name = f"{REGISTRY}/serinus/pipeline"
    digest = tmp_path_factory.mktemp("image") / "digest"
    subprocess.run(
        ["buildah", "push", "-q", "--tls-verify=false", "--digestfile", digest, node.image("pipeline"),
         f"docker://{name}:{node.TAG}"],
        check=True,
    )  # fmt: skip
    return f"{name}@{digest.read_text().strip()}"


@pytest.fixture(scope="session")
def store(kube: Kube, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An S3 server on this machine, at the address by which the node's pods reach it."""
    (first, *_) = kube.list("Node")
    address = next(a["address"] for a in first["status"]["addresses"] if a["type"] == "InternalIP")
    try:
        with S3Server(tmp_path_factory.mktemp("s3"), host=address) as server:
            yield server
    except OSError as error:
        missing(f"this machine is not the node, so pods cannot reach a store here ({error})")
