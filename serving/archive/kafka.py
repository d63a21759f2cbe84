"""A topic as a source: all its partitions, from where the home's places say."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from serinus.errors import SerinusError
from serinus.kafka_address import Address
from serving.archive.board import Board
from serving.archive.places import Places
from serving.archive.sources import Batch, Item

_MESSAGES = 2000
_WAIT = 0.5
_LOOK = 10.0
_FRESH = 60.0  # seconds for which what the client said of its connections is the reason of a failure
_TOOK = re.compile(r" \(after \d+ms in state \w+\)")
_GONE = KafkaError._AUTO_OFFSET_RESET  # pyright: ignore[reportPrivateUsage]
"""What stood at the place is not there any more; where to go on is found out, and told, by the next look."""


class KafkaSource:
    """Reads a topic and keeps its place with the files. Brokers hear of it for their tools, and are not asked back.

    Args:
        group: under which the brokers are told the place.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        address: Address,
        places: Places,
        board: Board,
        *,
        group: str = "serinus-archive",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._address = address
        self._places = places
        self._board = board
        self._clock = clock
        self._cluster = ""
        self._next: dict[int, int] = {}
        self._looked = float("-inf")
        self._said: tuple[float, str] | None = None
        own: dict[str, object] = {
            "bootstrap.servers": address.servers,
            "log_level": 2,
            "error_cb": self._hear,
            "queued.max.messages.kbytes": 16_384,  # what waits in memory while the disk is slow
            **address.options,
            "group.id": group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            # What is gone must be told, not passed over.
            "auto.offset.reset": "error",
        }
        try:
            self._consumer = Consumer(own)
        except KafkaException as error:
            raise SerinusError(
                "SRN-ARCHIVE-003",
                f"Kafka's client does not take these settings ({error.args[0]})",
                where=self.name,
                hint="Settings are those of librdkafka; see its CONFIGURATION.md.",
            ) from error

    @property
    def name(self) -> str:
        """``kafka:<topic>``."""
        return f"kafka:{self._address.topic}"

    def read(self) -> Batch | None:
        """The next messages of all partitions. Raises ``SRN-ARCHIVE-004``."""
        if self._clock() - self._looked >= _LOOK:
            self._look()
        items: list[Item] = []
        places: dict[str, int] = {}
        trouble: KafkaError | None = None
        for message in self._consumer.consume(_MESSAGES, timeout=_WAIT):
            error = message.error()
            if error is not None:
                trouble = error if error.code() != _GONE else trouble
                self._again()
                continue
            partition, offset = message.partition(), message.offset()
            assert partition is not None
            assert offset is not None
            items.append(Item((message.key() or b"").decode(errors="replace"), message.value() or b""))
            places[self._key(partition)] = offset + 1
            if partition in self._next:
                self._next[partition] = offset + 1
        if items:
            return Batch(items, places)
        if trouble is not None:
            raise self._silent(trouble.str())
        self._tell_lag()
        return None

    def done(self, batch: Batch) -> None:
        """Keep the places beside the files, and let the brokers know."""
        self._places.keep(batch.places)
        offsets = [
            TopicPartition(self._address.topic, int(key.rpartition("/")[2]), offset)
            for key, offset in batch.places.items()
        ]
        with contextlib.suppress(KafkaException):  # for their tools alone; what counts is kept
            self._consumer.commit(offsets=offsets, asynchronous=True)
        self._tell_lag()

    def close(self) -> None:
        """Leave the brokers."""
        self._consumer.close()

    # -----------------------------------------------------------------------

    def _look(self) -> None:
        """See that the brokers answer, and take up partitions that are new."""
        topic, wait = self._address.topic, self._address.deadline
        try:
            known = self._consumer.list_topics(topic, timeout=wait)
            found = known.topics[topic]
            if found.error is not None:
                raise self._silent(found.error.str())
            self._cluster = known.cluster_id or ""
            new = sorted(set(found.partitions) - set(self._next))
            if new:
                begin = {partition: self._start(partition) for partition in new}
                self._places.keep({self._key(partition): offset for partition, offset in begin.items()})
                self._next.update(begin)
                self._consumer.assign([TopicPartition(topic, p, offset) for p, offset in self._next.items()])
        except KafkaException as error:
            raise self._silent(error.args[0].str()) from error
        self._looked = self._clock()

    def _start(self, partition: int) -> int:
        """Where to begin: at the place, or at what is still there."""
        place = TopicPartition(self._address.topic, partition)
        low, high = self._consumer.get_watermark_offsets(place, timeout=self._address.deadline)
        kept = self._places.get(self._key(partition))
        if kept is None:
            if low > 0:
                self._board.lost(self.name, f"{self.name}, partition {partition}", low)
            return low
        if kept > high:  # the topic was made anew
            self._board.lost(self.name, f"{self.name}, partition {partition}, made anew", low)
            return low
        if kept < low:
            self._board.lost(self.name, f"{self.name}, partition {partition}", low - kept)
            return low
        return kept

    def _again(self) -> None:
        """Begin anew from the places, before the next messages are read: the client may have passed some over."""
        self._next.clear()
        self._looked = float("-inf")

    def _tell_lag(self) -> None:
        lag = 0
        for partition, offset in list(self._next.items()):
            place = TopicPartition(self._address.topic, partition)
            _, high = self._consumer.get_watermark_offsets(place, cached=True)
            lag += max(0, high - offset)
        self._board.lag(self.name, lag)

    def _key(self, partition: int) -> str:
        return f"{self._cluster}/{self._address.topic}/{partition}"

    def _hear(self, error: KafkaError) -> None:
        """What the client says of its connections: why a broker is not reached, a certificate that does not fit.

        That all of them are down is no reason; it comes after the reasons.
        """
        if error.code() != KafkaError._ALL_BROKERS_DOWN:  # pyright: ignore[reportPrivateUsage]
            self._said = (self._clock(), _TOOK.sub("", error.str()))

    def _silent(self, why: str) -> SerinusError:
        """With the latest that the client said of its connections, which it does only when it is polled."""
        if self._consumer.poll(0) is not None:
            self._again()  # the message is read again with its kin
        if self._said is not None and self._clock() - self._said[0] <= _FRESH:
            why += f"; {self._said[1]}"
        return SerinusError(
            "SRN-ARCHIVE-004",
            f"the topic cannot be read ({why})",
            where=f"kafka://{self._address.servers}/{self._address.topic}",
            hint="Bring the brokers back, mend the connection, or make the topic; the archive then goes on from its "
            "place by itself.",
        )
