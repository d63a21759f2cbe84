"""``python -m tests.cluster.seldon --namespace 'mine-*'``: run the stand-in until it is ended."""

from __future__ import annotations

import argparse
import logging
import signal
import threading
from pathlib import Path

import yaml

from tests.cluster.kube import Kube
from tests.cluster.waiting import eventually

from .loop import Operator
from .objects import EXECUTOR_IMAGE

CRD = Path(__file__).with_name("crd.yaml")


def install(kube: Kube) -> None:
    """Bring the definition of SeldonDeployments, unless there is one."""
    crd = yaml.safe_load(CRD.read_text())
    name = crd["metadata"]["name"]
    if kube.get("CustomResourceDefinition", None, name) is None:
        kube.create(crd)

    def established() -> bool:
        status = kube.must("CustomResourceDefinition", None, name).get("status") or {}
        return any(
            one["type"] == "Established" and one["status"] == "True" for one in status.get("conditions") or ()
        )

    eventually(established, what="SeldonDeployments are served")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.seldon", description=__doc__)
    parser.add_argument(
        "--namespace",
        action="append",
        required=True,
        metavar="PATTERN",
        help="look only after namespaces that match, e.g. 'mine-*'; may be given again",
    )
    parser.add_argument("--kubeconfig", help="instead of KUBECONFIG")
    parser.add_argument(
        "--executor-image", default=EXECUTOR_IMAGE, help="the image of seldon-container-engine"
    )
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    kube = Kube(arguments.kubeconfig)
    install(kube)
    Operator(kube, arguments.namespace, arguments.executor_image).run(
        stop, lambda: print("ready", flush=True)
    )


if __name__ == "__main__":
    main()
