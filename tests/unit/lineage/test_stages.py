"""The registry's history as events: every turn once, whoever made it."""

from __future__ import annotations

from pathlib import Path

from serinus.lineage import journal
from serinus.lineage.stages import record_stages
from serinus.registry import Registry
from tests.support.bundles import small_bundle, small_home
from tests.support.openlineage_schema import problems


def test_every_turn_of_every_version_is_told_once(tmp_path: Path) -> None:
    home = small_home(tmp_path)
    registry = Registry(home, clock=lambda: 0.0)
    first, second = (
        registry.register(small_bundle(tmp_path, version=n), by="ann", owner="cards", run="r1")
        for n in (1, 2)
    )
    assert record_stages(home) == 2
    registry.set_stage("small", 1, "canary", by="engine", reason="step 1")
    registry.set_stage("small", 1, "champion", by="engine", reason="Mrs Smith said so")
    assert record_stages(home) == 2
    assert record_stages(home) == 0
    events = journal.read(home.lineage / journal.REGISTRY)
    assert [problem for event in events for problem in problems(event)] == []
    ends = [event for event in events if event.event_type == "COMPLETE"]
    assert [(each.outputs[0].name, each.outputs[0].version) for each in ends] == [
        ("small.validated", first.digest),
        ("small.validated", second.digest),
        ("small.canary", first.digest),
        ("small.champion", first.digest),
    ]
    assert {each.inputs[0].name for each in ends} == {"small.bundle"}
    assert len({each.run.run_id for each in ends}) == 4
    said = (home.lineage / journal.REGISTRY).read_text()
    assert "ann" not in said
    assert "Smith" not in said


def test_without_a_registry_there_is_nothing_to_tell(tmp_path: Path) -> None:
    home = small_home(tmp_path)
    assert record_stages(home) == 0
    assert not (home.lineage / journal.REGISTRY).exists()
