"""What restricted Pod Security asks, and more: of every pod, whatever the values."""

from __future__ import annotations

import itertools

import pytest

from .support import VERSIONS, Obj, containers, model, one, platform, pods

PLATFORMS = [
    (),
    ("watchNamespaces={fraud}",),
    ("retrain.kfp.tokenAudience=kfp", "retrain.persistence.enabled=false"),
    VERSIONS,
]
MODELS = [
    (),
    ("drift.enabled=false",),
    ("executor=true", "autoscaling.enabled=true"),
    ("bundle.uri=file:///mnt/models/a", "storage.volume.persistentVolumeClaim.claimName=models"),
]
ASKING = ("Deployment/serinus-controller", "Deployment/serinus-records")  # who has a token of the API server
WATCHED = [
    ("monitor.enabled=true", "outcomes.enabled=true"),
    (
        *("monitor.enabled=true", "outcomes.enabled=true", "drift.enabled=false"),
        *("decisions.existingClaim=decisions", "monitor.persistence.enabled=false"),
        *("privacy.existingClaim=subjects", "privacy.masterKeySecret=master"),
        *("bundle.uri=file:///mnt/models/a", "storage.volume.persistentVolumeClaim.claimName=models"),
    ),
]


def _all() -> list[Obj]:
    return list(
        itertools.chain(
            *(platform(*sets, operator=True) for sets in PLATFORMS),
            *(model(*sets) for sets in [*MODELS, *WATCHED]),
        )
    )


@pytest.fixture(scope="module")
def objects() -> list[Obj]:
    return _all()


def test_each_pod_is_nobody_in_particular(objects: list[Obj]) -> None:
    found = list(pods(objects))
    assert len(found) == 2 * len(PLATFORMS) + 1 + len(MODELS) + 3 * len(WATCHED)
    for name, pod in found:
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True, name
        assert security["runAsUser"] == security["runAsGroup"] == 65532, name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys(), name
        assert not any("hostPath" in volume for volume in pod["volumes"]), name


def test_each_container_can_write_its_volumes_only_and_gain_nothing(objects: list[Obj]) -> None:
    for name, pod in pods(objects):
        for container in containers(pod):
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"] is True, name
            assert security["allowPrivilegeEscalation"] is False, name
            assert security["capabilities"] == {"drop": ["ALL"]}, name
            assert "privileged" not in security, name


def test_only_who_asks_the_api_server_has_a_token(objects: list[Obj]) -> None:
    for name, pod in pods(objects):
        assert pod["automountServiceAccountToken"] is (name in ASKING), name
    for account in (found for found in objects if found["kind"] == "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False


def test_each_container_says_what_it_needs_and_what_it_may_take(objects: list[Obj]) -> None:
    for name, pod in pods(objects):
        for container in containers(pod):
            resources = container["resources"]
            assert {"cpu", "memory"} <= resources["requests"].keys(), name
            assert "memory" in resources["limits"], name


def test_each_long_running_container_is_probed(objects: list[Obj]) -> None:
    for name, pod in pods(objects):
        for container in pod["containers"]:
            assert "livenessProbe" in container, name
            # What stands beside the scorer in its pod must not keep traffic from it.
            beside = name.startswith("SeldonDeployment/") and container["name"] != "scorer"
            assert ("readinessProbe" in container) is not beside, name


def test_no_volume_of_a_node_grows_without_bound(objects: list[Obj]) -> None:
    for name, pod in pods(objects):
        for volume in pod["volumes"]:
            if "emptyDir" in volume and not name.startswith("Deployment/serinus-retrain"):
                assert volume["emptyDir"].get("sizeLimit"), f"{name}: {volume['name']}"


def test_the_controller_reads_no_secret_and_writes_no_workload() -> None:
    rules = one(platform(), "ClusterRole", "serinus-controller")["rules"]
    assert not {"secrets", "configmaps"} & {resource for rule in rules for resource in rule["resources"]}
    writing = {"create", "update", "patch", "delete", "*"}
    written = {resource for rule in rules if writing & set(rule["verbs"]) for resource in rule["resources"]}
    assert written == {"modelrollouts", "modelrollouts/status", "seldondeployments", "events"}


def test_every_pod_has_a_policy() -> None:
    objects = model(*WATCHED[0])
    chosen = [
        found["spec"]["podSelector"]["matchLabels"] for found in objects if found["kind"] == "NetworkPolicy"
    ]
    for deployment in (found for found in objects if found["kind"] == "Deployment"):
        labels = deployment["spec"]["template"]["metadata"]["labels"].items()
        assert sum(one.items() <= labels for one in chosen) == 1, deployment["metadata"]["name"]
        # And none is taken for a predictor's by the budget of disruptions or by Seldon.
        assert "seldon-deployment-id" not in dict(labels)


def test_approving_comes_with_no_role_that_people_have_already() -> None:
    objects = platform()
    for name in ("viewer", "operator", "approver"):
        role = one(objects, "ClusterRole", f"serinus-rollout-{name}")
        aggregated = [key for key in role["metadata"]["labels"] if "aggregate-to" in key]
        creates = {
            resource for rule in role["rules"] if "create" in rule["verbs"] for resource in rule["resources"]
        }
        assert ("rolloutapprovals" in creates) is (name == "approver")
        assert bool(aggregated) is (name != "approver")


def test_what_has_a_policy_lets_in_and_out_only_what_it_names() -> None:
    objects = [*platform(), *model(*WATCHED[0])]
    policies = [found for found in objects if found["kind"] == "NetworkPolicy"]
    assert len(policies) == 5
    for policy in policies:
        assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
        assert policy["spec"]["podSelector"]["matchLabels"]
        assert all(rule.get("from") for rule in policy["spec"]["ingress"])
        assert all(rule.get("ports") for rule in policy["spec"]["egress"])
