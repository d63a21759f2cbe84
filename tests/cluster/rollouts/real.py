"""Real models for real pods: signed bundles in an S3 store that pods reach, and a champion by our chart."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import msgspec

from serinus.bundle import Bundle, BundleParts, SigningKey, write_bundle
from tests.cluster import node
from tests.cluster.kube import Kube, Obj
from tests.support.bundles import small_home, small_parts
from tests.support.s3 import S3Server

BUCKET = "bundles"
TOO_MUCH = 60_000.0
"""An amount that the champion's contract takes and a narrower one refuses."""
NAMES = ["amount", "hour", "channel", "days_since_last", "merchant_risk"]


def request(number: int) -> bytes:
    """An ordinary payment; every twentieth is of a very large amount."""
    amount = TOO_MUCH if number % 20 == 0 else 10.0 + number % 300
    row = [
        amount,
        number % 24,
        ("chip", "online", "swipe")[number % 3],
        1.0 + number % 30,
        0.01 * (number % 20),
    ]
    return json.dumps({"data": {"names": NAMES, "ndarray": [row]}}).encode()


def narrowed(parts: BundleParts) -> BundleParts:
    """As if trained on an extract without large amounts: its contract refuses what lies above."""
    columns = dict(parts.contract.columns)
    columns["amount"] = msgspec.structs.replace(columns["amount"], max=TOO_MUCH / 2)
    return replace(parts, contract=msgspec.structs.replace(parts.contract, columns=columns))


class Stored(NamedTuple):
    """A bundle where clusters fetch it from."""

    bundle: Bundle
    uri: str

    @property
    def digest(self) -> str:
        """As ``SERINUS_BUNDLE_DIGEST`` has it."""
        digest = self.bundle.digest
        return digest if digest.startswith("sha256:") else f"sha256:{digest}"

    @property
    def predictor(self) -> str:
        """The predictor that serves it."""
        return f"p-{self.digest.removeprefix('sha256:')[:10]}"

    @property
    def candidate(self) -> Obj:
        """As a ModelRollout names it."""
        return {"bundle": {"uri": self.uri, "digest": self.digest}}


class Shelf:
    """One installation's bundles, pushed to the store by our own command."""

    def __init__(self, directory: Path, store: S3Server) -> None:
        self._home = small_home(directory)
        self._key = SigningKey.load_or_create(self._home.keys)
        self._environment = store.environment()
        store.bucket(BUCKET)

    def put(self, parts: BundleParts) -> Stored:
        """Sign it, write it, push it."""
        bundle = write_bundle(self._home.bundles, parts, self._key)
        command = [
            str(Path(sys.executable).with_name("serinus")),
            "bundle",
            "push",
            str(bundle.path),
            "-o",
            "json",
        ]
        command += ["--to", f"s3://{BUCKET}/models", "--home", str(self._home.root)]
        done = subprocess.run(command, env=os.environ | self._environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return Stored(bundle, json.loads(done.stdout)["uri"])

    def share(self, kube: Kube, namespace: str) -> None:
        """What pods need to fetch and to trust: a Secret and a ConfigMap."""
        keys = {path.name: path.read_text() for path in self._home.keys.glob("trusted-*.pem")}
        meta = {"namespace": namespace}
        kube.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": meta | {"name": "store"},
                "stringData": self._environment,
            }
        )
        kube.apply(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta | {"name": "trusted"}, "data": keys}
        )


def install(name: str, namespace: str, champion: Stored, **values: str) -> None:
    """The model chart, as a user installs it: one replica, no drift sidecar."""
    given = {
        "image.registry": node.PREFIX,
        "image.tag": node.TAG,
        "bundle.uri": champion.uri,
        "bundle.digest": champion.digest,
        "keys.configMap": "trusted",
        "storage.secret": "store",
        "replicas": "1",
        "drift.enabled": "false",
        "executor": str(node.EXECUTOR).lower(),
        "scorer.resources.requests.cpu": "50m",
    } | values
    sets = [part for key, value in given.items() for part in ("--set", f"{key}={value}")]
    node.helm("install", name, str(node.ROOT / "charts" / "serinus-model"), "-n", namespace, *sets)


def host(kube: Kube) -> str:
    """The address of this machine that pods reach: the node's own, unless SERINUS_TEST_HOST names one."""
    given = os.environ.get("SERINUS_TEST_HOST")
    if given:
        return given
    (only,) = kube.list("Node")
    return next(a["address"] for a in only["status"]["addresses"] if a["type"] == "InternalIP")


def parts(version: int) -> BundleParts:
    """The same training at each version, so that only what a test changes differs."""
    return small_parts(version=version)
