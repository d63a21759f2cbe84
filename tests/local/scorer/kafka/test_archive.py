"""The archive on a real Kafka broker: what scorers logged there stands in files, whoever is killed meanwhile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

pytest.importorskip("confluent_kafka")

from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from serinus.chain import Linker, find_logs, verify_log
from serinus.home import Home
from tests.local.platform.support import MODEL, installation
from tests.local.scorer.kafka.archive import ArchiveProcess, content_of
from tests.local.scorer.kafka.broker import JARS, Broker
from tests.local.scorer.load import Load, until
from tests.local.scorer.process import ROOT, ScorerProcess
from tests.support.kafka import lines_of
from tests.unit.access.policies import BANK

pytestmark = [
    pytest.mark.local,
    pytest.mark.slow,
    pytest.mark.skipif(not JARS, reason="SERINUS_KAFKA_JARS names no directory with Kafka's jars"),
]


@pytest.fixture
def central(tmp_path: Path) -> Home:
    """The home that the archive keeps."""
    return Home(tmp_path / "central")


def produce(broker: Broker, topic: str, writers: dict[str, list[bytes]]) -> None:
    """Send logs, mixed, each to a partition of its own choice."""
    producer = Producer({"bootstrap.servers": broker.servers, "enable.idempotence": True, "linger.ms": 5})
    for lines in zip(*writers.values(), strict=True):
        for key, line in zip(writers, lines, strict=True):
            while True:
                try:
                    producer.produce(topic, value=line[:-1], key=key)
                    break
                except BufferError:
                    producer.poll(0.1)
    assert producer.flush(60) == 0


def chain(name: str, count: int) -> list[bytes]:
    return Linker().link([b'{"id":"%b-%d"}' % (name.encode(), i) for i in range(count)])


def make(broker: Broker, topic: str, partitions: int = 3) -> None:
    admin = AdminClient({"bootstrap.servers": broker.servers})
    admin.create_topics([NewTopic(topic, num_partitions=partitions)])[topic].result(20)


def content(home: Home, name: str) -> bytes:
    return content_of(home.decisions, name)


def size(home: Home, names: Iterable[str]) -> int:
    return sum(len(content(home, name)) for name in names)


def serinus(home: Home, *arguments: str) -> tuple[int, str]:
    """One command: exit code and what it printed."""
    run = (sys.executable, "-c", "from serinus.cli.main import run; run()", *arguments)
    env = os.environ | {"SERINUS_HOME": str(home.root)}
    done = subprocess.run(run, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=120)
    return done.returncode, done.stdout or done.stderr


def test_no_kill_at_any_point_loses_or_doubles_a_line(broker: Broker, central: Home) -> None:
    make(broker, "kills-archive")
    writers = {f"m-{i}@0000000{i}": chain(f"w{i}", 20_000) for i in range(4)}
    total = sum(len(line) for lines in writers.values() for line in lines)
    sending = threading.Thread(target=produce, args=(broker, "kills-archive", writers))
    sending.start()
    flags = ("--kafka", f"kafka://{broker.servers}/kills-archive?deadline=10s", "--rotate-mib", "1")
    kills = 0
    while kills < 5:
        with ArchiveProcess(central.root, *flags) as archive:
            more = min(total, size(central, writers) + 100_000 * (kills + 1))
            until(lambda more=more: size(central, writers) >= more)
            archive.kill()
            kills += 1
    with ArchiveProcess(central.root, *flags) as archive:
        until(lambda: size(central, writers) >= total)
        sending.join()
        until(lambda: archive.figure("serinus_archive_lag_messages") == 0)
        assert archive.figure("serinus_archive_gaps_total", source="kafka:kills-archive") == 0
        assert archive.end() == 0
    for name, lines in writers.items():
        assert content(central, name) == b"".join(lines)
        assert list(central.decisions.glob(f"{name}.000001.jsonl")), "it was rotated"
    assert all(verify_log(log).broken is None for log in find_logs([central.decisions]))
    assert not (central.root / "archive" / "aside").exists()


def test_one_damaged_log_holds_up_no_other_of_its_topic(broker: Broker, central: Home) -> None:
    topic, damaged = "damaged", central.decisions / "m-a@00000001.jsonl"
    make(broker, topic)
    writers = {"m-a@00000001": chain("a", 3000), "m-b@00000002": chain("b", 3000)}
    produce(broker, topic, {name: lines[:1000] for name, lines in writers.items()})
    flags = ("--kafka", f"kafka://{broker.servers}/{topic}?deadline=10s")

    def whole(name: str, count: int = 3000) -> bool:
        return content(central, name) == b"".join(writers[name][:count])

    with ArchiveProcess(central.root, *flags) as archive:
        until(lambda: whole("m-a@00000001", 1000) and whole("m-b@00000002", 1000))
        assert archive.end() == 0
    sound = damaged.read_bytes()
    damaged.write_bytes(sound[:-30] + b"\n")
    produce(broker, topic, {name: lines[1000:2000] for name, lines in writers.items()})
    with ArchiveProcess(central.root, *flags) as archive:
        until(lambda: whole("m-b@00000002", 2000))
        until(lambda: archive.figure("serinus_archive_damaged_logs") == 1)
        produce(broker, topic, {name: lines[2000:] for name, lines in writers.items()})
        until(lambda: whole("m-b@00000002"))
        archive.kill()
    damaged.write_bytes(sound)
    with ArchiveProcess(central.root, *flags) as archive:
        until(lambda: whole("m-a@00000001"))
        until(lambda: archive.figure("serinus_archive_damaged_logs") == 0)
        assert archive.figure("serinus_archive_gaps_total", source=f"kafka:{topic}") == 0
    assert all(verify_log(log).broken is None for log in find_logs([central.decisions]))


def test_what_the_topic_removed_before_it_was_read_is_told(broker: Broker, central: Home) -> None:
    topic = "trimmed"
    make(broker, topic, partitions=1)
    lines = chain("t", 300)
    produce(broker, topic, {"m-t@00000001": lines[:100]})
    flags = ("--kafka", f"kafka://{broker.servers}/{topic}?deadline=10s")
    with ArchiveProcess(central.root, *flags) as archive:
        until(lambda: content(central, "m-t@00000001") == b"".join(lines[:100]))
        assert archive.end() == 0  # its place is kept: from there on is counted
    produce(broker, topic, {"m-t@00000001": lines[100:]})
    admin = AdminClient({"bootstrap.servers": broker.servers})
    admin.delete_records([TopicPartition(topic, 0, 150)])[TopicPartition(topic, 0)].result(20)
    told = central.root.parent / "told.log"
    with ArchiveProcess(central.root, *flags, told=told) as archive:
        until(lambda: content(central, "m-t@00000001") == b"".join(lines[:100] + lines[150:]))
        # The line is in the file a moment before it is counted.
        until(lambda: archive.figure("serinus_archive_missing_total", source="kafka:trimmed") == 50)
        assert archive.figure("serinus_archive_lost_messages_total", source="kafka:trimmed") == 50
        until(lambda: "SRN-ARCHIVE-005" in told.read_text())  # told a moment after it is counted
    assert "SRN-ARCHIVE-007" in told.read_text()
    code, said = serinus(central, "audit", "verify")
    assert (code, "gaps.jsonl: 1 entry, sound" in said) == (1, True), said
    code, said = serinus(central, "audit", "verify", str(central.decisions))
    assert (code, "entry 101" in said) == (1, True), said


def test_what_scorers_log_to_kafka_is_explained_verified_reviewed_and_joined_from_the_archive(
    broker: Broker, tmp_path: Path
) -> None:
    central, bundles = installation(tmp_path / "central", 1)
    central.policy.write_text(BANK)
    bundle, pod = bundles[1].path, Home(tmp_path / "pod")
    make(broker, "whole")
    address = f"kafka://{broker.servers}/whole?deadline=10s"
    flags = ("--durability", "strict", "--log", address, "--keys", str(central.keys))
    join = Home(tmp_path / "join")
    beside = ("--kafka", address, "--group", "fraud-outcomes")
    # As on a cluster: an archive beside the join, in its pod, and one beside the registry, where people work.
    with (
        outcomes(bundle, central, join.root) as port,
        ArchiveProcess(join.root, *beside, told=tmp_path / "beside.log"),
    ):
        answers = ("--answers", f"{MODEL}=http://127.0.0.1:{port}", "--every", "100ms")
        with ArchiveProcess(central.root, "--kafka", address, *answers) as archive:
            answered: list[str] = []
            for life in range(2):
                with ScorerProcess(bundle, pod.root, *flags) as scorer:
                    load = Load(scorer.port, prefix=f"{life}-")
                    until(lambda load=load: len(load.answered) >= 100)
                    load.stop()
                    load.join()
                    scorer.terminate()
                    assert scorer.wait()[0] == 0
                answered += [puid for puid, _ in load.answered]
                # A pod goes with its head: the next one begins a chain of its own.
                for head in pod.decisions.glob("*.kafka.json"):
                    head.unlink()
            written = lines_of(broker.servers, "whole")
            count = sum(map(len, written.values()))
            assert count == len(answered)
            assert len(written) == 2
            kept = ("serinus_archive_lines_total", "kafka:whole", "kept")
            until(lambda: archive.figure(kept[0], source=kept[1], result=kept[2]) == count)
            for writer, lines in written.items():
                assert (central.decisions / f"{writer}.jsonl").read_bytes().splitlines() == lines

            code, said = serinus(central, "explain", answered[-1])
            assert (code, "identical" in said) == (0, True), said
            code, said = serinus(central, "audit", "verify")
            assert (code, said.count("champion@")) == (0, 2), said
            code, said = serinus(central, "review", "list", "-o", "json")
            cases = json.loads(said)
            assert len(cases) == sum(
                b'"decision":"review"' in line for lines in written.values() for line in lines
            )

            until(lambda: figure_of(port, "serinus_outcomes_decisions_total") == count)
            assert figure_of(port, "serinus_review_waiting") == len(cases) > 0
            code, said = serinus(
                central,
                "review",
                "answer",
                cases[0]["id"],
                "--answer",
                "bad",
                "--reason",
                "called",
                "--as",
                "rita",
            )
            assert code == 0, said
            until(lambda: figure_of(port, "serinus_review_waiting") == len(cases) - 1)
            assert figure_of(port, "serinus_review_answers", answer="bad") == 1


@contextmanager
def outcomes(bundle: Path, central: Home, home: Path) -> Generator[int]:
    """The join, on the files below its own home; its port."""
    command = [sys.executable, "-m", "serving.outcomes", "--bundle", str(bundle), "--home", str(home)]
    command += [
        "--model",
        MODEL,
        "--keys",
        str(central.keys),
        "--read-every",
        "100ms",
        "--look-every",
        "200ms",
    ]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(json.loads(process.stdout.readline())["port"])
    finally:
        process.kill()
        process.communicate()


def figure_of(port: int, name: str, **labels: str) -> float:
    """The sum of a metric's series."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    return sum(
        sample.value
        for family in families
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )
