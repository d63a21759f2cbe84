"""``POST /v1/versions``: who is let in, what is said of each refusal, and that it changed nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from starlette.testclient import TestClient

from serinus.access import Access
from serinus.audit import AuditLog
from serinus.errors import SerinusError
from serinus.home import Home
from serinus.registry import Registry
from serinus.registry.receiving import Receiver
from serinus.registry.registration import LARGEST, Registration
from serving.registrar import versions
from serving.registrar.book import HomeBook
from serving.registrar.callers import Caller, MemoryCallers
from serving.registrar.follow import Desk
from serving.registrar.keeper import Keeper
from serving.registrar.pages import build_app
from serving.registrar.setup import Nobody
from serving.registrar.versions import Door
from tests.support.registrations import registration, trusting

POLICY = """
apiVersion: serinus.io/v1
kind: AccessPolicy
roles:
  developer: [pipeline]
  "*": [somebody]
"""


class Place:
    """A record keeper that follows no cluster."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.callers = MemoryCallers(
            {
                "known": Caller(name="pipeline"),
                "stranger": Caller(name="stranger"),
                "unnamed": Caller(name="unnamed", why_not="unnamed is not among them"),
            }
        )
        self.door = Door(Receiver(Registry(home), home.keys), self.callers, Access(home))
        follower = Nobody(Desk(Keeper(HomeBook(home))))
        self.client = TestClient(build_app(home, follower, door=self.door))

    def post(self, body: bytes, token: str | None = "known", **more: Any) -> httpx.Response:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return self.client.post("/v1/versions", content=body, headers=headers | more)

    def state(self) -> Any:
        return list(AuditLog(self.home.audit).entries()), Registry(self.home).every_version()


@pytest.fixture
def told(tmp_path: Path) -> Registration:
    return registration(Home(tmp_path / "builder"))


@pytest.fixture
def body(told: Registration) -> bytes:
    return msgspec.json.encode(told)


@pytest.fixture
def place(tmp_path: Path, told: Registration) -> Iterator[Place]:
    made = Place(trusting(tmp_path / "keeper", Home(tmp_path / "builder")))
    with made.client:
        yield made


def refusal(place: Place, answer: httpx.Response, status: int, code: str) -> dict[str, str]:
    document = answer.json()
    assert (answer.status_code, document["code"]) == (status, code)
    assert set(document) == {"code", "what", "where", "hint"}
    return document


def test_a_version_is_entered_as_its_caller_and_known_when_it_comes_again(place: Place, body: bytes) -> None:
    first, again = place.post(body), place.post(body)
    assert (first.status_code, again.status_code) == (201, 200)
    assert (first.json()["created"], again.json()["created"]) == (True, False)
    entries, versions = place.state()
    assert [(e.actor, e.action, e.subject) for e in entries] == [("pipeline", "register", "small/1")]
    assert [v.digest for v in versions] == [first.json()["digest"]]
    page = place.client.get("/metrics").text
    for result, count in (("created", 1), ("known", 1), ("refused", 0), ("failed", 0)):
        assert f'serinus_records_versions_total{{result="{result}"}} {count}.0' in page


@pytest.mark.parametrize(
    ("token", "status", "code"),
    [
        (None, 401, "SRN-RECORDS-003"),
        ("", 401, "SRN-RECORDS-003"),
        ("wrong", 401, "SRN-RECORDS-003"),
        ("x" * 20_000, 401, "SRN-RECORDS-003"),
        ("unnamed", 403, "SRN-RECORDS-004"),
    ],
)
def test_whoever_is_not_known_or_not_named_is_turned_away(
    place: Place, body: bytes, token: str | None, status: int, code: str
) -> None:
    before = place.state()
    answer = place.post(body, token)
    refusal(place, answer, status, code)
    assert ("WWW-Authenticate" in answer.headers) is (status == 401)
    assert place.state() == before


@pytest.mark.parametrize("header", ["Basic known", "known", "Bearer", "Bearer  "])
def test_only_a_bearer_token_is_one(place: Place, body: bytes, header: str) -> None:
    refusal(
        place,
        place.client.post("/v1/versions", content=body, headers={"Authorization": header}),
        401,
        "SRN-RECORDS-003",
    )


def test_the_access_policy_is_asked_and_what_it_refuses_is_recorded(place: Place, body: bytes) -> None:
    place.home.policy.write_text(POLICY)
    refusal(place, place.post(body, "stranger"), 403, "SRN-ACCESS-005")
    entries, versions = place.state()
    assert [(e.actor, e.action, e.subject) for e in entries] == [("stranger", "access-refused", "small/1")]
    assert versions == []
    assert place.post(body).status_code == 201


def test_a_policy_that_cannot_be_read_lets_nobody_in(place: Place, body: bytes) -> None:
    place.home.policy.write_text("roles: [")
    refusal(place, place.post(body), 503, "SRN-ACCESS-001")
    assert place.state()[1] == []


def other(place: Place) -> bytes:
    """Another digest under the same number, signed by one that is trusted too."""
    rival = Home(place.home.root.parent / "rival")
    made = msgspec.json.encode(registration(rival, seed=8))
    trusting(place.home.root, rival)
    return made


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        (lambda place, body: other(place), 409, "SRN-REGISTRY-004"),
        (lambda place, body: b"", 400, "SRN-RECORDS-006"),
        (lambda place, body: body[:-1], 400, "SRN-RECORDS-006"),
        (lambda place, body: body[:-1] + b',"tier":1}', 400, "SRN-RECORDS-006"),
        (
            lambda place, body: body.replace(b'"algorithm":"ed25519"', b'"algorithm":"none","x":1'),
            400,
            "SRN-RECORDS-006",
        ),
        (lambda place, body: b" " * (LARGEST + 1), 413, "SRN-RECORDS-005"),
        (lambda place, body: damaged(body), 422, "SRN-BUNDLE-006"),
    ],
)
def test_what_is_wrong_is_said_and_changes_nothing(
    place: Place, body: bytes, change: Callable[[Place, bytes], bytes], status: int, code: str
) -> None:
    assert place.post(body).status_code == 201
    sent = change(place, body)
    before = place.state()
    refusal(place, place.post(sent), status, code)
    assert place.state() == before
    assert place.post(body).status_code == 200


def damaged(body: bytes) -> bytes:
    told = msgspec.json.decode(body, type=Registration)
    value = ("0" if told.signature.value[0] != "0" else "1") + told.signature.value[1:]
    return msgspec.json.encode(
        msgspec.structs.replace(told, signature=msgspec.structs.replace(told.signature, value=value))
    )


@pytest.mark.parametrize(
    ("error", "status"),
    [("SRN-HOME-001", 503), ("SRN-AUDIT-002", 503), ("SRN-REGISTRY-001", 503), ("SRN-KEY-001", 503)],
)
def test_what_is_wrong_here_is_to_be_sent_again(
    place: Place, body: bytes, monkeypatch: pytest.MonkeyPatch, error: str, status: int
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise SerinusError(error, "the disk is full", hint="Free some space.")

    with monkeypatch.context() as patch:
        patch.setattr(AuditLog, "append", full)
        answer = place.post(body)
    refusal(place, answer, status, error)
    assert int(answer.headers["Retry-After"]) > 0
    assert place.state() == ([], [])
    assert list((place.home.root / "versions").iterdir()) == []
    assert place.post(body).status_code == 201


def test_whose_token_it_is_cannot_be_found_out_is_no_refusal(place: Place, body: bytes) -> None:
    place.callers.down = True
    refusal(place, place.post(body), 503, "SRN-RECORDS-008")
    place.callers.down = False
    assert place.post(body).status_code == 201


def test_more_than_a_few_at_once_are_asked_to_come_again(place: Place, body: bytes) -> None:
    async def all_taken(place: Place) -> None:
        for _ in range(versions.MAX_WAITING):
            await place.door._waiting.acquire()

    assert place.client.portal is not None
    place.client.portal.call(all_taken, place)
    refusal(place, place.post(body), 503, "SRN-RECORDS-008")
    for _ in range(versions.MAX_WAITING):
        place.client.portal.call(place.door._waiting.release)
    assert place.post(body).status_code == 201


def test_without_callers_there_is_no_way_in(tmp_path: Path, body: bytes) -> None:
    home = Home(tmp_path / "closed")
    with TestClient(build_app(home, Nobody(Desk(Keeper(HomeBook(home)))))) as client:
        assert client.post("/v1/versions", content=body).status_code == 404
        assert "serinus_records_versions_total" not in client.get("/metrics").text
        assert client.get("/readyz").status_code == 200
