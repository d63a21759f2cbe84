"""Each image starts as nobody, on a file system that it cannot write, under restricted Pod Security."""

from __future__ import annotations

import pytest

from tests.cluster import node
from tests.cluster.kube import Kube, Obj
from tests.cluster.predictors import RESTRICTED, RESTRICTED_POD
from tests.cluster.waiting import eventually

PROGRAMS = [
    ("scorer", "serving.scorer"),
    ("scorer", "serving.scorer.fetch"),
    ("scorer", "serving.scorer.feed"),
    ("drift", "serving.drift"),
    ("controller", "serving.rollout.kube"),
    ("controller", "serving.retrain"),
    ("pipeline", "kfp.dsl.executor_main"),
]


def _pod(namespace: str, name: str, image: str, command: list[str]) -> Obj:
    container = {
        "name": "main",
        "image": node.image(image),
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        "securityContext": RESTRICTED,
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
    spec = {
        "automountServiceAccountToken": False,
        "restartPolicy": "Never",
        "securityContext": RESTRICTED_POD,
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": namespace, "name": name},
        "spec": spec,
    }


def _ended(kube: Kube, namespace: str, name: str) -> int:
    def code() -> list[int]:
        status = kube.must("Pod", namespace, name)["status"]
        state = status.get("containerStatuses", [{}])[0].get("state", {})
        assert "terminated" in state, state
        return [state["terminated"]["exitCode"]]

    return eventually(code, 250, what=name)[0]


@pytest.mark.parametrize(("image", "program"), PROGRAMS, ids=lambda value: value.replace(".", "-"))
def test_its_program_starts(kube: Kube, namespace: str, image: str, program: str) -> None:
    kube.create(_pod(namespace, "help", image, ["python3", "-m", program, "--help"]))
    assert _ended(kube, namespace, "help") == 0


def test_the_register_step_has_mlflows_client(kube: Kube, namespace: str) -> None:
    """As `serinus pipeline compile` with an MLflow address wants it; nobody is asked."""
    code = "from serinus.registry.mlflow_store import MlflowCatalogue; MlflowCatalogue('http://127.0.0.1:1')"
    kube.create(_pod(namespace, "mlflow", "pipeline", ["python3", "-c", code]))
    assert _ended(kube, namespace, "mlflow") == 0


@pytest.mark.parametrize("image", ["scorer", "drift", "controller", "pipeline"])
def test_it_has_a_shell_for_hooks_no_compiler_and_writes_nowhere_else(
    kube: Kube, namespace: str, image: str
) -> None:
    script = """
      [ "$(id -u)" = 65532 ] || exit 11
      ! command -v gcc && ! command -v cc && ! command -v uv || exit 12
      ! touch /opt/serinus/x 2>/dev/null && ! touch /x 2>/dev/null && touch /tmp/x || exit 13
      [ -s /licenses/LICENSE ] || exit 14
    """
    kube.create(_pod(namespace, "shell", image, ["/bin/sh", "-c", script]))
    assert _ended(kube, namespace, "shell") == 0
