"""A restart changes nothing that was decided: what is kept, what starts anew, and that memory stays bounded."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serinus.bundle import Bundle
from serinus.errors import SerinusError
from serving.drift.evaluate import Yardstick
from serving.drift.monitor import Monitor
from serving.drift.policy import Policy
from serving.drift.report import Settings
from serving.drift.rows import RowReader
from serving.drift.state import DirectoryStore, MemoryStore, Store
from tests.support.bundles import small_records
from tests.unit.drift.conftest import POLICY
from tests.unit.drift.test_monitor import Clock, doubled, pass_a_look, request, response


class Installation:
    """A monitor that may be started again on the same store."""

    def __init__(self, bundle: Bundle, yardstick: Yardstick, reader: RowReader, store: Store) -> None:
        self.clock, self.store = Clock(), store
        self._bundle, self._parts = bundle, (yardstick, reader)
        self.monitor = self.start()

    def start(self, policy: Policy = POLICY, digest: str = "") -> Monitor:
        settings = Settings("small", digest or self._bundle.digest, 500, 3600.0, threshold=0.6)
        self.monitor = Monitor(settings, *self._parts, policy, clock=self.clock, store=self.store)
        return self.monitor

    def look(self, rows: list[dict[str, Any]], predictor: str = "champion") -> None:
        self.monitor.process(request(rows, predictor))
        pass_a_look(self.monitor, self.clock)

    def evidence(self, predictor: str = "champion") -> bytes:
        return self.monitor._lanes[predictor].evidence.logs


@pytest.fixture
def place(bundle: Bundle, yardstick: Yardstick, reader: RowReader, tmp_path: Path) -> Installation:
    return Installation(bundle, yardstick, reader, DirectoryStore(tmp_path))


def test_evidence_goes_on_to_the_bit_after_a_kill(
    place: Installation, bundle: Bundle, yardstick: Yardstick, reader: RowReader
) -> None:
    straight = Installation(bundle, yardstick, reader, MemoryStore())
    for i in range(6):
        rows = [{**row, "amount": row["amount"] * 1.2} for row in small_records(300, seed=70 + i)]
        straight.look(rows)
        place.look(rows)
        place.start()  # nothing was said to the one before: it was killed
    assert place.evidence() == straight.evidence()
    assert place.monitor.snapshot().rows == {"champion": 1800}


def test_a_verdict_is_there_again_before_the_first_look(place: Installation) -> None:
    for _ in range(2):
        place.look(doubled(small_records(500, seed=5)))
    before = place.monitor.snapshot().evaluations["champion"]
    after = place.start().snapshot().evaluations["champion"]
    assert after.verdict.drifted == before.verdict.drifted == ("amount",)
    assert after.time == before.time
    assert place.monitor.snapshot().events["champion", "feature"] == 0, "it began before the restart"
    place.look(doubled(small_records(500, seed=6)))
    assert place.monitor.snapshot().events["champion", "feature"] == 0, "and has not begun again"


def test_an_open_look_survives_a_clean_end(place: Installation) -> None:
    place.monitor.process(request(small_records(120, seed=5)))
    place.monitor.process(response([0.2] * 40, place.monitor.settings.digest))
    place.monitor.stop()
    place.start()
    assert place.monitor.snapshot().filling == {"champion": 120}
    place.look(small_records(180, seed=6))
    assert place.monitor.snapshot().evaluations["champion"].verdict.rows == 300
    assert place.monitor.snapshot().estimated["champion"].rows == 40


def test_a_comparison_with_the_champion_goes_on(place: Installation) -> None:
    for i in range(3):
        place.monitor.process(request(small_records(500, seed=10 + i), "champion"))
        place.look(doubled(small_records(500, seed=20 + i)), "canary")
    before = place.monitor.snapshot().pairs["canary"]
    assert place.start().snapshot().pairs["canary"] == before
    assert place.monitor.snapshot().primary == "champion"


@pytest.mark.parametrize("what", ["another model", "another plan"])
def test_what_belongs_to_another_model_or_plan_starts_anew(place: Installation, what: str) -> None:
    for _ in range(2):
        place.look(doubled(small_records(500, seed=5)))
    if what == "another model":
        place.start(digest="sha256:another")
        assert isinstance(place.store, DirectoryStore)
        assert place.store.load() == {}, "nor does it lie about for ever"
    else:
        place.start(policy=Policy(tolerance=0.01))
    assert place.monitor.snapshot().evaluations == {}


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff\xfe", b"[]", b'{"version": 1}'])
def test_a_damaged_state_starts_anew(place: Installation, tmp_path: Path, damage: bytes) -> None:
    place.look(small_records(300, seed=5))
    (tmp_path / "champion.json").write_bytes(damage)
    assert place.start().snapshot().evaluations == {}
    place.look(small_records(300, seed=5))
    assert json.loads((tmp_path / "champion.json").read_bytes())["rows"] == 300


def test_a_full_disk_is_counted_and_watching_goes_on(
    bundle: Bundle, yardstick: Yardstick, reader: RowReader
) -> None:
    class Full(MemoryStore):
        def save(self, predictor: str, data: bytes) -> None:
            raise SerinusError("SRN-HOME-001", "the disk is full", where="/state", hint="Make room.")

    place = Installation(bundle, yardstick, reader, Full())
    for _ in range(2):
        place.look(doubled(small_records(500, seed=5)))
    snapshot = place.monitor.snapshot()
    assert snapshot.unsaved == 2
    assert snapshot.evaluations["champion"].verdict.drifted == ("amount",)


def test_what_is_kept_does_not_grow_with_what_passed(place: Installation, tmp_path: Path) -> None:
    sizes: list[int] = []
    scores = np.random.default_rng(1).random(400).tolist()
    for i in range(30):
        place.monitor.process(response(scores, place.monitor.settings.digest))
        place.look(small_records(400, seed=100 + i))
        sizes.append((tmp_path / "champion.json").stat().st_size)
    assert max(sizes) < 60_000
    assert max(sizes[-5:]) < 1.05 * max(sizes[5:10])
