"""A look into a topic: it waits for a leader as long as it was told to, and no longer."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any, cast

import pytest

pytest.importorskip("confluent_kafka")

from confluent_kafka import KafkaError, KafkaException

from serinus.errors import SerinusError
from serinus.kafka_address import Address
from serving.scorer.kafka_topic import Reader, Topic
from tests.support.certs import Authority


@contextlib.contextmanager
def tls_server(directory: Path) -> Generator[int]:
    """Shakes hands by TLS and does nothing else; the port."""
    cert, key = Authority(directory).sign("broker")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), connection:
                context.wrap_socket(connection, server_side=True).close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)


PASSING = [
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
]


class Time:
    """A clock that only waiting moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Asked:
    """A consumer whose topic has a leader, and partitions, from a time on."""

    def __init__(self, time: Time, ready: float, code: int) -> None:
        self._time, self._ready, self._code = time, ready, code

    def get_watermark_offsets(self, place: object, timeout: float) -> tuple[int, int]:
        if self._time.now < self._ready:
            raise KafkaException(KafkaError(self._code))
        return 3, 7

    def list_topics(self, topic: str, timeout: float) -> Any:
        found = type("Found", (), {"partitions": {0: None, 1: None} if self._time.now >= self._ready else {}})
        return type("Known", (), {"topics": {topic: found}})

    def poll(self, timeout: float) -> None:
        pass

    def close(self) -> None:
        pass


class Quick(Topic):
    """A topic whose answers wait for 0.5 s at most, and whose consumer is given."""

    def __init__(self, asked: Asked) -> None:
        super().__init__(Address("broker:9092", "decisions", 0.5))
        self._asked = asked

    def consumer(self) -> Any:
        return cast(Any, self._asked)


def look(ready: float, code: int = KafkaError.NOT_LEADER_FOR_PARTITION, wait: float = 15) -> Reader:
    time = Time()
    return Reader(Quick(Asked(time, ready, code)), wait, clock=time.clock, sleep=time.sleep)


@pytest.mark.parametrize("code", PASSING)
def test_a_topic_just_made_is_waited_for_longer_than_an_answer_may_take(code: int) -> None:
    assert look(ready=10, code=code).bounds(0) == (3, 7)
    assert look(ready=10, code=code).partitions() == 2


@pytest.mark.parametrize(
    "look_", [look(ready=10, wait=2).bounds, lambda _: look(ready=10, wait=2).partitions()]
)
def test_past_its_time_the_wait_is_over(look_: Any) -> None:
    with pytest.raises(SerinusError, match="SRN-SCORER-007"):
        look_(0)


def test_what_does_not_pass_is_not_waited_for() -> None:
    reader = look(ready=1, code=KafkaError.TOPIC_AUTHORIZATION_FAILED)
    with pytest.raises(SerinusError, match="SRN-SCORER-007"):
        reader.bounds(0)


class Untrusted(Asked):
    """A consumer that says, when it is polled, why it reaches no broker."""

    heard: Any

    def poll(self, timeout: float) -> None:
        self.heard(KafkaError(KafkaError._SSL, "certificate verify failed"))  # pyright: ignore[reportPrivateUsage]
        self.heard(KafkaError(KafkaError._ALL_BROKERS_DOWN))  # pyright: ignore[reportPrivateUsage]


def test_why_no_broker_was_reached_is_told_and_forgotten_after_a_while() -> None:
    time = Time()
    asked = Untrusted(time, 10, KafkaError._TRANSPORT)  # pyright: ignore[reportPrivateUsage]
    topic = Quick(asked)
    asked.heard = topic.hear
    topic._clock = time.clock  # pyright: ignore[reportPrivateUsage]
    with pytest.raises(SerinusError, match="certificate verify failed"):
        Reader(topic, 2, clock=time.clock, sleep=time.sleep).bounds(0)
    assert "certificate verify failed" in str(topic.late("not confirmed"))
    time.now += 61
    assert "certificate" not in str(topic.late("not confirmed"))


def test_a_real_client_that_trusts_another_authority_says_so(tmp_path: Path) -> None:
    with tls_server(tmp_path) as port:
        wrong = Authority(tmp_path, "another").ca
        options = {"security.protocol": "ssl", "ssl.ca.location": str(wrong)}
        topic = Topic(Address(f"127.0.0.1:{port}", "decisions", 0.5, options))
        told = list[str]()
        while not told or (
            "certificate" not in told[-1] and len(told) < 20
        ):  # a busy machine shakes hands late
            with pytest.raises(SerinusError, match="SRN-SCORER-007") as caught, Reader(topic, 2.0) as reader:
                reader.partitions()
            told.append(str(caught.value))
        assert "certificate verify failed" in told[-1]
