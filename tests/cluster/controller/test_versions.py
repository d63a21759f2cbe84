"""Who tells of a version, by a real API server that reviews their tokens: accounts, audiences, the keeper's right."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from serinus.audit import AuditLog
from serinus.home import Home
from serinus.kube.api import Api
from serinus.kube.kinds import Kind
from serinus.registry import Registry
from tests.local.records.keeper import KeeperProcess, sent
from tests.support.apiserver import ApiServer
from tests.support.registrations import passed_bundle, registered, registration, trusting

from .stage import PATIENCE

pytestmark = pytest.mark.anyio

USER = "controller"  # one that the session's server knows; here it may review tokens and nothing else
RULES = [{"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]}]
"""As the chart has them (charts/serinus/templates/records/rbac.yaml)."""
ROLE = Kind("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole")
BINDING = Kind("rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding")
REVIEW = Kind("authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview")
NAMESPACE = Kind("", "v1", "namespaces", "Namespace")
ACCOUNT = Kind("", "v1", "serviceaccounts", "ServiceAccount")
AUDIENCE = "serinus-records"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Place:
    """A namespace with two accounts, a builder's home and a keeper's."""

    def __init__(self, api: Api, server: ApiServer, directory: Path) -> None:
        self.api, self.server, self.directory = api, server, directory
        self.namespace = f"v-{uuid.uuid4().hex[:10]}"
        self.builder = Home(directory / "builder")
        self.told = registration(self.builder)
        self.keeper = trusting(directory / "keeper", self.builder)

    async def begin(self) -> None:
        await self.api.create(NAMESPACE, None, {"metadata": {"name": self.namespace}})
        for name in ("pipeline-runner", "other"):
            await self.api.create(ACCOUNT, self.namespace, {"metadata": {"name": name}})

    async def may_review(self) -> None:
        await self.api.create(ROLE, None, {"metadata": {"name": self.namespace}, "rules": RULES})
        reference = {"apiGroup": ROLE.group, "kind": "ClusterRole", "name": self.namespace}
        subject = {"apiGroup": ROLE.group, "kind": "User", "name": USER}
        body = {"metadata": {"name": self.namespace}, "roleRef": reference, "subjects": [subject]}
        await self.api.create(BINDING, None, body)
        # It is stored before it is known to who judges by it.
        wanted = {"group": "authentication.k8s.io", "resource": "tokenreviews", "verb": "create"}
        question = {"apiVersion": REVIEW.api_version, "kind": REVIEW.kind}
        question |= {"spec": {"user": USER, "resourceAttributes": wanted}}
        async with asyncio.timeout(PATIENCE):
            while not (await self.api.create(REVIEW, None, question))["status"]["allowed"]:
                await asyncio.sleep(0.03)

    async def end(self) -> None:
        for kind in (BINDING, ROLE):
            if await self.api.find(kind, None, self.namespace) is not None:
                await self.api._call("DELETE", kind.path(None, self.namespace))
        await self.api._call("DELETE", NAMESPACE.path(None, self.namespace))

    async def token(self, name: str, audience: str = "") -> str:
        """As the kubelet asks for it."""
        spec = {"expirationSeconds": 600} | ({"audiences": [audience]} if audience else {})
        answer = await self.api._call(
            "POST", ACCOUNT.path(self.namespace, name, "token"), body={"spec": spec}
        )
        return str(answer["status"]["token"])

    def taking(self, *flags: str) -> KeeperProcess:
        account = f"{self.namespace}/pipeline-runner"
        config = str(self.server.kubeconfig(USER))
        return KeeperProcess(
            self.keeper.root, "--no-follow", "--caller", account, "--kubeconfig", config, *flags
        )

    async def post(self, process: KeeperProcess, token: str) -> tuple[int, dict[str, Any]]:
        async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE) as client:
            answer = await client.post(
                f"{process.url}/v1/versions",
                content=msgspec.json.encode(self.told),
                headers={"Authorization": f"Bearer {token}"},
            )
        return answer.status_code, answer.json()

    def account(self, name: str) -> str:
        return f"system:serviceaccount:{self.namespace}:{name}"

    def entries(self) -> list[tuple[str, str]]:
        return [(e.actor, e.action) for e in AuditLog(self.keeper.audit).entries()]


@pytest.fixture
async def place(server: ApiServer, tmp_path: Path) -> AsyncGenerator[Place]:
    api = Api(server.configuration())
    made = Place(api, server, tmp_path)
    await made.begin()
    try:
        yield made
    finally:
        await made.end()
        await api.close()


async def test_the_named_account_is_let_in_and_nobody_else(place: Place) -> None:
    await place.may_review()
    with place.taking() as process:
        for token in ("garbage", "a.b.c", (await place.token("pipeline-runner"))[:-4] + "AAAA"):
            status, said = await place.post(process, token)
            assert (status, said["code"]) == (401, "SRN-RECORDS-003")
        # A person and another account are known, and not named.
        for token, name in (("ann", "ann"), (await place.token("other"), place.account("other"))):
            status, said = await place.post(process, token)
            assert (status, said["code"]) == (403, "SRN-RECORDS-004")
            assert name in said["what"]
        # A token that was made for somebody else opens nothing here.
        status, said = await place.post(process, await place.token("pipeline-runner", "another-service"))
        assert (status, said["code"]) == (401, "SRN-RECORDS-003")
        assert Registry(place.keeper).models() == []
        status, said = await place.post(process, await place.token("pipeline-runner"))
        assert (status, said["created"]) == (201, True)
    assert place.entries() == [(place.account("pipeline-runner"), "register")]


async def test_a_token_must_be_for_the_audience_that_is_asked_for(place: Place) -> None:
    await place.may_review()
    with place.taking("--token-audience", AUDIENCE) as process:
        for audience in ("", "another-service"):
            status, said = await place.post(process, await place.token("pipeline-runner", audience))
            assert (status, said["code"]) == (401, "SRN-RECORDS-003")
        status, _ = await place.post(process, await place.token("pipeline-runner", AUDIENCE))
        assert status == 201


async def test_an_account_that_is_gone_is_nobody(place: Place) -> None:
    await place.may_review()
    token = await place.token("pipeline-runner")
    await place.api._call("DELETE", ACCOUNT.path(place.namespace, "pipeline-runner"))
    with place.taking() as process:
        # The API server may believe in the account for a moment longer, and in its token for ten seconds then.
        async with asyncio.timeout(PATIENCE):
            while (answer := await place.post(process, token))[0] in (200, 201):
                await asyncio.sleep(0.1)
    status, said = answer
    assert (status, said["code"]) == (401, "SRN-RECORDS-003")


async def test_the_command_waits_for_a_keeper_that_may_not_ask_yet_and_then_is_known(place: Place) -> None:
    """As a pod does, with its account's token; the right comes late, as it may when a chart is installed."""
    file = place.directory / "token"
    file.write_text(await place.token("pipeline-runner"))
    registered(place.builder, passed_bundle(place.builder, version=2, seed=2))
    with place.taking() as process:
        status, said = await place.post(process, file.read_text())
        assert (status, said["code"]) == (503, "SRN-RECORDS-008")
        assert "tokenreviews" in said["what"]
        await place.may_review()
        code, printed, error = sent(place.builder.root, "all", "--to", process.url, "--token", str(file))
    assert (code, error) == (0, "")
    assert [v["created"] for v in printed["versions"]] == [True, True]
    assert place.entries() == [(place.account("pipeline-runner"), "register")] * 2
