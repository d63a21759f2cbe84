"""``python -m tests.cluster.images [NAME…]``: build the images and load them into the node.

Needs the script of ``SERINUS_CLUSTER``. An image that the node has already, unchanged, is not
loaded again; what it has is noted in a ConfigMap, which ends with the cluster.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from . import node
from .kube import Kube
from .seldon.objects import EXECUTOR_IMAGE

SERVER = Path(__file__).with_name("server")
# The recorded SeldonDeployments name these two.
RECORDED = ("docker.io/library/sm:1", EXECUTOR_IMAGE)
OURS = ("scorer", "drift", "controller", "pipeline")
NOTE = ("kube-system", "serinus-test-images")
# What a build's surroundings may hold; charts/test_image_secrets.py looks whether an image does.
BUILD_SECRET = "planted-in-the-environment-of-the-build/7Qx"
SURROUNDINGS = dict.fromkeys(
    ("AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "SERINUS_REDIS_PASSWORD", "MLFLOW_TRACKING_PASSWORD"),
    BUILD_SECRET,
)


def build(cluster: Path, names: tuple[str, ...]) -> list[str]:
    """Build; the names of what was built."""
    made = [node.TEST_SERVER, *RECORDED]
    tags = [part for name in made for part in ("-t", name)]
    subprocess.run([cluster, "build-image", "-q", *tags, SERVER], check=True, stdout=subprocess.DEVNULL)
    for name in names:
        dockerfile = node.ROOT / "docker" / f"{name}.Dockerfile"
        if not dockerfile.exists():
            sys.stderr.write(f"images: no {dockerfile.relative_to(node.ROOT)}, left out\n")
            continue
        began = time.monotonic()
        if name == "drift":
            subprocess.run([Path(__file__).with_name("python311.sh")], check=True)
        command = [cluster, "build-image", "-q", "-t", node.image(name), "-f", dockerfile, node.ROOT]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ | SURROUNDINGS)
        sys.stderr.write(f"images: built {name} in {time.monotonic() - began:.0f} s\n")
        made.append(node.image(name))
    return made


def load(cluster: Path, kube: Kube, names: list[str]) -> None:
    """Into the node, what it lacks; one at a time, since the script writes each to the same file."""
    with (Path(tempfile.gettempdir()) / "serinus-images.lock").open("w") as alone:
        fcntl.flock(alone, fcntl.LOCK_EX)
        _load(cluster, kube, names)


def _load(cluster: Path, kube: Kube, names: list[str]) -> None:
    there = (kube.get("ConfigMap", *NOTE) or {}).get("data", {})
    for name in names:
        asked = ["buildah", "images", "--quiet", "--no-trunc", name]
        identity = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
        key = name.replace("/", ".").replace(":", "_")
        if there.get(key) == identity:
            continue
        began = time.monotonic()
        subprocess.run([cluster, "load", name], check=True)
        sys.stderr.write(f"images: loaded {name} in {time.monotonic() - began:.0f} s\n")
        meta = {"namespace": NOTE[0], "name": NOTE[1]}
        note = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {key: identity}}
        kube.apply(note, manager=f"images-{key}"[:128])


def bring(names: tuple[str, ...]) -> None:
    """Build and load them."""
    cluster = node.script()
    if cluster is None:
        sys.exit(
            "images: no SERINUS_CLUSTER script; on another cluster, push the images and set SERINUS_IMAGES"
        )
    load(cluster, Kube(node.kubeconfig()), build(cluster, names))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.images", description=__doc__)
    parser.add_argument("names", nargs="*", default=OURS, help=f"which of {', '.join(OURS)} (default: all)")
    bring(tuple(parser.parse_args().names))


if __name__ == "__main__":
    main()
