"""Taking a version out of use: recorded, reasoned, and never under a customer's feet."""

from __future__ import annotations

from pathlib import Path

import pytest

from serinus.cli import main
from serinus.errors import SerinusError
from serinus.registry import Registry, store
from serinus.registry.policy import check_retirement
from tests.support.bundles import small_bundle, small_home


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    made = Registry(small_home(tmp_path), clock=lambda: 0.0)
    made.register(small_bundle(tmp_path), by="ann", owner="cards", run="r1")
    return made


def test_a_version_that_serves_nobody_is_retired_with_who_when_and_why(registry: Registry) -> None:
    assert registry.retire("small", 1, by="bob", reason="superseded").stage == "retired"
    turn = registry.history("small", 1)[-1]
    assert (turn.stage, turn.by, turn.reason) == ("retired", "bob", "superseded")
    assert list(registry.audit.entries())[-1].reason == "superseded"
    assert registry.bundle(registry.get("small", 1)).path.is_dir(), "its decisions can still be explained"


@pytest.mark.parametrize("live", [False, True])
def test_a_canary_is_never_retired_in_mid_rollout(registry: Registry, live: bool) -> None:
    registry.set_stage("small", 1, "canary", by="ann", reason="step 1")
    with pytest.raises(SerinusError, match="SRN-REGISTRY-008.*rollout abort"):
        registry.retire("small", 1, by="bob", reason="x", live=live)
    assert registry.get("small", 1).stage == "canary"


def test_the_champion_only_where_the_model_is_given_up(registry: Registry) -> None:
    registry.set_stage("small", 1, "champion", by="ann", reason="first")
    with pytest.raises(SerinusError, match="SRN-REGISTRY-008.*--live"):
        registry.retire("small", 1, by="bob", reason="the product ended")
    assert registry.get("small", 1).stage == "champion"
    registry.retire("small", 1, by="bob", reason="the product ended", live=True)
    with pytest.raises(SerinusError, match="SRN-REGISTRY-002"):
        registry.get("small", "champion")


def test_nor_who_becomes_champion_meanwhile(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    def meanwhile(subject: str, stage: str, *, reason: str, live: bool) -> None:
        check_retirement(subject, stage, reason=reason, live=live)
        Registry(registry.home).set_stage("small", 1, "champion", by="engine", reason="promoted")

    monkeypatch.setattr(store, "check_retirement", meanwhile)
    with pytest.raises(SerinusError, match="SRN-REGISTRY-008.*--live"):
        registry.retire("small", 1, by="bob", reason="superseded")
    assert registry.get("small", 1).stage == "champion"


def test_no_retirement_without_a_reason(registry: Registry) -> None:
    with pytest.raises(SerinusError, match="SRN-REGISTRY-007"):
        registry.retire("small", 1, by="bob", reason=" ")


def test_what_was_rejected_stays_rejected(registry: Registry) -> None:
    registry.set_stage("small", 1, "rejected", by="bob", reason="no")
    with pytest.raises(SerinusError, match="SRN-REGISTRY-003"):
        registry.retire("small", 1, by="bob", reason="x")


def test_the_command_says_so(registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = str(small_home(tmp_path).root)
    retire = ["registry", "retire", "small", "1", "--reason", "superseded", "--as", "bob", "--home", home]
    assert main(retire) == 0
    assert main(["registry", "show", "small", "1", "--home", home]) == 0
    printed = capsys.readouterr().out
    assert "small v1: retired" in printed
    assert "superseded" in printed
