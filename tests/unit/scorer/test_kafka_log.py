"""One writer's chain in a topic: in order, each entry once, and continued after any end."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import msgspec
import pytest

pytest.importorskip("confluent_kafka")

from serinus.chain import Linker, verify_log
from serinus.errors import SerinusError
from serinus.kafka_address import Address, parse_address
from serving.scorer.kafka import Head, KafkaLog, open_kafka
from tests.support.kafka import dump, lines_of, mock_cluster


@pytest.fixture
def servers() -> Generator[str]:
    with mock_cluster() as place:
        yield place


def opened(servers: str, tmp_path: Path, options: str = "") -> KafkaLog:
    return open_kafka(f"kafka://{servers}/decisions?deadline=10s{options}", tmp_path, "fraud-canary")


def crash(log: KafkaLog) -> None:
    """A killed process: nothing is saved, the lock falls."""
    log._lock.close()


def add(log: KafkaLog, *bodies: bytes) -> list[bytes]:
    linker = Linker(log.seq, log.head)
    lines = linker.link(bodies)
    log.write(lines, linker.seq, linker.head)
    return lines


def sound(servers: str, writer: str, tmp_path: Path) -> list[bytes]:
    """The writer's bodies, after its chain was verified as a file."""
    lines = lines_of(servers, "decisions")[writer]
    assert verify_log(dump(lines, tmp_path / "topic.jsonl")).broken is None
    return [bytes(msgspec.json.decode(line)["body"].encode()) for line in lines]


def test_the_topic_holds_one_chain_per_writer_through_ends_and_crashes(servers: str, tmp_path: Path) -> None:
    expected: list[bytes] = []
    writers: set[str] = set()
    for life in range(3):
        log = opened(servers, tmp_path)
        assert log.seq == len(expected)
        writers.add(log.writer)
        for batch in range(3):
            bodies = [b'"%d.%d.%d"' % (life, batch, i) for i in range(40)]
            add(log, *bodies)
            expected += [body.strip(b'"') for body in bodies]
        log.close() if life % 2 else crash(log)
    (writer,) = writers
    assert sound(servers, writer, tmp_path) == expected


def test_lines_that_were_delivered_after_all_are_not_sent_again(servers: str, tmp_path: Path) -> None:
    log = opened(servers, tmp_path)
    linker = Linker()
    lines = linker.link([b'"a"', b'"b"'])
    log.write(lines, linker.seq, linker.head)
    more = [*lines, *linker.link([b'"c"'])]
    log.write(more, linker.seq, linker.head)
    assert sound(servers, log.writer, tmp_path) == [b"a", b"b", b"c"]
    other = Linker(1, log.head)
    with pytest.raises(SerinusError, match="the chain has moved on"):
        log.write(other.link([b'"x"']), other.seq, other.head)


def test_a_lost_head_begins_a_new_writer_and_never_a_second_chain_under_the_old_name(
    servers: str, tmp_path: Path
) -> None:
    log = opened(servers, tmp_path)
    add(log, b'"a"')
    crash(log)
    (tmp_path / "fraud-canary.kafka.json").unlink()
    again = opened(servers, tmp_path)
    assert (again.seq, again.writer != log.writer) == (0, True)
    add(again, b'"b"')
    assert sound(servers, log.writer, tmp_path) == [b"a"]
    assert sound(servers, again.writer, tmp_path) == [b"b"]


def test_a_second_process_is_kept_out(servers: str, tmp_path: Path) -> None:
    log = opened(servers, tmp_path)
    with pytest.raises(SerinusError, match="SRN-AUDIT-001"):
        opened(servers, tmp_path)
    log.close()
    opened(servers, tmp_path).close()


def test_a_topic_that_does_not_continue_the_chain_is_not_written(servers: str, tmp_path: Path) -> None:
    log = opened(servers, tmp_path)
    add(log, b'"a"', b'"b"')
    log.close()
    path = tmp_path / "fraud-canary.kafka.json"
    head = msgspec.json.decode(path.read_bytes(), type=Head)
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(head, offset=head.offset - 1)))
    with pytest.raises(SerinusError, match="entry 2 does not follow entry 2"):
        opened(servers, tmp_path)
    path.write_bytes(b"{")
    with pytest.raises(SerinusError, match="SRN-SCORER-008"):
        opened(servers, tmp_path)


def test_an_entry_the_client_refuses_is_said_so_and_those_before_it_stand(
    servers: str, tmp_path: Path
) -> None:
    log = opened(servers, tmp_path, "&message.max.bytes=1000")
    with pytest.raises(SerinusError, match="SRN-SCORER-008"):
        add(log, b'"a"', b'"%b"' % (b"x" * 2000))
    log.probe()
    assert log.seq == 1
    add(log, b'"b"')
    assert sound(servers, log.writer, tmp_path) == [b"a", b"b"]


def test_without_brokers_it_says_so_in_time_and_does_not_start(tmp_path: Path) -> None:
    with mock_cluster() as place:
        log = open_kafka(f"kafka://{place}/decisions?deadline=2s", tmp_path, "fraud-canary")
        add(log, b'"a"')
        log._topic.deadline = 0.2
    for again in (lambda: add(log, b'"b"'), lambda: add(log, b'"b"'), log.probe):
        with pytest.raises(SerinusError, match="SRN-SCORER-007"):
            again()
    assert log.seq == 1
    log.close()
    with pytest.raises(SerinusError, match="SRN-SCORER-007"):
        KafkaLog(Address("127.0.0.1:1", "decisions", 0.1), tmp_path / "s.json", "w", starting=0.3)


def test_the_address_carries_servers_topic_deadline_and_settings(tmp_path: Path) -> None:
    config = tmp_path / "client.properties"
    config.write_text("# ours\nsasl.username = bank\nclient.id=a\n")
    text = f"kafka://a:9092,b:9092/decisions?deadline=2s&client.id=b&config={config}"
    options = {"sasl.username": "bank", "client.id": "b"}
    assert parse_address(text, code="SRN-SCORER-008") == Address("a:9092,b:9092", "decisions", 2.0, options)
    assert parse_address("kafka://a:1/t", code="SRN-SCORER-008") == Address("a:1", "t")


@pytest.mark.parametrize(
    "text",
    [
        "kafka://a:1",
        "kafka:///t",
        "kafka://a:1/t/u",
        "kafka://a:1/t?deadline=soon",
        "kafka://a:1/t?config=/absent",
        "kafka://ann:secret@a:1,b:1/t",
    ],
)
def test_another_address_is_refused(text: str) -> None:
    with pytest.raises(SerinusError, match="SRN-SCORER-008") as refused:
        parse_address(text, code="SRN-SCORER-008")
    assert "secret" not in str(refused.value)


def test_a_setting_librdkafka_does_not_know_is_refused(tmp_path: Path) -> None:
    options: Any = {"no.such.setting": "1"}
    with pytest.raises(SerinusError, match="SRN-SCORER-008"):
        KafkaLog(Address("127.0.0.1:1", "t", 0.1, options), tmp_path / "s.json", "w")
