"""Brokers for tests: librdkafka's own mock cluster, and a look at what a topic holds."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition


@contextmanager
def mock_cluster() -> Generator[str]:
    """``host:port`` of a broker that lives in this process: the wire protocol without the disk."""
    holder = Producer({"bootstrap.servers": "127.0.0.1:1", "test.mock.num.brokers": 1, "log_level": 0})
    (broker,) = holder.list_topics(timeout=60).brokers.values()
    yield f"{broker.host}:{broker.port}"


def lines_of(servers: str, topic: str, *, seconds: float = 90) -> dict[str, list[bytes]]:
    """Every message's value by its key, in the order of the partition."""
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "test", "enable.auto.commit": False})
    found: dict[str, list[bytes]] = {}
    try:
        until = time.monotonic() + seconds
        for partition in consumer.list_topics(topic, timeout=60).topics[topic].partitions:
            place = TopicPartition(topic, partition, 0)
            _, end = consumer.get_watermark_offsets(place, timeout=60)
            consumer.assign([place])
            seen = 0
            while seen < end:
                assert time.monotonic() < until, "the topic cannot be read"
                for message in consumer.consume(1000, timeout=0.2):
                    assert message.error() is None
                    found.setdefault((message.key() or b"").decode(), []).append(message.value() or b"")
                    seen = (message.offset() or 0) + 1
    finally:
        consumer.close()
    return found


def dump(lines: list[bytes], path: Path) -> Path:
    """A topic's messages as the log file that they would be."""
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path
