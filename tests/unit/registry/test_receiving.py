"""A version that another registry tells of: entered by its digest, under a trusted signature, whole or not at all."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serinus.audit import Action, AuditLog
from serinus.bundle import SigningKey
from serinus.errors import SerinusError
from serinus.home import Home
from serinus.registry import Registry
from serinus.registry.receiving import Receiver
from serinus.registry.registration import RECEIVED, SHOWN, Registration, read_registration
from serinus.registry.rotation import retire_key
from tests.support.registrations import PROVENANCE, passed_bundle, registered, registration, trusting

CALLER = "system:serviceaccount:kubeflow:pipeline-runner"


@pytest.fixture
def builder(tmp_path: Path) -> Home:
    return Home(tmp_path / "builder")


@pytest.fixture
def told(builder: Home) -> Registration:
    return registration(builder)


@pytest.fixture
def keeper(tmp_path: Path, builder: Home, told: Registration) -> Home:
    return trusting(tmp_path / "keeper", builder)


def take(home: Home, told: Registration, by: str = CALLER) -> Any:
    again = read_registration(msgspec.json.encode(told))
    return Receiver(Registry(home), home.keys).take(again, by=by)


def entries(home: Home) -> list[Action]:
    return list(AuditLog(home.audit).entries())


def content(home: Home) -> dict[str, bytes]:
    """All files of a home but for SQLite's and locks, by path."""
    return {
        str(path.relative_to(home.root)): path.read_bytes()
        for path in home.root.rglob("*")
        if path.is_file() and not path.name.startswith("registry.db") and path.suffix != ".lock"
    }


def refused(home: Home, told: Registration) -> str:
    """The code of the refusal, which changed nothing."""
    before = content(home), Registry(home).every_version()
    with pytest.raises(SerinusError) as caught:
        take(home, told)
    assert (content(home), Registry(home).every_version()) == before
    return caught.value.code


def test_it_stands_in_registry_and_chain_as_where_it_was_built_and_says_who_told(
    builder: Home, keeper: Home, told: Registration
) -> None:
    receipt = take(keeper, told)
    there, here = Registry(builder).get("small"), Registry(keeper).get("small")
    assert (receipt.created, receipt.digest, receipt.stage) == (True, there.digest, "validated")
    changed = {"path": there.path, "created": there.created}
    assert msgspec.structs.replace(here, **changed) == there
    assert (here.tier, here.purpose) == (2, "Ranks payments by the risk of fraud.")
    assert here.lineage.data.digest == PROVENANCE["data"]["digest"]
    (entry,) = entries(keeper)
    assert (entry.actor, entry.action, entry.subject) == (CALLER, "register", "small/1")
    assert entry.details == entries(builder)[0].details | {
        "built_by": "ann",
        "registered": there.created,
        "bundle": "s3://models/bundles/x",
    }
    assert [(t.stage, t.by) for t in Registry(keeper).history("small", 1)] == [("validated", CALLER)]


def test_its_papers_can_be_read_there_and_its_bundle_once_it_is_pulled(
    builder: Home, keeper: Home, told: Registration
) -> None:
    take(keeper, told)
    version = Registry(keeper).get("small")
    origin = Path(Registry(builder).get("small").path)
    names = {path.name for path in Path(version.path).iterdir()}
    assert names == (set(SHOWN) & set(told.manifest.files)) | {"manifest.json", "signature.json", RECEIVED}
    for name in names - {RECEIVED}:
        assert (Path(version.path) / name).read_bytes() == (origin / name).read_bytes()
    with pytest.raises(SerinusError, match=r"SRN-REGISTRY-010.*s3://models/bundles/x") as caught:
        Registry(keeper).bundle(version)
    place = caught.value.hint.partition("--to ")[2].split()[0]
    os.rename(origin, place)  # what `serinus bundle pull` leaves there
    assert Registry(keeper).bundle(version).digest == version.digest


def test_told_again_it_changes_nothing(keeper: Home, told: Registration) -> None:
    take(keeper, told)
    before = content(keeper)
    again = take(keeper, told)
    assert (again.created, again.differs) == (False, ())
    assert content(keeper) == before


def test_signed_anew_by_another_trusted_key_it_changes_nothing_and_opens_once_the_first_is_retired(
    tmp_path: Path, builder: Home, keeper: Home, told: Registration
) -> None:
    take(keeper, told)
    version = Registry(keeper).get("small")
    shutil.copytree(Registry(builder).get("small").path, keeper.bundles / Path(version.path).name)
    second = SigningKey.load_or_create(tmp_path / "second")
    second.trust_in(keeper.keys)
    anew = msgspec.structs.replace(told, signature=second.sign(told.manifest.digest()))
    before = content(keeper)
    found = [take(keeper, each).differs for each in (anew, told, anew, told, anew)]
    assert found == [("key",), (), ("key",), (), ("key",)]
    assert content(keeper) == before
    registry = Registry(keeper)
    assert registry.get("small") == version
    retired = retire_key(registry, keeper, told.signature.key_id, by="kim", reason="rotation")
    assert retired.signed == (version.digest,)
    assert registry.bundle(version).digest == version.digest


def test_told_again_its_signature_must_count_all_the_same(
    tmp_path: Path, keeper: Home, told: Registration
) -> None:
    take(keeper, told)
    foreign = SigningKey.load_or_create(tmp_path / "foreign").sign(told.manifest.digest())
    assert refused(keeper, msgspec.structs.replace(told, signature=foreign)) == "SRN-BUNDLE-005"


def test_who_built_it_cannot_be_told_otherwise_afterwards(keeper: Home, told: Registration) -> None:
    """Or whoever built it could approve it."""
    take(keeper, told)
    again = take(keeper, msgspec.structs.replace(told, built_by="somebody else", run="r-2"))
    assert (again.created, again.differs) == (False, ("built_by", "run"))
    assert Registry(keeper).get("small").built_by == "ann"


def test_a_version_that_the_home_registered_itself_is_known(builder: Home, told: Registration) -> None:
    before = content(builder)
    assert take(builder, told).created is False
    assert content(builder) == before


def test_another_digest_under_the_same_number_is_refused(
    tmp_path: Path, keeper: Home, told: Registration
) -> None:
    take(keeper, told)
    other = Home(tmp_path / "other")
    rival = registration(other, seed=8)
    trusting(keeper.root, other)
    assert refused(keeper, rival) == "SRN-REGISTRY-004"


def test_one_that_somebody_enters_in_the_same_moment_leaves_no_papers(
    tmp_path: Path, keeper: Home, told: Registration, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Home(tmp_path / "other")
    rival = passed_bundle(other, seed=8)
    enter = Registry.enter

    def faster(registry: Registry, *args: Any, **more: Any) -> Any:
        monkeypatch.setattr(Registry, "enter", enter)
        registered(keeper, rival)
        return enter(registry, *args, **more)

    monkeypatch.setattr(Registry, "enter", faster)
    with pytest.raises(SerinusError, match="SRN-REGISTRY-004"):
        take(keeper, told)
    assert list((keeper.root / "versions").iterdir()) == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda told, key: {"signature": key.sign(told.manifest.digest())}, "SRN-BUNDLE-005"),
        (
            lambda told, key: {"signature": msgspec.structs.replace(told.signature, value="00" * 64)},
            "SRN-BUNDLE-006",
        ),
        (
            lambda told, key: {"signature": msgspec.structs.replace(told.signature, value="no hex")},
            "SRN-BUNDLE-006",
        ),
        (
            lambda told, key: {"manifest": msgspec.structs.replace(told.manifest, version=2)},
            "SRN-BUNDLE-006",
        ),
    ],
)
def test_a_signature_that_does_not_count_is_refused(
    tmp_path: Path,
    keeper: Home,
    told: Registration,
    change: Callable[[Registration, SigningKey], dict[str, Any]],
    code: str,
) -> None:
    foreign = SigningKey.load_or_create(tmp_path / "foreign")
    assert refused(keeper, msgspec.structs.replace(told, **change(told, foreign))) == code


def test_where_nobody_is_trusted_nothing_is_taken(tmp_path: Path, told: Registration) -> None:
    assert refused(Home(tmp_path / "empty"), told) == "SRN-KEY-002"


@pytest.mark.parametrize(
    ("made", "code"),
    [
        ({"verdict": "fail"}, "SRN-RECORDS-007"),
        ({"verdict": None}, "SRN-RECORDS-007"),
        ({"tier": 7}, "SRN-ACCESS-009"),
    ],
)
def test_what_its_signed_papers_say_is_held_against_it(
    tmp_path: Path, made: dict[str, Any], code: str
) -> None:
    builder = Home(tmp_path / "b")
    bundle = passed_bundle(builder, **made)
    told = registration(Home(tmp_path / "sound"))  # a frame
    papers = {name: (bundle.path / name).read_text() for name in told.papers}
    signature = SigningKey.load(builder.keys).sign(bundle.digest)
    wrong = msgspec.structs.replace(told, manifest=bundle.manifest, signature=signature, papers=papers)
    assert refused(trusting(tmp_path / "keeper", builder), wrong) == code


def changed(told: Registration, **fields: Any) -> bytes:
    return msgspec.json.encode(msgspec.to_builtins(told) | fields)


WRONG: list[tuple[str, Callable[[Registration], bytes], str]] = [
    ("no JSON", lambda told: b"{", "truncated"),
    ("not UTF-8", lambda told: b'{"schema": "\xff"}', "no registration"),
    ("a list", lambda told: b"[]", "Expected `object`, got `array`"),
    ("another schema", lambda told: changed(told, schema="serinus.io/registration/v9"), r"\$.schema"),
    ("an unknown field", lambda told: changed(told, stage="champion"), "unknown field `stage`"),
    ("a wrong type", lambda told: changed(told, owner=3), r"\$.owner"),
    ("nobody", lambda told: changed(told, built_by=""), r"\$.built_by"),
    ("a line break", lambda told: changed(told, owner="a\nb"), r"\$.owner"),
    ("a line break at the end", lambda told: changed(told, owner="a\n"), r"\$.owner"),
    ("no time", lambda told: changed(told, registered="yesterday"), "isoformat"),
    ("a long run", lambda told: changed(told, run="r" * 254), r"\$.run"),
    ("a paper too few", lambda told: changed(told, papers={}), "contract.json is missing"),
    (
        "a paper that was edited",
        lambda told: changed(told, papers=told.papers | {"provenance.json": "{}"}),
        "provenance.json is not the one",
    ),
    (
        "a file that is no paper",
        lambda told: changed(told, papers=told.papers | {"../../keys/trusted-1.pem": "x"}),
        "is not a paper",
    ),
    (
        "a paper that the manifest lacks",
        lambda told: changed(told, papers=told.papers | {"report.html": "x"}),
        "the manifest knows no report.html",
    ),
    *(
        (
            f"the name {name!r}",
            lambda told, name=name: changed(
                told, manifest=msgspec.to_builtins(told.manifest) | {"name": name}
            ),
            r"\$.name",
        )
        for name in ("../up", "a/b", "", ".", "a" * 64, "a\n")
    ),
    *(
        (
            f"the number {number}",
            lambda told, number=number: changed(
                told, manifest=msgspec.to_builtins(told.manifest) | {"version": number}
            ),
            r"\$.version",
        )
        for number in (0, -1, 2**40)
    ),
]


@pytest.mark.parametrize(("body", "why"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_what_is_no_registration_is_told_plainly(
    told: Registration, body: Callable[[Registration], bytes], why: str
) -> None:
    with pytest.raises(SerinusError, match=why) as caught:
        read_registration(body(told))
    assert caught.value.code == "SRN-RECORDS-006"


@pytest.mark.parametrize("name", ["validation.json", "provenance.json", "contract.json"])
def test_a_paper_of_deep_nesting_is_refused(told: Registration, name: str) -> None:
    deep = "[" * 100_000 + "]" * 100_000
    raw = deep.encode()
    files = msgspec.to_builtins(told.manifest.files)
    files[name] = {"sha256": hashlib.sha256(raw).hexdigest(), "size": len(raw)}
    manifest = msgspec.to_builtins(told.manifest) | {"files": files}
    body = changed(told, manifest=manifest, papers=told.papers | {name: deep})
    with pytest.raises(SerinusError, match="SRN-RECORDS-006"):
        read_registration(body)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_body_does_anything_but_pass_or_be_refused(data: st.DataObject) -> None:
    """Damaged anywhere, it is refused under a code of ours, or it is what it was."""
    body = bytearray(_BODY())
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        read_registration(bytes(body))
    except SerinusError as error:
        if error.code not in ("SRN-RECORDS-006", "SRN-RECORDS-007"):
            raise


_KEPT: list[bytes] = []


def _BODY() -> bytes:
    if not _KEPT:
        import tempfile

        with tempfile.TemporaryDirectory() as directory:
            _KEPT.append(msgspec.json.encode(registration(Home(Path(directory)))))
    return _KEPT[0]


# --- killed ---------------------------------------------------------------------------

CALLS = ("fsync", "fdatasync", "replace", "rename")


def dies(home: Home, told: Registration, at: int) -> bool:
    """A process takes it, and ends in the middle of its ``at``-th call that makes something durable; False where it
    has fewer."""
    child = os.fork()
    if child == 0:
        left = [at]

        def wrap(name: str) -> Callable[..., Any]:
            real = getattr(os, name)

            def call(*args: Any, **more: Any) -> Any:
                left[0] -= 1
                if left[0] == 0:
                    os._exit(9)
                return real(*args, **more)

            return call

        for name in CALLS:
            setattr(os, name, wrap(name))
        try:
            Receiver(Registry(home), home.keys).take(told, by=CALLER)
        except BaseException:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, 9)
    return code == 9


def test_killed_at_any_moment_it_is_entered_once_when_it_is_sent_again(
    tmp_path: Path, builder: Home, told: Registration
) -> None:
    at, unseen = 0, 0
    while True:
        at += 1
        home = trusting(tmp_path / f"keeper-{at}", builder)
        killed = dies(home, told, at)
        unseen += killed and not Registry(home).models()
        take(home, told)
        (version,) = Registry(home).versions("small")
        assert len(Registry(home).history("small", 1)) == 1
        assert {name: (Path(version.path) / name).read_text() for name in told.papers} == told.papers
        assert [path.name for path in (home.root / "versions").iterdir()] == [Path(version.path).name]
        # The chain is written before the registry commits: killed in between, what was entered is said twice.
        assert [entry.action for entry in entries(home)] in (["register"], ["register"] * 2)
        AuditLog(home.audit).verify()
        if not killed:
            break
    assert at > 10
    assert unseen > 5
