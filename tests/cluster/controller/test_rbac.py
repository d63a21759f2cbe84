"""The controller's rights are enough, and each of them is needed: seen in the API server's own audit log."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Iterator

import pytest

from serving.rollout.kube.names import ROLLOUT, Kind
from serving.rollout.kube.rbac import LEASE_RULES, RULES, Rule, rules
from tests.support.apiserver import ApiServer
from tests.support.ports import free_port

from .server import running, staged
from .stage import PATIENCE, Stage, is_ended, rollout

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(900)]

ROLE = Kind("rbac.authorization.k8s.io", "v1", "roles", "Role")
BINDING = Kind("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding")
REVIEW = Kind("authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview")
ALL = (*RULES, *LEASE_RULES)
EACH = [(rule, verb) for rule in ALL for verb in rule.verbs]
USERS = ["whole", *(f"less-{i}" for i in range(len(EACH)))]
AT_ONCE = 4


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def audited() -> Iterator[ApiServer]:
    """An API server that knows one user for each right that is taken away."""
    with running(*USERS) as made:
        yield made


Asked = list[tuple[str, str, int]]


def barred(asked: Asked) -> set[tuple[str, str]]:
    """What was refused."""
    return {(verb, resource) for verb, resource, code in asked if code == 403}


def used(asked: Asked) -> set[tuple[str, str]]:
    return {(verb, resource) for verb, resource, _ in asked}


async def logged(server: ApiServer, user: str, holds: Callable[[Asked], bool]) -> Asked:
    """What a program that has ended asked for: the last of it may be in the log a moment after its answer."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(20):
            while not holds(server.requests(user)):
                await asyncio.sleep(0.1)
    return server.requests(user)


async def play(server: ApiServer, user: str, granted: tuple[Rule, ...]) -> bool:
    """Let the real program drive a rollout under these rights until its end, or until it is refused something."""
    async with staged(server) as stage:
        await grant(stage, user, granted)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "serving.rollout.kube", "--kubeconfig", str(server.kubeconfig(user)),
            "--namespace", stage.namespace, "--lease-namespace", stage.namespace, "--interval", "200ms",
            "--prometheus", stage.prometheus.url, "--host", "127.0.0.1", "--log-level", "error",
            "--health-port", str(free_port()), "--metrics-port", str(free_port()),
            stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            await stage.put(ROLLOUT, rollout(startedBy="admin"))
            async with asyncio.timeout(180):  # four programs start at once, on a busy machine
                while not (whole := await settled(stage)) and not barred(server.requests(user)):
                    await asyncio.sleep(0.1)
            return whole
        except TimeoutError:
            return False
        finally:
            if process.returncode is None:  # refused its lease, it has ended by itself
                process.terminate()
            await process.wait()


async def settled(stage: Stage) -> bool:
    """Whether the rollout has ended, with its last Event told and its finalizer gone."""
    if not is_ended(await stage.status()):
        return False
    found = await stage.api.get(ROLLOUT, stage.namespace, "fraud-4")
    return not found["metadata"].get("finalizers") and len(await stage.events()) == 5


async def grant(stage: Stage, user: str, granted: tuple[Rule, ...]) -> None:
    await stage.put(ROLE, {"metadata": {"name": "controller"}, "rules": rules(granted)})
    reference = {"apiGroup": ROLE.group, "kind": "Role", "name": "controller"}
    subject = {"apiGroup": ROLE.group, "kind": "User", "name": user}
    await stage.put(
        BINDING, {"metadata": {"name": "controller"}, "roleRef": reference, "subjects": [subject]}
    )
    # It is stored before it is known to who judges by it: until then, everything would be refused.
    one = granted[0]
    asked = {
        "namespace": stage.namespace,
        "group": one.group,
        "resource": one.resource.partition("/")[0],
        "subresource": one.resource.partition("/")[2],
        "verb": one.verbs[0],
    }
    body = {"apiVersion": REVIEW.api_version, "kind": REVIEW.kind}
    question = body | {"spec": {"user": user, "resourceAttributes": asked}}
    async with asyncio.timeout(PATIENCE):
        while not (await stage.api.create(REVIEW, None, question))["status"]["allowed"]:
            await asyncio.sleep(0.03)


def named(rule: Rule) -> str:
    return f"{rule.resource}.{rule.group}"


async def test_the_rights_are_enough_and_none_is_unused(audited: ApiServer) -> None:
    assert await play(audited, "whole", ALL)
    needed = {(verb, named(rule)) for rule, verb in EACH}
    asked = await logged(audited, "whole", lambda asked: needed <= used(asked))
    assert barred(asked) == set()
    assert used(asked) == needed


async def test_without_any_one_of_them_something_is_refused(audited: ApiServer) -> None:
    async def without(index: int) -> None:
        rule, verb = EACH[index]
        left = tuple(r._replace(verbs=tuple(v for v in r.verbs if (r, v) != (rule, verb))) for r in ALL)
        granted = tuple(r for r in left if r.verbs)
        await play(audited, f"less-{index}", granted)
        missed = await logged(audited, f"less-{index}", lambda asked: bool(barred(asked)))
        assert barred(missed) == {(verb, named(rule))}, f"without {verb} on {named(rule)}"

    gate = asyncio.Semaphore(AT_ONCE)

    async def one(index: int) -> None:
        async with gate:
            await without(index)

    await asyncio.gather(*(one(index) for index in range(len(EACH))))
