"""``python -m tests.cluster.bring``: the cluster of ``SERINUS_CLUSTER`` up, with Istio, base images and our own.

Does what is still to be done, so it may be called again; each step says how long it took.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import time

from . import images, node

ISTIOD = ("127.0.0.1", 15010)


def _answers(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, 1).close()
    except OSError:
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.bring", description=__doc__)
    parser.add_argument("--down", action="store_true", help="take it down instead; what it built is kept")
    parser.add_argument("images", nargs="*", help="which of our images (default: all)")
    arguments = parser.parse_args()
    if os.environ.get("KUBECONFIG"):
        sys.stderr.write(
            "bring: KUBECONFIG names the cluster; its Istio, Seldon and images are yours to bring\n"
        )
        return
    cluster = node.script()
    if cluster is None:
        sys.exit(
            "bring: no cluster. Set SERINUS_CLUSTER to a script that makes one (tests/cluster/README.md),\n"
            "or KUBECONFIG to a cluster with Istio; `make kind` makes one with Docker."
        )
    if arguments.down:
        subprocess.run([cluster, "down"], check=True)
        return
    for verb in ("up", "istio", "base-images"):
        if verb == "istio" and _answers(ISTIOD):
            continue
        began = time.monotonic()
        subprocess.run([cluster, verb], check=True, stdout=sys.stderr)
        sys.stderr.write(f"bring: {verb} took {time.monotonic() - began:.0f} s\n")
    images.bring(tuple(arguments.images) or images.OURS)


if __name__ == "__main__":
    main()
