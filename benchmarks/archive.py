"""What keeping decisions costs the archive, beside a peer that only appends the same bytes.

    python -m benchmarks.archive 200000
    SERINUS_KAFKA_JARS=$PWD/.tools/kafka python -m benchmarks.archive 200000 --kafka

By HTTP, one sender posts blocks as a pod's does, one after the other, to ``python -m serving.archive`` and to the
peer: uvicorn and starlette alone, which append the body to a file and sync it before they answer, and look at nothing.
With ``--kafka`` a real broker holds the same lines in one topic of three partitions, and both read it from its
beginning: the archive, and a consumer of the same client library that writes each message to its key's file, syncs and
commits each two thousand, as one would with kcat. CPU is that of the archive's or peer's process alone, from its start
(imports left out), as the operating system accounts it. Rounds alternate; medians are printed, with machine and load.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from statistics import median

from benchmarks.audit import write

ROOT = Path(__file__).resolve().parent.parent
PEER_HTTP = """
import asyncio, os, sys
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from serinus import http
target = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
def keep(body):
    view = memoryview(body)
    while view:
        view = view[os.write(target, view):]
    os.fsync(target)
async def take(request):
    body = await request.body()
    await asyncio.to_thread(keep, body)
    return JSONResponse({"unreadable": 0})
http.end_with_zero()
app = Starlette(routes=[Route("/decisions", take, methods=["POST"])])
http.serve(app, http.bind("127.0.0.1", 0, "SRN-ARCHIVE-001"))
"""
PEER_KAFKA = """
import os, sys
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
servers, topic, directory, wanted = *sys.argv[1:4], int(sys.argv[4])
consumer = Consumer({"bootstrap.servers": servers, "group.id": sys.argv[5], "auto.offset.reset": "earliest",
                     "enable.auto.commit": False, "queued.max.messages.kbytes": 16384})
consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in range(3)])
print('{"ready": true, "port": 0}', flush=True)
files, got = {}, 0
while got < wanted:
    blocks = {}
    for message in consumer.consume(2000, timeout=0.5):
        if message.error() is None:
            blocks.setdefault(message.key().decode(), []).append(message.value())
            got += 1
    for key, lines in blocks.items():
        if key not in files:
            files[key] = os.open(os.path.join(directory, key + ".jsonl"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        view = memoryview(b"\\n".join(lines) + b"\\n")
        while view:
            view = view[os.write(files[key], view):]
        os.fsync(files[key])
    if blocks:
        consumer.commit(asynchronous=False)
print("done", flush=True)
sys.stdin.read()
"""


@contextmanager
def running(*command: str) -> Generator[tuple[subprocess.Popen[str], int]]:
    """A program that says that it is ready, and its port."""
    process = subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise SystemExit(f"{command[:2]} did not start")
        yield process, int(json.loads(line)["port"])
    finally:
        process.kill()
        process.wait()


def cpu_of(pid: int) -> float:
    """CPU seconds of a process so far, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def post(port: int, bodies: list[bytes]) -> None:
    """One after the other, as a pod's sender does."""
    for body in bodies:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/decisions?log=fraud-pod", data=body, method="POST"
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            answer.read()


def kept(directory: Path) -> int:
    """Bytes in the logs below it."""
    return sum(path.stat().st_size for path in directory.glob("*.jsonl"))


Round = Callable[[Path], tuple[float, float]]
"""One round in an empty directory: wall clock and CPU seconds."""


def http_round(
    command: Callable[[Path], list[str]], target: Callable[[Path], Path], bodies: list[bytes]
) -> Round:
    """Post everything to a program, and see that all of it is in its files."""

    def once(place: Path) -> tuple[float, float]:
        with running(*command(place)) as (process, port):
            before, began = cpu_of(process.pid), time.perf_counter()
            post(port, bodies)
            wall, cpu = time.perf_counter() - began, cpu_of(process.pid) - before
            _whole(kept(target(place)), sum(map(len, bodies)))
            return wall, cpu

    return once


def kafka_round(command: Callable[[Path], list[str]], target: Callable[[Path], Path], size: int) -> Round:
    """Read a topic from its beginning until all of it is in files."""

    def once(place: Path) -> tuple[float, float]:
        with running(*command(place)) as (process, _):
            before, began = cpu_of(process.pid), time.perf_counter()
            while kept(target(place)) < size:
                if process.poll() is not None or time.perf_counter() - began > 600:
                    raise SystemExit("the topic was not read to its end")
                time.sleep(0.02)
            wall, cpu = time.perf_counter() - began, cpu_of(process.pid) - before
            _whole(kept(target(place)), size)
            return wall, cpu

    return once


def measure(
    rounds: int, entries: int, variants: dict[str, Round], scratch: Path
) -> dict[str, dict[str, float]]:
    """Medians over the rounds: lines a second and microseconds of CPU a line."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in variants}
    for number in range(rounds):
        order = list(variants.items())
        for name, once in order if number % 2 == 0 else reversed(order):
            place = scratch / "round"
            place.mkdir()
            found[name].append(once(place))
            shutil.rmtree(place)
            wall, cpu = found[name][-1]
            print(f"  round {number + 1}  {name:<22} wall {wall:.2f} s  CPU {cpu:.2f} s", file=sys.stderr)
    return {
        name: {
            "lines_per_second": round(entries / median(wall for wall, _ in runs)),
            "cpu_us_per_line": round(1e6 * median(cpu for _, cpu in runs) / entries, 2),
        }
        for name, runs in found.items()
    }


def produce(servers: str, topic: str, writers: dict[str, list[bytes]]) -> None:
    """Put the logs into a topic, mixed, each in its own order."""
    from confluent_kafka import Producer
    from confluent_kafka.admin import AdminClient
    from confluent_kafka.cimpl import NewTopic

    admin = AdminClient({"bootstrap.servers": servers})
    admin.create_topics([NewTopic(topic, num_partitions=3)])[topic].result(20)
    producer = Producer({"bootstrap.servers": servers, "enable.idempotence": True, "linger.ms": 5})
    for lines in zip(*writers.values(), strict=True):
        for key, line in zip(writers, lines, strict=True):
            while True:
                try:
                    producer.produce(topic, value=line, key=key)
                    break
                except BufferError:
                    producer.poll(0.1)
    if producer.flush(120):
        raise SystemExit("the broker did not take all lines")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.archive", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("entries", type=int, nargs="?", default=200_000, help="decisions of 30 features")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--block", type=int, default=5000, help="lines a post; at most 8 MiB")
    parser.add_argument("--writers", type=int, default=4, help="logs that share the topic")
    parser.add_argument("--kafka", action="store_true", help="also from a broker of $SERINUS_KAFKA_JARS")
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    figures: dict[str, dict[str, dict[str, float]]] = {}
    with tempfile.TemporaryDirectory(prefix="archive-") as temporary:
        scratch = Path(temporary)
        write(scratch / "log.jsonl", arguments.entries)
        lines = (scratch / "log.jsonl").read_bytes().splitlines()
        blocks = [lines[i : i + arguments.block] for i in range(0, len(lines), arguments.block)]
        bodies = [b"\n".join(block) + b"\n" for block in blocks]
        size = sum(map(len, bodies))

        def archive(place: Path) -> list[str]:
            return ["-m", "serving.archive", "--home", str(place), "--rotate-mib", "0"]

        figures["http"] = measure(
            arguments.rounds,
            arguments.entries,
            {
                "archive": http_round(archive, lambda place: place / "decisions", bodies),
                "append alone": http_round(
                    lambda place: ["-c", PEER_HTTP, str(place / "log.jsonl")], lambda place: place, bodies
                ),
            },
            scratch,
        )
        broker = nullcontext()
        if arguments.kafka:
            from tests.local.scorer.kafka.broker import JARS, Broker

            if not JARS:
                raise SystemExit(
                    "SERINUS_KAFKA_JARS names no directory with Kafka's jars; see make test-kafka"
                )
            (scratch / "broker").mkdir()
            broker = Broker(scratch / "broker")
        with broker as made:
            if made is not None:
                each = arguments.entries // arguments.writers
                writers: dict[str, list[bytes]] = {}
                for number in range(arguments.writers):
                    path = scratch / f"writer-{number}.jsonl"
                    write(path, each)
                    writers[f"fraud-{number}"] = path.read_bytes().splitlines()
                produce(made.servers, "decisions", writers)
                topic = f"kafka://{made.servers}/decisions"
                size_kafka = sum(len(line) + 1 for log in writers.values() for line in log)
                count = each * arguments.writers

                def consumer(place: Path) -> list[str]:
                    group = f"peer-{time.monotonic_ns()}"
                    return ["-c", PEER_KAFKA, made.servers, "decisions", str(place), str(count), group]

                figures["kafka"] = measure(
                    arguments.rounds,
                    count,
                    {
                        "archive": kafka_round(
                            lambda place: [*archive(place), "--kafka", topic],
                            lambda place: place / "decisions",
                            size_kafka,
                        ),
                        "consumer to files": kafka_round(consumer, lambda place: place, size_kafka),
                    },
                    scratch,
                )
    print(
        f"{arguments.entries:,} lines, {size / arguments.entries:.0f} bytes each, {arguments.rounds} rounds; "
        f"{os.cpu_count()} cores, {platform.machine()}, load {load:.1f} before and {os.getloadavg()[0]:.1f} after"
    )
    for way, measured in figures.items():
        (ours, mine), (peer, theirs) = measured.items()
        for name, one in measured.items():
            rate = f"{one['lines_per_second']:>9,} lines/s"
            print(f"{way:<6} {name:<18} {rate}   {one['cpu_us_per_line']:>6.2f} us of CPU a line")
        print(
            f"{way:<6} {ours} / {peer}: {mine['lines_per_second'] / theirs['lines_per_second']:.2f} of its rate, "
            f"{mine['cpu_us_per_line'] / theirs['cpu_us_per_line']:.1f} times its CPU"
        )
    print(json.dumps(figures))


def _whole(found: int, wanted: int) -> None:
    if found != wanted:
        raise SystemExit(f"{found:,} bytes are kept, of {wanted:,}")


if __name__ == "__main__":
    main()
