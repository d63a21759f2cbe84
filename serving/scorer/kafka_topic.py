"""One Kafka topic: clients for it, a look into it, and what goes wrong with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from serinus.errors import SerinusError
from serinus.kafka_address import Address

_FRESH = 60.0
"""Seconds for which what the client said of its connections explains what came after it."""


class Topic:
    """The topic at an address.

    Args:
        address: where.
        clock: seconds, monotonic.
    """

    def __init__(self, address: Address, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = address.topic
        self.deadline = address.deadline
        self._address = address
        self._clock = clock
        self._said: tuple[float, str] | None = None

    @property
    def place(self) -> str:
        """For messages to people."""
        return f"kafka://{self._address.servers}/{self.name}"

    def producer(self) -> Producer:
        """One that gives no message up and lets none pass another."""
        own = {
            "enable.idempotence": True,
            "acks": "all",
            "message.timeout.ms": 0,  # none
            "enable.gapless.guarantee": True,
            "linger.ms": 0,
            "compression.type": "lz4",
        }
        return self._client(Producer, own)

    def consumer(self) -> Consumer:
        """One that belongs to no group's offsets."""
        own = {
            "group.id": "serinus-decision-log",
            "enable.auto.commit": False,
            "allow.auto.create.topics": True,
        }
        return self._client(Consumer, own)

    def _client[T](self, kind: Callable[[dict[str, Any]], T], own: dict[str, Any]) -> T:
        settings = {"bootstrap.servers": self._address.servers, "log_level": 2, "error_cb": self.hear}
        try:
            return kind({**settings, **self._address.options, **own})
        except KafkaException as error:
            raise SerinusError(
                "SRN-SCORER-008",
                f"Kafka's client does not take these settings ({error.args[0].str()})",
                where=self.place,
                hint="Settings are those of librdkafka; see its CONFIGURATION.md.",
            ) from error

    def hear(self, error: KafkaError) -> None:
        """What the client says of its connections: why a broker is not reached, a certificate that does not fit.

        That all of them are down is no reason; it comes after the reasons.
        """
        if error.code() != KafkaError._ALL_BROKERS_DOWN:  # pyright: ignore[reportPrivateUsage]
            self._said = (self._clock(), error.str())

    def late(self, why: str, client: Producer | Consumer | None = None) -> SerinusError:
        """``SRN-SCORER-007``, with the latest that the client said of its connections.

        Args:
            client: asked first for what it has not said yet: it does so only when it is polled.
        """
        if client is not None:
            client.poll(0)
        if self._said is not None and self._clock() - self._said[0] <= _FRESH:
            why += f"; {self._said[1]}"
        return SerinusError(
            "SRN-SCORER-007",
            f"the brokers do not confirm decisions ({why})",
            where=self.place,
            hint="Bring the brokers back, or mend the connection; scoring stops meanwhile and goes on by itself.",
        )

    def refused(self, why: str) -> SerinusError:
        """``SRN-SCORER-008``."""
        return SerinusError(
            "SRN-SCORER-008",
            f"the brokers refuse decisions ({why})",
            where=self.place,
            hint="Check the topic, its largest message, and this client's rights.",
        )


class Reader:
    """A consumer for one look at the topic.

    Args:
        topic: which.
        wait: seconds the brokers may take for an answer, for a topic to appear,
            for its leader (a topic just made, or a broker just back, has none
            for a moment), and between two messages.
        clock: seconds, monotonic.
        sleep: waits before a question is asked again.
    """

    def __init__(
        self,
        topic: Topic,
        wait: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._topic = topic
        self._wait = wait
        self._clock = clock
        self._sleep = sleep
        self._consumer = topic.consumer()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def partitions(self) -> int:
        """How many the topic has; asking makes a topic where the brokers allow that."""
        name, until = self._topic.name, self._clock() + self._wait
        while True:
            try:
                topic = self._consumer.list_topics(name, timeout=self._wait).topics[name]
            except KafkaException as error:
                raise self._topic.late(error.args[0].str(), self._consumer) from error
            if topic.partitions:
                return len(topic.partitions)
            if self._clock() > until:
                raise self._topic.late("the topic does not exist")
            self._sleep(0.1)

    def bounds(self, partition: int) -> tuple[int, int]:
        """First offset kept, and the one after the last."""
        place = TopicPartition(self._topic.name, partition)
        until = self._clock() + self._wait
        while True:
            try:
                return self._consumer.get_watermark_offsets(place, timeout=self._wait)
            except KafkaException as error:
                if not _passes(error) or self._clock() > until:
                    raise self._topic.late(error.args[0].str(), self._consumer) from error
                self._sleep(0.1)

    def between(self, partition: int, start: int, end: int) -> Iterator[Message]:
        """Messages of a partition from ``start`` up to ``end``."""
        if start >= end:
            return
        self._consumer.assign([TopicPartition(self._topic.name, partition, start)])
        until = self._clock() + self._wait
        while start < end:
            for message in self._consumer.consume(1000, timeout=0.2):
                if message.error() is None:
                    until = self._clock() + self._wait
                    offset = message.offset()
                    if offset is not None and offset < end:
                        yield message
            (place,) = self._consumer.position([TopicPartition(self._topic.name, partition)])
            # Past what is no message of ours too, such as a transaction's marker.
            start = max(start, place.offset)
            if self._clock() > until:
                raise self._topic.late("the topic cannot be read", self._consumer)


def _passes(error: KafkaException) -> bool:
    return error.args[0].code() in (
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
    )
