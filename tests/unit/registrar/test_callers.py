"""Who calls: one contract over tokens in memory, in a file, and as a Kubernetes API server reviews them."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from kubernetes.client import Configuration

from serinus.errors import SerinusError
from serinus.kube.api import Api
from serving.registrar.callers import (
    Caller,
    Callers,
    CannotAsk,
    EitherOf,
    MemoryCallers,
    TokenFile,
    TokenReviews,
)
from serving.registrar.setup import check_callers

pytestmark = pytest.mark.anyio
TOKEN = "the-right-token-of-the-pipeline"
RUNNER = "system:serviceaccount:kubeflow:pipeline-runner"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Reviewer:
    """Answers tokenreviews as an API server does."""

    def __init__(self, **status: Any) -> None:
        self.code, self.asked = 201, list[dict[str, Any]]()
        self._status = status

    def __call__(self, request: httpx.Request) -> httpx.Response:
        assert (request.method, request.url.path) == ("POST", "/apis/authentication.k8s.io/v1/tokenreviews")
        body = json.loads(request.content)
        self.asked.append(body["spec"])
        if self.code != 201:
            return httpx.Response(self.code, json={"reason": "Forbidden", "message": "cannot create"})
        known = body["spec"]["token"] == TOKEN
        status = {"authenticated": True, "user": {"username": RUNNER}} if known else {"error": "invalid"}
        return httpx.Response(201, json=body | {"status": status | (self._status if known else {})})


def api(answer: Callable[[httpx.Request], httpx.Response]) -> Api:
    found = Configuration()
    found.host = "http://127.0.0.1:1"
    return Api(found, httpx.MockTransport(answer))


@pytest.fixture(params=["memory", "file", "tokenreview", "either"])
async def callers(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[tuple[Callers, str]]:
    """One that knows ``TOKEN``, and as whom."""
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    server = api(Reviewer())
    made: dict[str, tuple[Callers, str]] = {
        "memory": (MemoryCallers({TOKEN: Caller(name="ann")}), "ann"),
        "file": (TokenFile(tmp_path / "token", "pipeline"), "pipeline"),
        "tokenreview": (TokenReviews(server, ["kubeflow/pipeline-runner"]), RUNNER),
        "either": (
            EitherOf([MemoryCallers({"x" * 20: Caller(name="x")}), TokenFile(tmp_path / "token", "p")]),
            "p",
        ),
    }
    yield made[request.param]
    await server.close()


async def test_the_owner_of_a_token_is_known_and_may(callers: tuple[Callers, str]) -> None:
    assert await callers[0].who(TOKEN) == Caller(name=callers[1])


@pytest.mark.parametrize("token", ["", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "ü" * 20, "null"])
async def test_any_other_token_is_nobodys(callers: tuple[Callers, str], token: str) -> None:
    assert await callers[0].who(token) is None


async def test_an_account_that_is_not_named_is_known_and_may_not() -> None:
    server = api(Reviewer())
    found = await TokenReviews(server, ["kubeflow/other", "other/pipeline-runner"]).who(TOKEN)
    assert found is not None
    assert found.name == RUNNER
    assert RUNNER in found.why_not


@pytest.mark.parametrize(
    ("wanted", "audiences", "known"),
    [
        ("", None, True),
        ("serinus-records", ["serinus-records"], True),
        ("serinus-records", ["https://kubernetes.default.svc"], False),
        # An authenticator that knows nothing of audiences: its word is not taken for ours.
        ("serinus-records", None, False),
        ("serinus-records", [], False),
    ],
)
async def test_a_token_must_be_for_the_audience(
    wanted: str, audiences: list[str] | None, known: bool
) -> None:
    reviewer = Reviewer(**({} if audiences is None else {"audiences": audiences}))
    found = await TokenReviews(api(reviewer), ["kubeflow/pipeline-runner"], wanted).who(TOKEN)
    assert (found is not None) is known
    assert reviewer.asked == [{"token": TOKEN} | ({"audiences": [wanted]} if wanted else {})]


@pytest.mark.parametrize("status", [{"user": {}}, {"user": None}, {"authenticated": False}])
async def test_an_answer_without_a_name_is_nobody(status: dict[str, Any]) -> None:
    assert await TokenReviews(api(Reviewer(**status)), ["kubeflow/pipeline-runner"]).who(TOKEN) is None


@pytest.mark.parametrize("code", [403, 404, 429, 500, 503])
async def test_an_api_server_that_does_not_review_is_no_verdict_on_the_caller(code: int) -> None:
    reviewer = Reviewer()
    reviewer.code = code
    with pytest.raises(CannotAsk, match=str(code)):
        await TokenReviews(api(reviewer), ["kubeflow/pipeline-runner"]).who(TOKEN)


async def test_an_api_server_that_is_away_is_none_either() -> None:
    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(CannotAsk, match="refused"):
        await TokenReviews(api(away), ["kubeflow/pipeline-runner"]).who(TOKEN)


async def test_a_token_in_a_file_may_be_replaced(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    callers = TokenFile(file, "pipeline")
    assert await callers.who(TOKEN)
    file.write_text("another-token-of-the-pipeline")
    assert await callers.who(TOKEN) is None
    assert await callers.who("another-token-of-the-pipeline")


@pytest.mark.parametrize("content", [None, b"", b"\n", b"short", b"\xff" * 20])
async def test_without_a_token_of_some_length_nobody_is_let_in(tmp_path: Path, content: bytes | None) -> None:
    """An empty file would let in whoever sends nothing."""
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    for sent in ("", "short"):
        with pytest.raises(CannotAsk):
            await TokenFile(file, "pipeline").who(sent)
    with pytest.raises(SerinusError, match="SRN-RECORDS-009"):
        check_callers([], "", file)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
async def test_one_that_cannot_be_asked_keeps_nobody_out_whom_another_knows(
    tmp_path: Path, order: tuple[int, ...]
) -> None:
    """Their token is no worse for a file that somebody broke; of any other nobody can say whose it is."""
    broken = [TokenFile(tmp_path / "none", "pipeline"), MemoryCallers({})]
    all_of = [*broken, TokenReviews(api(Reviewer()), ["kubeflow/pipeline-runner"])]
    either = EitherOf([all_of[place] for place in order])
    assert await either.who(TOKEN) == Caller(name=RUNNER)
    with pytest.raises(CannotAsk, match="the file of the callers' token cannot be read"):
        await either.who("x" * 20)


async def test_where_several_cannot_be_asked_each_says_why(tmp_path: Path) -> None:
    away = MemoryCallers({})
    away.down = True
    with pytest.raises(CannotAsk, match="cannot be read .*; nobody there"):
        await EitherOf([TokenFile(tmp_path / "none", "pipeline"), away]).who(TOKEN)


@pytest.mark.parametrize(
    ("accounts", "audience"),
    [(["pipeline-runner"], ""), (["a/b/c"], ""), (["*/*"], ""), (["a/"], ""), (["A/b"], ""), ([], "serinus")],
)
def test_what_is_no_account_is_refused_at_the_start(accounts: list[str], audience: str) -> None:
    with pytest.raises(SerinusError, match="SRN-RECORDS-009"):
        check_callers(accounts, audience, None)
