"""What a rollout's turns leave in the registry, also where the platform is killed in the middle of one."""

from __future__ import annotations

from pathlib import Path

import pytest

from serinus.registry import Registry, Version
from serving.local.journal import LocalJournal
from serving.local.predictors import Target
from serving.rollout.engine import new_status
from serving.rollout.spec import RolloutSpec
from serving.rollout.status import Entry
from tests.support.bundles import small_bundle, small_home

pytestmark = pytest.mark.anyio
BACK = "harm after the promotion"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def target(version: Version) -> Target:
    return Target(
        name=f"v{version.version}",
        model=version.model,
        bundle=version.path,
        version=version.version,
        digest=version.digest,
        registered=True,
    )


@pytest.mark.parametrize("killed_at", [None, "rolled_back", "canary", "champion"])
async def test_a_former_champion_is_one_again_wherever_the_platform_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_at: str | None
) -> None:
    home = small_home(tmp_path)
    registry = Registry(home)
    for number in (1, 2):
        registry.register(small_bundle(tmp_path, version=number), by="ann", owner="cards", run="r1")
        registry.set_stage("small", number, "champion", by="engine", reason="promoted")
    former, promoted = (target(version) for version in registry.versions("small"))
    status = new_status(
        RolloutSpec(model="small", candidate="2"), name="r", champion="v1", candidate="v2", by="pat", now=0.0
    )
    entry = Entry(
        seq=1, at=0.0, phase="RolledBack", reason="RolledBack", message=BACK, actor="engine", weight=0
    )
    events = tmp_path / "events.jsonl"

    def journal() -> LocalJournal:
        return LocalJournal(home, events, former, promoted, lambda _: None)

    move = Registry.set_stage

    def dying(self: Registry, model: str, version: int, stage: str, *, by: str, reason: str) -> Version:
        if stage == killed_at:
            raise KeyboardInterrupt
        return move(self, model, version, stage, by=by, reason=reason)

    if killed_at is not None:
        with monkeypatch.context() as patch:
            patch.setattr(Registry, "set_stage", dying)
            with pytest.raises(KeyboardInterrupt):
                await journal().tell(status, entry)
    await journal().tell(status, entry)
    assert [version.stage for version in registry.versions("small")] == ["champion", "rolled_back"]


@pytest.mark.parametrize(
    ("before", "after"),
    [("validated", "validated"), ("approved", "approved"), ("canary", "rolled_back")],
    ids=["never had traffic", "approved, never had traffic", "had traffic"],
)
@pytest.mark.parametrize("reason", ["Aborted", "RolledBack"])
async def test_only_what_had_traffic_is_rolled_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, before: str, after: str, reason: str
) -> None:
    home = small_home(tmp_path)
    registry = Registry(home)
    for number in (1, 2):
        registry.register(small_bundle(tmp_path, version=number), by="ann", owner="cards", run="r1")
    registry.set_stage("small", 1, "champion", by="engine", reason="promoted")
    registry.set_stage("small", 2, before, by="vera", reason="before the rollout")
    champion, candidate = (target(version) for version in registry.versions("small"))
    status = new_status(
        RolloutSpec(model="small", candidate="2"), name="r", champion="v1", candidate="v2", by="pat", now=0.0
    )
    entry = Entry(seq=1, at=0.0, phase=reason, reason=reason, message="never ready", actor="engine", weight=0)
    journal = LocalJournal(home, tmp_path / "events.jsonl", champion, candidate, lambda _: None)
    await journal.tell(status, entry)
    assert [version.stage for version in registry.versions("small")] == ["champion", after]
    assert list(registry.audit.entries())[-1].action == f"rollout-{reason}", "it is told all the same"
    assert "did not follow" not in caplog.text
