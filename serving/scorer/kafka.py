"""The decision log as a Kafka topic: one message a decision, its value the chained line.

The message's key is the writer, all of whose entries go to one partition in
order, so ``key, value`` read back in order is the same log that a file would
be, and verifies as one. What is needed to go on after a restart (the head, and
the offset up to which it is known) is kept in a small local file; entries that
were delivered after it was last saved are read back from the topic.

A message is never given up while the process lives: while the brokers are away
it stays queued, nothing behind it can overtake it, and no second copy is made.
"""

from __future__ import annotations

import os
import time
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from serinus.chain import GENESIS, NotAnEntry, decode_entry, entry_hash
from serinus.chain.lock import lock
from serinus.errors import SerinusError
from serinus.home import atomic_write
from serinus.kafka_address import Address, parse_address
from serving.scorer.kafka_topic import Reader, Topic

_SAVE_EVERY = 1.0
_STARTING = 15.0
"""Seconds for which a start waits for the brokers and the topic's leader, where the deadline is shorter. The
deadline is that of a caller who waits for an answer; nobody waits for this one, and a busy broker takes
seconds to make a topic."""


class Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is kept locally: where the writer's chain ends, as far as is known without asking the brokers."""

    writer: str
    partition: int
    offset: int
    """The first offset that may hold an entry of which this head does not know."""
    seq: int = 0
    hash: str = GENESIS


def open_kafka(text: str, directory: Path, name: str) -> KafkaLog:
    """The log at an address. The local head is ``<directory>/<name>.kafka.json``."""
    return KafkaLog(parse_address(text, code="SRN-SCORER-008"), directory / f"{name}.kafka.json", name)


class KafkaLog:
    """One writer's chain in a topic: a ``DecisionSink``.

    Args:
        address: brokers, topic, settings.
        state: the local head; a lock beside it keeps a second process out.
        name: begins the writer's name; a random part keeps it apart from a
            writer whose head was lost.
        starting: seconds the brokers may take now, before anybody waits for an
            answer; never less than the deadline.
        clock: seconds, monotonic.

    Raises:
        SerinusError: ``SRN-AUDIT-001`` another process is this writer;
            ``SRN-SCORER-007`` the brokers do not answer, or the topic has no leader,
            within ``starting``; ``-008`` the settings are wrong, or the topic does not continue this chain.
    """

    def __init__(
        self,
        address: Address,
        state: Path,
        name: str,
        *,
        starting: float = _STARTING,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._topic = Topic(address)
        self._state = state
        self._clock = clock
        self._lock = lock(
            state,
            what="another process is this writer",
            hint="Each writer needs a head of its own: another --predictor or --home.",
        )
        self._queued: deque[str] = deque()  # hashes of what is produced and not yet delivered
        self._error: KafkaError | None = None
        self._saved = clock()
        self._producer: Producer | None = None
        self._wait = max(starting, address.deadline)
        try:
            self._head = self._load() or self._begin(name)
            self._connect()
            self._wait = address.deadline
        except BaseException:
            self._lock.close()
            raise

    @property
    def writer(self) -> str:
        """The messages' key."""
        return self._head.writer

    @property
    def seq(self) -> int:
        """Number of the last entry delivered."""
        return self._head.seq

    @property
    def head(self) -> str:
        """Its hash."""
        return self._head.hash

    @property
    def safe(self) -> int:
        """What is delivered is safe: ``acks=all``."""
        return self._head.seq

    # --- writing -----------------------------------------------------------

    def sync(self) -> None:
        """Nothing to do."""

    def write(
        self, lines: Sequence[bytes], seq: int, head: str, *, after: int | None = None, durable: bool = True
    ) -> None:
        """Deliver lines; those of them that an earlier, failed call delivered after all are not sent again.

        Raises:
            SerinusError: ``SRN-SCORER-007`` not confirmed within the deadline (they
                may still be delivered later), ``-008`` refused by the brokers.
        """
        if after is not None:
            lines = b"".join(lines).splitlines(keepends=True)
        until = self._clock() + self._topic.deadline
        self._settle(until)
        skip = self.seq - (seq - len(lines))
        if not 0 <= skip <= len(lines) or (skip and _hash_of(lines[skip - 1]) != self.head):
            # What timed out before was delivered meanwhile; these lines were chained without it.
            raise self._topic.late("the chain has moved on")
        producer = self._connect()
        for i, line in enumerate(lines[skip:]):
            self._produce(producer, line, until)
            if i % 64 == 63:
                producer.poll(0)
        self._settle(until)
        if self._clock() - self._saved >= _SAVE_EVERY:
            self._save()

    def probe(self) -> None:
        """Whether everything handed over is delivered and the brokers answer. Raises as ``write``."""
        until = self._clock() + self._topic.deadline
        self._settle(until)
        self._ask(self._connect(), max(0.01, until - self._clock()))

    def close(self) -> None:
        """Wait for what is queued, at most the deadline, and keep the head."""
        try:
            if self._producer is not None:
                self._producer.flush(self._topic.deadline)
            self._save()
        finally:
            self._lock.close()

    def _ask(self, producer: Producer, timeout: float) -> None:
        try:
            producer.list_topics(self._topic.name, timeout=timeout)
        except KafkaException as error:
            raise self._topic.late(error.args[0].str(), producer) from error

    def _produce(self, producer: Producer, line: bytes, until: float) -> None:
        while True:
            try:
                producer.produce(
                    self._topic.name,
                    value=line[:-1],
                    key=self._head.writer,
                    partition=self._head.partition,
                    on_delivery=self._delivered,
                )
            except BufferError:
                producer.poll(0.01)
                if self._clock() > until:
                    raise self._topic.late("the local queue is full") from None
            except KafkaException as error:
                raise self._topic.refused(error.args[0].str()) from error
            else:
                self._queued.append(_hash_of(line))
                return

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._error = self._error or error
            return
        if self._error is None:
            offset = message.offset()
            assert offset is not None
            self._head = msgspec.structs.replace(
                self._head, seq=self._head.seq + 1, hash=self._queued.popleft(), offset=offset + 1
            )

    def _settle(self, until: float) -> None:
        """Wait until nothing is in flight."""
        producer = self._producer
        while producer is not None and self._queued and self._error is None:
            left = until - self._clock()
            if left <= 0:
                raise self._topic.late(f"{len(self._queued)} message(s) not confirmed")
            producer.poll(min(left, 0.1))
        if self._error is not None:
            # Which of the queued ones were stored is not known here: the topic is asked by the next call.
            error, self._error, self._producer = self._error, None, None
            self._queued.clear()
            if producer is not None:
                producer.purge()
            raise self._topic.refused(error.str())

    # --- the writer's place in the topic -------------------------------------

    def _connect(self) -> Producer:
        """The producer, made after the head is up with the topic."""
        if self._producer is None:
            self._catch_up()
            self._producer = self._topic.producer()
            # It connects now, not with the first decision.
            self._ask(self._producer, self._wait)
        return self._producer

    def _begin(self, name: str) -> Head:
        """A new chain, in a partition of its choice from now on."""
        writer = f"{name}@{os.urandom(4).hex()}"
        with Reader(self._topic, self._wait) as reader:
            partition = zlib.crc32(writer.encode()) % reader.partitions()
            _, end = reader.bounds(partition)
        head = Head(writer, partition, end)
        atomic_write(self._state, msgspec.json.encode(head))
        return head

    def _catch_up(self) -> None:
        with Reader(self._topic, self._wait) as reader:
            start, end = reader.bounds(self._head.partition)
            for message in reader.between(self._head.partition, max(start, self._head.offset), end):
                if message.key() == self._head.writer.encode():
                    self._follow(message)
        self._save()

    def _follow(self, message: Message) -> None:
        try:
            entry = decode_entry(message.value() or b"")
            digest = entry_hash(entry.prev.encode(), entry.seq, bytes(entry.body))
        except NotAnEntry as error:
            raise self._foreign(message, str(error)) from error
        head, offset = self._head, message.offset()
        if (entry.seq, entry.prev, entry.hash.encode()) != (head.seq + 1, head.hash, digest):
            raise self._foreign(message, f"entry {entry.seq:,} does not follow entry {head.seq:,}")
        assert offset is not None
        self._head = msgspec.structs.replace(head, seq=entry.seq, hash=entry.hash, offset=offset + 1)

    def _load(self) -> Head | None:
        try:
            return msgspec.json.decode(self._state.read_bytes(), type=Head)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            raise SerinusError(
                "SRN-SCORER-008",
                f"the writer's head cannot be read ({error})",
                where=str(self._state),
                hint="Move it away: a new writer, with a chain of its own, begins then.",
            ) from error

    def _save(self) -> None:
        self._saved = self._clock()
        atomic_write(self._state, msgspec.json.encode(self._head))

    def _foreign(self, message: Message, why: str) -> SerinusError:
        return SerinusError(
            "SRN-SCORER-008",
            f"partition {message.partition()}, offset {message.offset()}: {why}",
            where=self._topic.place,
            hint=f"Keep the topic as evidence; move {self._state} away and a new writer begins.",
        )


def _hash_of(line: bytes) -> str:
    at = line.index(b'"hash":"') + 8
    return line[at : at + 64].decode()
