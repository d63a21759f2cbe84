"""Versions, stages and approvals: what may happen, and that it is recorded."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import pytest

from serinus.errors import SerinusError
from serinus.registry import Registry, Version, store
from serinus.registry.policy import STAGES, check_stage
from tests.support.bundles import small_bundle, small_home


def registered(tmp_path: Path, versions: int = 1) -> tuple[Registry, list[Version]]:
    registry = Registry(small_home(tmp_path), clock=lambda: 0.0)
    made = [
        registry.register(small_bundle(tmp_path, version=i + 1), by="ann", owner="cards", run="r1")
        for i in range(versions)
    ]
    return registry, made


def test_nobody_approves_what_they_built(tmp_path: Path) -> None:
    registry, _ = registered(tmp_path)
    with pytest.raises(SerinusError, match="SRN-APPROVAL-001.*having built it"):
        registry.approve("small", 1, by="ann", role="approver", reason="mine is fine")
    assert registry.approvals("small", 1) == []
    assert [a.action for a in registry.audit.entries()] == ["register", "approval-refused"]


def test_nobody_approves_the_rollout_they_started(tmp_path: Path) -> None:
    registry, _ = registered(tmp_path)
    with pytest.raises(SerinusError, match="having started its rollout"):
        registry.approve("small", 1, by="bob", role="approver", reason="x", started_by="bob")


def test_a_second_person_approves_with_a_reason(tmp_path: Path) -> None:
    registry, _ = registered(tmp_path)
    with pytest.raises(SerinusError, match="SRN-APPROVAL-002"):
        registry.approve("small", 1, by="bob", role="approver", reason="  ")
    registry.approve("small", 1, by="bob", role="approver", reason="read the report")
    assert [(a.by, a.reason) for a in registry.approvals("small", 1)] == [("bob", "read the report")]


def test_a_new_champion_retires_the_old_one(tmp_path: Path) -> None:
    registry, _ = registered(tmp_path, versions=2)
    registry.set_stage("small", 1, "champion", by="ann", reason="first")
    registry.set_stage("small", 2, "champion", by="ann", reason="better")
    assert [v.stage for v in registry.versions("small")] == ["retired", "champion"]
    assert registry.get("small", "champion").version == 2


@pytest.mark.parametrize(
    ("now", "to"), [("champion", "candidate"), ("rejected", "champion"), ("rolled_back", "champion")]
)
def test_a_stage_that_is_not_open_is_refused(now: str, to: str) -> None:
    with pytest.raises(SerinusError, match="SRN-REGISTRY-003"):
        check_stage("small/1", now, to)


def test_from_every_stage_only_known_stages_are_open() -> None:
    from serinus.registry.policy import _NEXT

    assert set(_NEXT) == set(STAGES)
    assert set().union(*_NEXT.values()) <= set(STAGES)


def test_registering_the_same_bundle_again_changes_nothing(tmp_path: Path) -> None:
    registry, (version,) = registered(tmp_path)
    assert registry.register(small_bundle(tmp_path), by="bob", owner="x", run="r2") == version
    assert len(registry.versions("small")) == 1
    assert registry.next_version("small") == 2


def test_a_version_never_changes_its_bundle(tmp_path: Path) -> None:
    registry, _ = registered(tmp_path)
    with pytest.raises(SerinusError, match="SRN-REGISTRY-004"):
        registry.register(small_bundle(tmp_path, seed=8), by="ann", owner="cards", run="r2")


def test_what_cannot_be_recorded_does_not_happen(tmp_path: Path) -> None:
    registry, _ = registered(tmp_path)
    log = registry.audit.path
    log.unlink()
    log.mkdir()
    with pytest.raises(SerinusError, match="SRN-AUDIT-002"):
        registry.set_stage("small", 1, "champion", by="ann", reason="x")
    assert registry.get("small", 1).stage == "validated"


def test_an_unknown_version_names_the_known_ones(tmp_path: Path) -> None:
    registry, _ = registered(tmp_path)
    for which, says in (
        (7, "no version 7 of small"),
        ("v7", "no version 7 of small"),
        ("validated", "no validated version of small"),
    ):
        with pytest.raises(SerinusError, match=rf"{says}.*Registered: 1 \(validated\)"):
            registry.get("small", which)
    assert registry.get("small", "v1") == registry.get("small", 1)
    with pytest.raises(SerinusError, match="no model other is registered here. Registered models: small"):
        registry.get("other")
    with pytest.raises(SerinusError, match="Did you mean small"):
        registry.get("smal")
    with pytest.raises(SerinusError, match="two words here: small 7"):
        registry.get("small/7")


def test_a_replaced_bundle_is_noticed(tmp_path: Path) -> None:
    registry, (version,) = registered(tmp_path)
    other = small_bundle(tmp_path, seed=9)
    import shutil

    shutil.rmtree(version.path)
    shutil.copytree(other.path, version.path)
    with pytest.raises(SerinusError, match="SRN-REGISTRY-005"):
        registry.bundle(version)


def test_of_two_who_move_a_version_at_once_the_second_sees_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, _ = registered(tmp_path)
    both = threading.Barrier(2)
    refused: list[str] = []

    def together(subject: str, now: str, to: str) -> None:
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(0.5)  # under the lock only one gets here, and nobody comes
        check_stage(subject, now, to)

    def move(stage: str) -> None:
        try:
            registry.set_stage("small", 1, stage, by="bob", reason="x")
        except SerinusError as error:
            refused.append(error.code)

    monkeypatch.setattr(store, "check_stage", together)
    threads = [threading.Thread(target=move, args=(stage,)) for stage in ("rejected", "retired")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused == ["SRN-REGISTRY-003"]
    assert [turn.stage for turn in registry.history("small", 1)][1:] == [registry.get("small", 1).stage]
