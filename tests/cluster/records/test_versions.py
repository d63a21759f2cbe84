"""Versions over the network between pods: the keeper as the chart installs it, the sender as the compiler sets up the
pipeline's step. TLS from a Secret, the Service's name, the API server's review of the pods' own tokens."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from serinus.bundle import SigningKey
from serinus.home import Home
from tests.cluster import node
from tests.cluster.conftest import PREFIX, make_namespace
from tests.cluster.kube import Kube
from tests.support.certs import Authority
from tests.support.registrations import passed_bundle

from .pods import AUDIENCE, Pod, compiled, pipeline, running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

RUNNER = "pipeline-runner"
CA = "/etc/serinus/registrar/ca.crt"
HERE, ELSEWHERE = "/tmp/serinus", "/tmp/elsewhere"
"""Homes in the runner's pod: its own, and one that built another model under the same numbers."""
ORDINARY = "SERINUS_REGISTRAR_TOKEN_FILE=/var/run/secrets/kubernetes.io/serviceaccount/token"


class Place(NamedTuple):
    """Where the keeper is, and where pipelines run."""

    system: str
    pipelines: str

    @property
    def url(self) -> str:
        """The keeper's Service."""
        return f"https://serinus-records.{self.system}.svc:8080"

    @property
    def keeper(self) -> Pod:
        """The keeper's pod."""
        return Pod(self.system, "deploy/serinus-records")

    @property
    def runner(self) -> Pod:
        """The pod of the account that may tell of versions."""
        return Pod(self.pipelines, "pod/runner")

    def account(self, name: str) -> str:
        """As the API server names it."""
        return f"system:serviceaccount:{self.pipelines}:{name}"

    def known(self) -> dict[int, tuple[str, str]]:
        """Version → digest and stage, as the keeper's registry has it."""
        found = json.loads(self.keeper.said("serinus", "registry", "list", "--output", "json"))
        return {int(one["version"]): (str(one["digest"]), str(one["stage"])) for one in found}

    def registered(self, version: int) -> list[str]:
        """By whom a version was entered, as the audit chain has it."""
        lines = self.keeper.said("cat", "/var/lib/serinus/audit/audit.jsonl").splitlines()
        bodies = [json.loads(line)["body"] for line in lines]
        return [
            str(body["actor"])
            for body in bodies
            if (body["action"], body["subject"]) == ("register", f"small/{version}")
        ]


@pytest.fixture(scope="module")
def digests(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, Home, dict[int, str]]:
    """A home with three versions, one with others under the numbers of two, and the digests of the first."""
    home, other = (Home(tmp_path_factory.mktemp("builder") / name) for name in ("home", "other"))
    SigningKey.load_or_create(home.keys)
    shutil.copytree(home.keys, other.keys, dirs_exist_ok=True)
    made = {version: passed_bundle(home, version=version, seed=version).digest for version in (1, 2, 3)}
    for version in (1, 2):
        passed_bundle(other, version=version, seed=10 + version)
    return home, other, made


@pytest.fixture(scope="module")
def place(
    kube: Kube,
    seldon: None,  # the controller of the same release is not ready before there are SeldonDeployments to watch
    crds: None,
    digests: tuple[Home, Home, dict[int, str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Place]:
    """The platform with a record keeper that takes versions, and two pods that tell of some."""
    made = Place(f"{PREFIX}-keeper", f"{PREFIX}-pipelines")
    make_namespace(kube, made.system)
    make_namespace(kube, made.pipelines)
    directory, (home, other, _) = tmp_path_factory.mktemp("versions"), digests
    try:
        certified(kube, made, home, directory)
        step = compiled(directory, made.url, "records-ca")
        for name, account in (("runner", RUNNER), ("stranger", "stranger")):
            meta = {"name": account, "namespace": made.pipelines}
            kube.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})
            kube.create(pipeline(name, made.pipelines, account, step, "other-ca"))
        installed(made)
        for name in ("runner", "stranger"):
            running(kube, made.pipelines, name).bring(home, HERE)
        made.runner.bring(other, ELSEWHERE)
        yield made
        node.helm("uninstall", "serinus", "-n", made.system)
    finally:
        kube.delete("Namespace", None, made.pipelines)
        kube.delete("Namespace", None, made.system)


def certified(kube: Kube, place: Place, home: Home, directory: Path) -> None:
    """The keeper's certificate and trusted keys for it, its authority and another for the pipelines."""
    ours, other = Authority(directory), Authority(directory, "other")
    cert, key = ours.sign("records", names=(f"serinus-records.{place.system}.svc",))
    for namespace, name, files in (
        (place.system, "records-tls", {"tls.crt": cert, "tls.key": key}),
        (place.pipelines, "records-ca", {"ca.crt": ours.ca}),
        (place.pipelines, "other-ca", {"ca.crt": other.ca}),
    ):
        told = {file: path.read_text() for file, path in files.items()}
        meta = {"namespace": namespace, "name": name}
        kube.create({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": told})
    keys = {path.name: path.read_text() for path in home.keys.glob("trusted-*.pem")}
    meta = {"namespace": place.system, "name": "signers"}
    kube.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": keys})


def installed(place: Place) -> None:
    """The chart, as docs/install.md has it, without what a cluster has only once."""
    values = {
        "image.registry": node.PREFIX,
        "image.tag": node.TAG,
        "watchNamespaces": f"{{{place.pipelines}}}",
        "crds.install": "false",
        "admission.enabled": "false",
        "rbac.userRoles": "false",
        "retrain.enabled": "false",
        "controller.replicas": "1",
        "controller.resources.requests.cpu": "20m",
        "records.enabled": "true",
        # The test cluster makes no volumes.
        "records.persistence.enabled": "false",
        "records.versions.enabled": "true",
        "records.versions.callers": f"{{{place.pipelines}/{RUNNER}}}",
        "records.versions.audience": AUDIENCE,
        "records.versions.keys": "signers",
        "records.versions.tlsSecret": "records-tls",
    }
    sets = [part for key, value in values.items() for part in ("--set", f"{key}={value}")]
    chart = str(node.ROOT / "charts" / "serinus")
    node.helm("install", "serinus", chart, "-n", place.system, *sets, "--wait", "--timeout", "4m")


def test_what_the_compiled_step_sends_is_in_the_keepers_home_and_a_second_time_changes_nothing(
    place: Place, digests: tuple[Home, Home, dict[int, str]]
) -> None:
    wanted = digests[2][1]
    for created in (True, False):
        done = place.runner.sent(HERE, 1)
        assert done.code == 0, done.error  # where kubectl may have said something of its own streams
        (one,) = done.json["versions"]
        assert (one["version"], one["digest"], one["created"]) == (1, wanted, created)
    assert place.known()[1] == (wanted, "validated")
    assert place.registered(1) == [place.account(RUNNER)]
    assert place.keeper.run("serinus", "audit", "verify").code == 0
    status, page = place.runner.asked(f"{place.url}/metrics", CA)
    assert status == 200
    counts = [line for line in page.splitlines() if line.startswith("serinus_records_versions_total{")]
    assert any('result="known"' in line and float(line.split()[-1]) >= 1 for line in counts), counts


def test_another_digest_under_the_same_number_is_refused(
    place: Place, digests: tuple[Home, Home, dict[int, str]]
) -> None:
    assert place.runner.sent(HERE, 2).code == 0
    done = place.runner.sent(ELSEWHERE, 2)
    assert (done.code, done.json["error"]["code"]) == (1, "SRN-RECORDS-012")
    assert "(409, SRN-REGISTRY-004" in done.error
    assert place.known()[2] == (digests[2][2], "validated")
    assert place.registered(2) == [place.account(RUNNER)]


def test_who_is_not_named_shows_another_token_or_none_enters_nothing(place: Place) -> None:
    stranger = Pod(place.pipelines, "pod/stranger").sent(HERE, 3)
    assert stranger.json["error"]["code"] == "SRN-RECORDS-012"
    assert f"(403, SRN-RECORDS-004: {place.account('stranger')} is not among the callers" in stranger.error
    # The account is named, but its ordinary token was made for the API server.
    ordinary = place.runner.sent(HERE, 3, env=(ORDINARY,))
    assert ordinary.json["error"]["code"] == "SRN-RECORDS-012"
    assert "(401, SRN-RECORDS-003: nobody is known by this token" in ordinary.error
    status, said = place.runner.asked(f"{place.url}/v1/versions", CA, "POST")
    assert (status, json.loads(said)["code"]) == (401, "SRN-RECORDS-003")
    assert "no bearer token was sent" in said
    assert 3 not in place.known()
    assert place.registered(3) == []


def test_nothing_is_sent_to_a_keeper_whose_authority_is_another(place: Place) -> None:
    done = place.runner.sent(HERE, 3, env=("SERINUS_REGISTRAR_SECRETS=/more/other-ca",))
    assert (done.code, done.json["error"]["code"]) == (1, "SRN-RECORDS-011")
    assert "certificate verify failed" in done.error
    assert 3 not in place.known()


def test_the_callers_namespace_is_let_in_by_its_own_label_and_may_review_no_tokens(
    kube: Kube, place: Place
) -> None:
    policy = kube.must("NetworkPolicy", place.system, "serinus-records-callers")
    (rule,) = policy["spec"]["ingress"]
    (peer,) = rule["from"]
    labels = kube.must("Namespace", None, place.pipelines)["metadata"]["labels"]
    assert peer["namespaceSelector"]["matchLabels"].items() <= labels.items()
    chosen = policy["spec"]["podSelector"]["matchLabels"]
    pods = kube.list("Pod", place.system, ",".join(f"{key}={value}" for key, value in chosen.items()))
    assert [pod["metadata"]["labels"]["app.kubernetes.io/component"] for pod in pods] == ["records"]
    (port,) = rule["ports"]
    assert port["port"] in {one["name"] for one in pods[0]["spec"]["containers"][0]["ports"]}
    for account, may in (
        (f"system:serviceaccount:{place.system}:serinus-records", True),
        (place.account(RUNNER), False),
    ):
        asked = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": account,
                "resourceAttributes": {
                    "group": "authentication.k8s.io",
                    "resource": "tokenreviews",
                    "verb": "create",
                },
            },
        }
        said = kube.call("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", asked)
        assert said["status"]["allowed"] is may, account
