"""The record keeper as our chart installs it, beside the controller and real scorers: its home tells what happened."""

from __future__ import annotations

import http.client
import io
import json
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.cluster import node
from tests.cluster.conftest import PREFIX, make_namespace
from tests.cluster.kube import Kube
from tests.cluster.predictors import Served
from tests.cluster.traffic import Traffic
from tests.cluster.waiting import eventually
from tests.support.s3 import S3Server

from .conftest import answers, forgotten
from .controller import Pods
from .real import Shelf, Stored, host, install, narrowed, parts, request
from .rollout import Rollout

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

HOME = "/var/lib/serinus"
REGISTER = f"""
from pathlib import Path
from serinus.bundle import Keyring, open_bundle
from serinus.home import Home
from serinus.registry import Registry
home = Home(Path({HOME!r}))
trusted = Keyring.load(home.keys)
found = [open_bundle(path, trusted=trusted) for path in home.bundles.iterdir()]
for bundle in sorted(found, key=lambda one: one.version):
    Registry(home).register(bundle, by="ann", owner="cards", run="r")
"""


class Place(NamedTuple):
    """Where models are served, and where the platform is."""

    models: str
    system: str


class Pod:
    """The record keeper's pod, and what people run in it."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        self._kube, self._namespace = kube, namespace

    def run(self, *command: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """``kubectl exec deploy/serinus-records -- COMMAND``."""
        exec_ = [node.tool("kubectl"), "--kubeconfig", node.kubeconfig(), "-n", self._namespace, "exec", "-i"]
        return subprocess.run(
            [*exec_, "deploy/serinus-records", "--", *command], input=stdin, capture_output=True
        )

    def said(self, *command: str, stdin: bytes = b"") -> str:
        """What it prints."""
        done = self.run(*command, stdin=stdin)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def stages(self) -> dict[int, str]:
        """Version → stage, as ``serinus registry list`` says."""
        found = json.loads(self.said("serinus", "registry", "list", "--output", "json"))
        return {int(one["version"]): str(one["stage"]) for one in found}

    def actions(self) -> list[str]:
        """The audit chain's actions, in order."""
        # The last line may be half there.
        lines = self.said("cat", f"{HOME}/audit/audit.jsonl").split("\n")[:-1]
        return [json.loads(line)["body"]["action"] for line in lines]


@pytest.fixture(scope="module")
def place(kube: Kube, seldon: None, crds: None) -> Iterator[Place]:
    """Namespaces of this module, and the platform with the record keeper in one of them."""
    made = Place(f"{PREFIX}-recorded", f"{PREFIX}-records")
    make_namespace(kube, made.models)
    make_namespace(kube, made.system)
    # The test cluster makes no volumes.
    extra = ["records.enabled=true", "records.persistence.enabled=false", "records.archive.enabled=true"]
    pods = Pods(kube, made.models, made.system, *(part for one in extra for part in ("--set", one)))
    try:
        pods.start()
        yield made
        forgotten(kube, made.models)
        pods.stop()
    finally:
        kube.delete("Namespace", None, made.models)
        kube.delete("Namespace", None, made.system)


@pytest.fixture(scope="module")
def stored(kube: Kube, place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Stored]]:
    """Three versions that scorers fetch and the record keeper's registry has: the last refuses large amounts."""
    directory = tmp_path_factory.mktemp("recorded")
    with S3Server(directory, host(kube)) as store:
        shelf = Shelf(directory, store)
        shelf.share(kube, place.models)
        found = [shelf.put(parts(1)), shelf.put(parts(2)), shelf.put(narrowed(parts(3)))]
        pod = Pod(kube, place.system)
        pod.said("python3", "-c", UNPACK, stdin=packed(found[0].bundle.path.parents[1]))
        pod.said("python3", "-c", REGISTER)
        yield found


UNPACK = f"import sys, tarfile; tarfile.open(fileobj=sys.stdin.buffer, mode='r|').extractall({HOME!r}, filter='data')"


def packed(home: Path) -> bytes:
    """Bundles and public keys; the private one stays."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add(home / "bundles", "bundles")
        for key in home.glob("keys/trusted-*.pem"):
            archive.add(key, f"keys/{key.name}")
    return buffer.getvalue()


def scored(namespace: str, name: str) -> str:
    """One request through the gateway; its id."""
    connection = http.client.HTTPConnection(node.GATEWAY, timeout=30)
    try:
        headers = {"Content-Type": "application/json"}
        connection.request("POST", f"/seldon/{namespace}/{name}/api/v1.0/predictions", request(1), headers)
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        return str(json.loads(answer.read())["meta"]["puid"])
    finally:
        connection.close()


def test_a_promotion_and_a_rollback_are_in_the_registry_and_the_chain(
    kube: Kube, place: Place, stored: list[Stored]
) -> None:
    champion, good, narrow = stored
    pod = Pod(kube, place.system)
    name = "fraud"
    served = Served(kube, place.models, name)
    install(
        name,
        place.models,
        champion,
        **{"decisions.archive": f"http://serinus-archive.{place.system}.svc:8092"},
    )
    try:
        answers(served, request)
        asked = scored(place.models, name)
        first, second = Rollout(kube, place.models, "fraud-2"), Rollout(kube, place.models, "fraud-3")
        with Traffic(place.models, name, rate=50, body=request):
            first.start(name, good.candidate)
            assert first.until_ended() == "Promoted"
            eventually(lambda: pod.stages() == {1: "retired", 2: "champion", 3: "validated"}, 180)
            second.start(
                name, narrow.candidate, steps=[{"weight": 10, "minRequests": 100_000}, {"weight": 100}]
            )
            assert second.until_ended() == "RolledBack"
            eventually(lambda: pod.stages() == {1: "retired", 2: "champion", 3: "rolled_back"}, 180)
        # A version is moved before the turn that moved it is recorded.
        eventually(lambda: "rollout-RolledBack" in pod.actions())
        assert pod.run("serinus", "audit", "verify").returncode == 0
        told = pod.actions()
        assert told.count("rollout-Promoted") == told.count("rollout-RolledBack") == 1
        assert told.count("rollout-Requested") == 2
        assert "rollout-gap" not in told
        # The champion's pod is gone; what it decided is explained from the log that it sent.
        (explained,) = json.loads(
            eventually(lambda: pod.said("serinus", "explain", asked, "--output", "json"))
        )
        assert explained["reproduced"] is True, explained
        assert explained["event"]["data"]["digest"] == champion.digest
    finally:
        for rollout in ("fraud-2", "fraud-3"):
            kube.delete("ModelRollout", place.models, rollout)
        forgotten(kube, place.models)
        node.helm("uninstall", name, "-n", place.models)
