"""How a version is named: by number, by stage, by digest; everywhere alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from serinus.cli import main
from serinus.errors import SerinusError
from serinus.registry import Registry, Version
from tests.support.bundles import small_bundle, small_home

Named = Callable[[list[Version]], str]


def installed(tmp_path: Path) -> Registry:
    """Versions 1 to 3: the champion, the canary, and one that nobody has agreed to."""
    registry = Registry(small_home(tmp_path))
    for number in (1, 2, 3):
        registry.register(small_bundle(tmp_path, version=number), by="ann", owner="cards", run="r1")
    registry.set_stage("small", 1, "champion", by="bob", reason="first")
    registry.set_stage("small", 2, "canary", by="bob", reason="better")
    return registry


@pytest.mark.parametrize(
    ("named", "version"),
    [
        (lambda _: "2", 2),
        (lambda _: "v2", 2),
        (lambda _: "latest", 3),
        (lambda _: "champion", 1),
        (lambda _: "canary", 2),
        (lambda made: made[2].digest, 3),
        (lambda made: made[2].digest.removeprefix("sha256:"), 3),
        (lambda made: made[0].digest[7:15], 1),
        (lambda made: made[0].digest[7:19].upper(), 1),
    ],
)
def test_one_is_found(tmp_path: Path, named: Named, version: int) -> None:
    registry = installed(tmp_path)
    assert registry.get("small", named(registry.versions("small"))).version == version


@pytest.mark.parametrize(
    "named",
    [
        lambda _: "4",
        lambda _: "validated",  # many are
        lambda made: made[0].digest[7:14],  # too short to be meant
        lambda made: "0" * 8 if not made[0].digest.startswith("sha256:00000000") else "1" * 8,
        lambda _: "sha256:",
        lambda _: "",
    ],
)
def test_what_names_none_is_refused_with_what_there_is(tmp_path: Path, named: Named) -> None:
    registry = installed(tmp_path)
    with pytest.raises(SerinusError, match=r"SRN-REGISTRY-002.*\n?.*1 \(champion\), 2 \(canary\), 3"):
        registry.get("small", named(registry.versions("small")))


@pytest.mark.parametrize("named", [lambda _: "latest", lambda made: made[2].digest[7:19], lambda _: "3"])
def test_approving_and_retiring_take_every_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], named: Named
) -> None:
    registry = installed(tmp_path)
    where = ["--home", str(registry.home.root), "--as", "vera", "--reason", "read"]
    which = named(registry.versions("small"))
    assert main(["registry", "approve", "small", which, *where]) == 0
    assert capsys.readouterr().out.startswith("small/3 approved by vera")
    assert main(["registry", "retire", "small", which, *where]) == 0
    assert capsys.readouterr().out.startswith("small/3 is retired.")
    assert main(["registry", "retire", "small", "champion", *where]) == 1
    assert main(["registry", "approve", "small", "v9", *where]) == 1
    assert "there is no version 9 of small" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("role", "said"),
    [
        ("aprover", "Tier 1 asks for validator and approver, not for aprover: it counts where"),
        ("validator", "Still missing: approver."),
    ],
)
def test_a_role_that_the_tier_does_not_ask_for_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], role: str, said: str
) -> None:
    registry = installed(tmp_path)
    with registry.transaction() as db:
        db.execute("UPDATE versions SET tier = 1")
    where = ["--home", str(registry.home.root), "--as", "vera", "--reason", "read", "--role", role]
    assert main(["registry", "approve", "small", "latest", *where]) == 0
    out = capsys.readouterr().out
    assert said in out
    assert ("asks for" in out) is (role == "aprover")
