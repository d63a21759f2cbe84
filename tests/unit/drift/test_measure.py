"""Predictors of different bundles, forwarded to one monitor: all are counted in its bins."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from serinus.bundle import Bundle
from serving.drift.evaluate import Yardstick, baseline_of
from serving.drift.forward import Counts, MemoryChannel, RefusedError, Relay
from serving.drift.http import build_app
from serving.drift.measure import Measure, MeasureError, read_measure
from serving.drift.replica import Replica
from serving.drift.report import Settings
from serving.drift.rows import RowReader
from serving.drift.state import DirectoryStore
from tests.support.bundles import small_bundle, small_records
from tests.unit.drift.conftest import POLICY
from tests.unit.drift.test_forward import Fleet
from tests.unit.drift.test_monitor import doubled, request, response


@pytest.fixture(scope="module")
def next_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A candidate, trained on other rows: other bins, another digest."""
    return small_bundle(tmp_path_factory.mktemp("next"), seed=8, version=2, n=2000)


@pytest.fixture(scope="module")
def of_next(next_bundle: Bundle) -> Measure:
    reader = RowReader(next_bundle.contract, next_bundle.levels)
    return Measure(next_bundle.digest, 0.6, reader, baseline_of(next_bundle))


class Judged(MemoryChannel):
    """The way to a monitor that refuses what its ``objects_to`` objects to, and says what it counts by."""

    def __init__(self, fleet: Fleet) -> None:
        super().__init__()
        self.fleet = fleet

    def send(self, body: bytes) -> None:
        wrong = self.fleet.judge.objects_to(msgspec.json.decode(body, type=Counts))
        if wrong:
            raise RefusedError(wrong)
        super().send(body)

    def measure(self) -> bytes:
        self.by = self.fleet.judge.measure
        return super().measure()


def canary(fleet: Fleet, measure: Measure, *, asked: bool) -> None:
    """Replica 1 becomes a canary's: its pod serves another bundle than the monitor judges by."""
    channel = Judged(fleet)
    channel.sent = fleet.channel.sent  # one monitor hears all
    fleet.relays[1] = Relay(channel)
    if asked:
        assert fleet.relays[1].ask()
    fleet.replicas[1] = fleet.replica(fleet.relays[1], "pod-1", measure)


@settings(max_examples=15, deadline=None)
@given(
    looks=st.lists(st.tuples(st.integers(1, 300), st.integers(1, 300)), min_size=1, max_size=4),
    bend=st.booleans(),
)
def test_a_canary_of_another_bundle_is_compared_as_if_the_monitor_had_read_its_rows_itself(
    bundle: Bundle,
    yardstick: Yardstick,
    reader: RowReader,
    of_next: Measure,
    looks: list[tuple[int, int]],
    bend: bool,
) -> None:
    fleet = Fleet(bundle, yardstick, reader, 2)
    canary(fleet, of_next, asked=True)
    for k, (own, others) in enumerate(looks):
        change = doubled if bend else list[dict[str, Any]]
        for i, predictor, rows, digest in (
            (0, "champion", small_records(own, seed=k), bundle.digest),
            (1, "canary", change(small_records(others, seed=50 + k)), of_next.digest),
        ):
            for letter in (
                request(rows, predictor),
                response([(j % 17) / 17 for j in range(len(rows))], digest, predictor),
                # Whoever names no digest answers with what its pod serves.
                *([response([0.9], None, predictor)] if predictor == "champion" else []),
            ):
                fleet.replicas[i].process(letter)
                fleet.alone.process(letter)
        fleet.forward()
        fleet.hear()
        fleet.look()
    for predictor in ("champion", "canary"):
        together, alone = fleet.judge._lanes[predictor], fleet.alone._lanes[predictor]
        assert together.evidence == alone.evidence
        assert together.pair == alone.pair
    assert fleet.judge.snapshot().pairs == fleet.alone.snapshot().pairs
    assert fleet.judge.snapshot().pairs["canary"].looks == len(looks)


def test_an_answer_without_a_digest_is_that_of_the_bundle_that_the_pod_serves(
    fleet: Fleet, of_next: Measure
) -> None:
    canary(fleet, of_next, asked=True)
    fleet.replicas[1].process(response([0.9] * 10, None, "canary"))
    fleet.forward()
    (body,) = fleet.channel.sent
    counts = msgspec.json.decode(body, type=Counts)
    assert (sum(counts.sketch.counts[-1]), sum(counts.foreign.counts[-1])) == (0, 10)
    assert counts.scores.digest == of_next.digest


@pytest.fixture
def fleet(bundle: Bundle, yardstick: Yardstick, reader: RowReader) -> Fleet:
    return Fleet(bundle, yardstick, reader, 2)


def test_a_replica_that_could_not_ask_is_refused_once_and_then_counts_by_the_monitors_bins(
    fleet: Fleet, of_next: Measure
) -> None:
    canary(fleet, of_next, asked=False)
    told: list[dict[str, int]] = []
    for i in range(3):
        fleet.replicas[1].process(request(small_records(100, seed=i), "canary"))
        fleet.forward()
        told.append(dict(fleet.relays[1].outcomes))
    assert told == [{"refused": 1}, {"refused": 1}, {"refused": 1, "taken": 1}]
    fleet.hear()
    fleet.look()
    assert fleet.judge.snapshot().rows == {"canary": 100}, (
        "what was counted by other bins is lost, and no more"
    )


def test_replicas_follow_a_monitor_that_got_a_new_bundle(fleet: Fleet, of_next: Measure) -> None:
    canary(fleet, fleet.measure, asked=True)
    fleet.replicas[1].process(request(small_records(100, seed=1), "canary"))
    fleet.forward()
    assert fleet.relays[1].outcomes == {"taken": 1}
    fleet.judge.measure = of_next
    for i in range(3):
        fleet.replicas[1].process(request(small_records(100, seed=2 + i), "canary"))
        fleet.forward()
    assert fleet.relays[1].outcomes == {"taken": 2, "refused": 1}
    assert fleet.replicas[1].measure.same(of_next)


def test_a_monitor_that_is_away_leaves_a_replica_with_its_own_bins(fleet: Fleet, of_next: Measure) -> None:
    channel = MemoryChannel()
    channel.down = True
    relay = Relay(channel)
    assert not relay.ask()
    replica = fleet.replica(relay, "pod-9", of_next)
    assert replica.measure.same(of_next)


def test_the_monitor_hands_its_measure_out_and_it_comes_back_equal(fleet: Fleet) -> None:
    with TestClient(build_app(fleet.judge)) as client:
        answer = client.get("/measure")
    assert answer.headers["content-type"] == "application/json"
    found = read_measure(answer.content)
    assert found.same(fleet.judge.measure)
    assert found.reader.contract == fleet.judge.measure.reader.contract
    assert found.encode() == answer.content


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"surprise": 1},
        {"contract": {}},
        {"levels": {}},
        {"levels": {"channel": ["a"]}},
        {"baseline": {"columns": []}},
    ],
    ids=str,
)
def test_what_is_no_measure_is_refused(fleet: Fleet, change: dict[str, Any]) -> None:
    document = msgspec.json.decode(fleet.measure.encode()) | change
    with pytest.raises(MeasureError):
        read_measure(msgspec.json.encode(document))


def test_bins_of_other_features_are_no_measure(fleet: Fleet) -> None:
    baseline = fleet.measure.baseline
    first, *rest = baseline.columns
    other = replace(
        fleet.measure,
        baseline=msgspec.structs.replace(baseline, columns=(msgspec.structs.replace(first, name="x"), *rest)),
    )
    with pytest.raises(MeasureError, match="not those of its contract"):
        read_measure(other.encode())


def test_open_counts_of_a_replica_survive_its_restart_once(
    fleet: Fleet, bundle: Bundle, tmp_path: Path
) -> None:
    channel = MemoryChannel()
    channel.down = True
    place = Settings("small", bundle.digest, 500, 3600.0, threshold=0.6, replica="pod-0")

    def start() -> Replica:
        relay = Relay(channel)
        return Replica(place, fleet.measure, POLICY, relay, clock=fleet.clock, store=DirectoryStore(tmp_path))

    first = start()
    first.process(request(small_records(50, seed=1)))
    first.close_due()
    first.relay.deliver()
    first.process(request(small_records(50, seed=1)))
    fleet.clock.now += 100
    first.close_due()  # these 50 are on their way, the next stay counted
    first.process(request(small_records(30, seed=2)))
    first.stop()
    second = start()
    sketch, _ = second._lanes["champion"].peek(fleet.clock.now)
    assert sketch.rows == 30
    # Killed before it kept anything: what was taken over is not taken over again.
    assert "champion" not in start()._lanes
