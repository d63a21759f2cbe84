"""Counts of replicas add up to what one monitor would have counted, and nothing is counted twice or lost."""

import base64
import http.client
import math
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from serinus.bundle import Bundle
from serving.drift.evaluate import Yardstick
from serving.drift.forward import MAX_REPLICAS, Counts, Heard, MemoryChannel, RefusedError, Relay
from serving.drift.http import build_app
from serving.drift.mailbox import Letter
from serving.drift.measure import Measure
from serving.drift.monitor import Monitor
from serving.drift.payload import Envelope
from serving.drift.replica import FORWARDS_A_LOOK, Replica
from serving.drift.report import COUNTS_TYPE, Settings
from serving.drift.rows import RowReader
from tests.support.bundles import small_records
from tests.unit.drift.conftest import POLICY
from tests.unit.drift.test_monitor import Clock, doubled, pass_a_look, request, response


class Fleet:
    """Replicas that forward, and the monitor that judges."""

    def __init__(
        self,
        bundle: Bundle,
        yardstick: Yardstick,
        reader: RowReader,
        replicas: int,
        channel: MemoryChannel | None = None,
    ) -> None:
        self.clock, self.channel = Clock(), channel or MemoryChannel()
        self.relays = [Relay(self.channel) for _ in range(replicas)]
        place = Settings("small", bundle.digest, 500, 3600.0, threshold=0.6)
        self.measure = Measure(bundle.digest, 0.6, reader, yardstick.baseline)
        self.replicas = [self.replica(relay, f"pod-{i}") for i, relay in enumerate(self.relays)]
        self.judge = Monitor(place, yardstick, reader, POLICY, clock=self.clock)
        self.alone = Monitor(place, yardstick, reader, POLICY, clock=self.clock)

    def replica(self, relay: Relay, name: str, measure: Measure | None = None) -> Replica:
        measure = measure or self.measure
        place = Settings("small", measure.digest, 500, 3600.0, threshold=measure.threshold, replica=name)
        return Replica(place, measure, POLICY, relay, clock=self.clock)

    def forward(self) -> None:
        """A fifth of a look passes: the replicas forward."""
        self.clock.now += POLICY.look / FORWARDS_A_LOOK
        for replica, relay in zip(self.replicas, self.relays, strict=True):
            replica.close_due()
            relay.deliver()

    def hear(self, *, repeat: int = 1) -> None:
        """The judge takes in what was sent, each message so many times."""
        for body in self.channel.sent * repeat:
            counts = msgspec.json.decode(body, type=Counts)
            assert self.judge.objects_to(counts) == ""
            self.judge.process(Letter(Envelope(COUNTS_TYPE, counts.predictor, counts.replica), body))
        self.channel.sent.clear()

    def look(self) -> None:
        pass_a_look(self.judge, self.clock)
        self.alone.close_due()


@pytest.fixture
def fleet(bundle: Bundle, yardstick: Yardstick, reader: RowReader) -> Fleet:
    return Fleet(bundle, yardstick, reader, 3)


@settings(max_examples=15, deadline=None)
@given(
    split=st.lists(st.tuples(st.integers(0, 2), st.integers(1, 120)), min_size=1, max_size=12),
    repeat=st.integers(1, 3),
    bend=st.booleans(),
)
def test_however_traffic_is_spread_over_replicas_the_evidence_is_that_of_one_monitor(
    bundle: Bundle,
    yardstick: Yardstick,
    reader: RowReader,
    split: list[tuple[int, int]],
    repeat: int,
    bend: bool,
) -> None:
    fleet = Fleet(bundle, yardstick, reader, 3)
    for begin in (0, 5000):
        rows = small_records(2000, seed=begin + len(split))
        if bend:
            rows = doubled(rows)
        at = 0
        for replica, size in split:
            part = request(
                [{**row, "amount": None} if k == 3 else row for k, row in enumerate(rows[at : at + size])]
            )
            scores = response([(k % 17) / 17 for k in range(size)], bundle.digest)
            for letter in (part, scores):
                fleet.replicas[replica].process(letter)
                fleet.alone.process(letter)
            at += size
        fleet.forward()
        fleet.hear(repeat=repeat)
        fleet.look()
    together, alone = fleet.judge._lanes["champion"], fleet.alone._lanes["champion"]
    assert together.evidence == alone.evidence
    of_all, of_one = together.book.performance(), alone.book.performance()
    assert of_all.rows == of_one.rows
    assert of_all.auc == of_one.auc or (
        of_all.auc is not None
        and of_one.auc is not None
        and of_all.auc.value == pytest.approx(of_one.auc.value)
    ), "equal up to the rounding of sums"
    verdict = fleet.judge.snapshot().evaluations["champion"].verdict
    assert verdict.rows == sum(size for _, size in split)
    assert verdict.drifted == fleet.alone.snapshot().evaluations["champion"].verdict.drifted


def test_a_replica_judges_nothing_and_keeps_counting_while_the_judge_is_away(fleet: Fleet) -> None:
    fleet.channel.down = True
    for seed in range(3):
        fleet.replicas[0].process(request(small_records(100, seed=seed)))
        fleet.forward()
    assert fleet.replicas[0].snapshot().evaluations == {}
    assert fleet.relays[0].outcomes == {"failed": 3}
    fleet.channel.down = False
    fleet.forward()
    fleet.forward()
    fleet.hear()
    fleet.look()
    assert fleet.judge.snapshot().rows == {"champion": 300}


def test_a_message_whose_answer_was_lost_is_sent_again_unchanged_and_counted_once(fleet: Fleet) -> None:
    class Deaf(MemoryChannel):
        answers = False

        def send(self, body: bytes) -> None:
            self.sent.append(body)
            if not self.answers:
                raise TimeoutError("no answer")

    channel = Deaf()
    relay = fleet.relays[0] = fleet.replicas[0].relay = Relay(channel)
    fleet.channel = channel
    fleet.replicas[0].process(request(small_records(100, seed=1)))
    fleet.forward()
    fleet.replicas[0].process(request(small_records(50, seed=2)))
    fleet.forward()
    assert channel.sent[0] == channel.sent[1]
    channel.answers = True
    relay.deliver()
    fleet.forward()
    fleet.hear()
    fleet.look()
    assert fleet.judge.snapshot().rows == {"champion": 150}
    assert fleet.judge.snapshot().payloads["champion", "repeated"] == 2


def test_what_a_restarted_replica_sends_is_new(fleet: Fleet) -> None:
    fleet.replicas[0].process(request(small_records(100, seed=1)))
    fleet.forward()
    fleet.relays[0] = Relay(fleet.channel)
    fleet.replicas[0] = fleet.replica(fleet.relays[0], "pod-0")
    fleet.replicas[0].process(request(small_records(100, seed=2)))
    fleet.forward()
    fleet.hear()
    fleet.look()
    assert fleet.judge.snapshot().rows == {"champion": 200}


def test_what_is_left_when_a_replica_ends_is_forwarded(fleet: Fleet) -> None:
    fleet.replicas[0].process(request(small_records(100, seed=1)))
    fleet.replicas[0].stop()
    fleet.relays[0].start()
    fleet.relays[0].stop()
    fleet.hear()
    fleet.look()
    assert fleet.judge.snapshot().rows == {"champion": 100}


def test_refused_counts_are_dropped_and_do_not_block_the_way() -> None:
    class Refusing(MemoryChannel):
        def send(self, body: bytes) -> None:
            raise RefusedError("another bundle")

    relay = Relay(Refusing())
    relay._waiting["champion"] = b"{}"
    relay.deliver()
    assert relay.free("champion")
    assert relay.outcomes == {"refused": 1}


def test_an_answer_that_is_no_http_does_not_end_forwarding() -> None:
    class Garbled(MemoryChannel):
        def send(self, body: bytes) -> None:
            raise http.client.BadStatusLine("SSH-2.0")

    relay = Relay(Garbled())
    relay._waiting["champion"] = b"{}"
    relay.deliver()
    assert not relay.free("champion")
    assert relay.outcomes == {"failed": 1}


def test_what_is_offered_during_the_last_attempt_is_sent_too(fleet: Fleet) -> None:
    class Stopping(MemoryChannel):
        """The end comes while a message is on its way."""

        def send(self, body: bytes) -> None:
            super().send(body)
            if len(self.sent) == 1:
                relay._waiting["canary"] = b"{}"
                relay._stopping = True

    channel = Stopping()
    relay = Relay(channel)
    relay._waiting["champion"] = b"{}"
    relay._wake.set()
    relay._work()
    assert relay.outcomes == {"taken": 2}
    assert len(channel.sent) == 2


def message(fleet: Fleet) -> dict[str, Any]:
    fleet.replicas[0].process(request(small_records(60, seed=1)))
    fleet.forward()
    return msgspec.json.decode(fleet.channel.sent.pop())


def test_over_http_counts_are_taken_and_what_does_not_fit_is_refused(fleet: Fleet) -> None:
    good = message(fleet)
    fleet.judge.start()
    with TestClient(build_app(fleet.judge)) as client:

        def post(document: Any) -> tuple[int, str]:
            answer = client.post("/counts", content=msgspec.json.encode(document))
            return answer.status_code, answer.json()["code"] if answer.content else ""

        assert post(good) == (202, "")
        assert post([]) == (400, "SRN-DRIFT-005")
        assert post({**good, "replica": "../../etc"}) == (400, "SRN-DRIFT-005")
        assert post({**good, "digest": "sha256:another"}) == (409, "SRN-DRIFT-006")
        cells = good["sketch"]["counts"]
        for wrong in (
            {"counts": cells[1:]},
            {"counts": [cells[0][1:], *cells[1:]]},
            {"counts": [[-1, *cells[0][1:]], *cells[1:]]},
            {"rows": -5},
            {"refused": 1000},
            {"missing": []},
            {"baseline": "another"},
        ):
            document = {**good, "sketch": {**good["sketch"], **wrong}}
            assert post(document) == (409, "SRN-DRIFT-006"), wrong
        assert post({**good, "scores": {**good["scores"], "threshold": 0.5}}) == (409, "SRN-DRIFT-006")
        blocks = np.frombuffer(base64.b64decode(good["scores"]["blocks"])).copy()
        half = blocks.size // 4
        for at, value in ((0, -1.0), (0, 0.5), (0, math.nan), (half, 1.0), (half, math.inf), (half, -0.5)):
            wrong = blocks.copy()
            wrong[at] = value
            document = {**good, "scores": {**good["scores"], "blocks": wrong.tobytes()}}
            assert post(document) == (409, "SRN-DRIFT-006"), (at, value)
        document = {**good, "scores": {**good["scores"], "blocks": blocks[1:].tobytes()}}
        assert post(document) == (409, "SRN-DRIFT-006"), "another number of cells"
        fleet.judge.stop()
        assert post(good) == (503, "SRN-DRIFT-007")
    with TestClient(build_app(fleet.replicas[1])) as client:
        assert client.post("/counts", content=msgspec.json.encode(good)).status_code == 409
        assert client.get("/measure").status_code == 409
        fleet.replicas[1].process(request(small_records(10, seed=1)))
        page = client.get("/metrics").text
        assert 'serinus_drift_forwarded_total{model="small",outcome="taken"} 0.0' in page
        assert 'serinus_drift_window_rows{model="small",predictor="champion"} 10.0' in page
        # The monitor counts them when it judges them: a sum over both must not count them twice.
        assert "serinus_drift_rows_total{" not in page
        assert "serinus_drift_info{" not in page
    assert fleet.judge.snapshot().payloads == {("champion", "merged"): 1}


def test_numbers_are_remembered_for_a_bounded_number_of_replicas() -> None:
    heard = Heard()
    for i in range(MAX_REPLICAS + 50):
        assert heard.new(f"pod-{i}", 7)
    assert len(heard.save()) == MAX_REPLICAS
    assert not heard.new(f"pod-{MAX_REPLICAS + 49}", 7)
    assert not heard.new(f"pod-{MAX_REPLICAS + 49}", 6)
    assert heard.new(f"pod-{MAX_REPLICAS + 49}", 8)


def test_the_judge_remembers_over_a_restart_what_it_took(fleet: Fleet, bundle: Bundle) -> None:
    body = msgspec.json.encode(message(fleet))
    letter = Letter(Envelope(COUNTS_TYPE, "champion", "pod-0"), body)
    fleet.judge.process(letter)
    fleet.judge.stop()
    store = fleet.judge._store
    again = Monitor(
        fleet.judge.settings,
        fleet.judge.yardstick,
        fleet.judge.measure.reader,
        POLICY,
        clock=fleet.clock,
        store=store,
    )
    again.process(letter)
    assert again.snapshot().payloads["champion", "repeated"] == 1
