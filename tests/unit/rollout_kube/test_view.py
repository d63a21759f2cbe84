"""The status as the resource shows it, and as a restarted controller reads it."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from serinus.errors import SerinusError
from serving.rollout.kube import view as views
from serving.rollout.kube.crd import status_schema
from serving.rollout.kube.view import material, outlook, pack, unpack, view
from serving.rollout.status import Entry, Phase, RolloutStatus, Routes, Tally
from tests.unit.rollout.world import World, small_spec

pytestmark = pytest.mark.anyio


async def played(ticks: int = 8) -> RolloutStatus:
    world = World(small_spec())
    await world.begin()
    return await world.play(ticks)


async def test_the_engines_part_survives_the_resource() -> None:
    status = await played()
    assert status.evidence is not None
    assert unpack(pack(status)) == status


@pytest.mark.parametrize("text", ["", "not base64", "eJw="])
def test_an_engines_part_that_was_edited_is_refused(text: str) -> None:
    with pytest.raises(SerinusError, match="SRN-ROLLOUT-002"):
        unpack(text)


async def test_every_key_of_the_document_is_in_the_schema_and_always_there() -> None:
    known = status_schema()["properties"]
    spec = small_spec()
    empty = view(spec, (await played(0)), generation=1, told=0)
    full = view(spec, (await played(30)), generation=1, told=3)
    assert set(empty) == set(full) == set(known) - {"target"}
    assert set(outlook(Phase.PENDING, "x", "y", now=0.0, generation=1)) <= set(known)
    for name in ("conditions", "guards", "history"):
        for item in full[name]:
            assert set(item) <= set(known[name]["items"]["properties"])


async def test_it_tells_the_story() -> None:
    shown = view(small_spec(), (await played(3)), generation=7, told=2)
    assert (shown["phase"], shown["share"], shown["step"], shown["steps"]) == ("Progressing", "10 %", 1, 2)
    assert shown["observedGeneration"] == 7
    assert shown["evidence"] == "0.0 of 2.0"


@pytest.mark.parametrize(
    ("phase", "stopped", "wanted"),
    [
        (Phase.PROGRESSING, False, ("False", "True", "False")),
        (Phase.PROMOTED, False, ("False", "True", "False")),
        (Phase.PROMOTED, True, ("True", "False", "False")),
        (Phase.ROLLED_BACK, True, ("True", "False", "True")),
        (Phase.FAILED, True, ("True", "False", "True")),
    ],
)
async def test_tools_that_do_not_know_us_see_where_it_stands(
    phase: Phase, stopped: bool, wanted: tuple[str, str, str]
) -> None:
    status = replace(await played(0), phase=phase, old_stopped=stopped)
    found = {c["type"]: c["status"] for c in view(small_spec(), status, generation=1, told=0)["conditions"]}
    assert (found["Ended"], found["Reconciling"], found["Stalled"]) == wanted


async def test_a_guard_that_only_observes_is_shown_as_such() -> None:
    status = await played(30)
    assert status.verdict is not None
    observed = replace(
        status.verdict, guards=tuple(replace(g, mode="observe") for g in status.verdict.guards)
    )
    for verdict, only in ((status.verdict, False), (observed, True)):
        shown = view(small_spec(), replace(status, verdict=verdict), generation=1, told=0)["guards"]
        assert shown
        assert [guard["reason"].startswith("only observed: ") for guard in shown] == [only] * len(shown)


async def test_counts_and_wording_may_wait_decisions_may_not() -> None:
    status = await played(3)
    later = replace(
        status,
        message="60 of 100 requests",
        last_seen=status.last_seen + 5,
        canary_tally=Tally(requests=99),
        evidence=None,
    )
    assert material(later) == material(status)
    entry = Entry(seq=status.seq + 1, at=0.0, phase="x", reason="x", message="x")
    for change in (
        {"phase": Phase.PAUSED},
        {"desired": Routes(stable="v1")},
        {"verified": None},
        {"reason": "NoData"},
        {"handled": ("c1",)},
        {"history": (*status.history, entry)},
        {"ending": Phase.ABORTED},
        {"approved_step": 1},
        {"awaits": ("approver",)},
    ):
        assert material(replace(status, **change)) != material(status), change


async def test_a_state_that_grows_too_large_loses_old_history_then_evidence_never_its_intent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    status = await played(3)
    told = tuple(
        Entry(seq=i, at=0.0, phase="x", reason="x", message=str(hash((i, "salt"))) * 5) for i in range(200)
    )
    large = replace(status, history=told)
    monkeypatch.setattr(views, "LARGEST", len(pack(large)) - 1)
    kept = unpack(pack(large))
    assert kept.history == told[-views.KEPT_WHEN_LARGE :]
    assert replace(kept, history=()) == replace(large, history=())
    monkeypatch.setattr(views, "LARGEST", 10)
    left = unpack(pack(large))
    assert (left.evidence, left.phase, left.desired) == (None, large.phase, large.desired)


async def test_the_document_is_json() -> None:
    shown = view(small_spec(), (await played(30)), generation=1, told=0)
    assert msgspec.json.decode(msgspec.json.encode(shown)) == shown
