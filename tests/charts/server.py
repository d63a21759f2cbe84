"""A real API server without nodes, which knows our kinds, Seldon's, Istio's and the Prometheus operator's."""

from __future__ import annotations

import subprocess

from tests.support.apiserver import ApiServer

from .support import ROOT

OPERATOR = ROOT / ".tools/charts/prometheus-operator"
ISTIO = ROOT / ".tools/charts/istio.yaml"
DEFINITIONS = [
    *sorted((ROOT / "manifests/base/crds").glob("*.yaml")),
    ROOT / "tests/cluster/seldon/crd.yaml",
]


class Cluster:
    """kubectl against the server."""

    def __init__(self, server: ApiServer) -> None:
        self._arguments = ["kubectl", f"--kubeconfig={server.kubeconfig()}"]

    def run(self, *arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
        """One command, with something on its standard input."""
        return subprocess.run(
            [*self._arguments, *arguments], input=given, capture_output=True, text=True, check=False
        )
