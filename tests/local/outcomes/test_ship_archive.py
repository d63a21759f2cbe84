"""A pod's log on its way to archive and join: each line once, whoever is killed, and neither waits for the other."""

import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from serinus.chain import ChainWriter, find_logs, verify_log
from serinus.home import Home
from tests.local.outcomes.test_ship import outcomes, status
from tests.local.scorer.kafka.archive import ArchiveProcess, content_of
from tests.local.scorer.load import until
from tests.local.scorer.process import ROOT
from tests.support.bundles import small_bundle
from tests.support.ports import free_port
from tests.unit.outcomes.lines import decision, feedback

pytestmark = pytest.mark.local

COUNT = 12_000


def body(number: int) -> bytes:
    """What a decision's line holds."""
    line = decision(f"r{number}", time.time())
    return line[line.index(b'"body":') + 7 : line.rindex(b"}")].strip()


def shipping(logs: Path, archive: str, join: str = "") -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "serving.outcomes.ship", "--archive", archive]
    command += ["--to", join] if join else []
    command += ["--logs", str(logs), "--decisions", "loans-*.jsonl", "--feedback", "loans-*.feedback*.jsonl"]
    command += [
        "--state",
        str(logs / "state" / "places.json"),
        "--every",
        "20ms",
        "--alive",
        str(logs / "alive"),
    ]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)


def write(logs: Path, done: threading.Event) -> None:
    """As a scorer: small batches, and a new segment every so often."""
    sizes = random.Random(5)
    with ChainWriter(logs / "loans-pod-1.jsonl", rotate_bytes=300_000) as writer:
        number = 0
        while number < COUNT:
            many = min(COUNT - number, sizes.randint(1, 60))
            writer.append([body(i) for i in range(number, number + many)], durable=False)
            number += many
        writer.sync()
    (logs / "loans-pod-1.feedback.jsonl").write_bytes(
        b"".join(feedback(f"r{i}", i % 2, at=time.time()) for i in range(400))
    )
    done.set()


def content(directory: Path) -> bytes:
    return content_of(directory, "loans-pod-1")


def test_every_line_is_kept_once_in_order_though_sender_and_archive_are_killed(tmp_path: Path) -> None:
    logs, central, done = tmp_path / "logs", Home(tmp_path / "central"), threading.Event()
    logs.mkdir()
    writing = threading.Thread(target=write, args=(logs, done))
    port = free_port()  # one of ours, which nobody is given while the archive is away
    with ArchiveProcess(central.root, "--rotate-mib", "1", "--port", str(port)) as archive:
        sender = shipping(logs, archive.url)
        writing.start()
        until(lambda: len(content(central.decisions)) > 200_000)
        sender.kill()
        sender.wait()
        sender = shipping(logs, archive.url)
        until(lambda: len(content(central.decisions)) > 600_000)
        archive.kill()
    with (
        ArchiveProcess(central.root, "--rotate-mib", "1", "--port", str(port)) as archive,
        outcomes(small_bundle(tmp_path).path, tmp_path / "store") as (_, join),
    ):
        sender.kill()
        sender.wait()
        sender = shipping(logs, archive.url, f"http://127.0.0.1:{join}")
        writing.join()
        assert done.is_set()
        sent = content(logs)
        until(lambda: len(content(central.decisions)) >= len(sent))
        until(lambda: status(join)[0] == COUNT)
        until(lambda: status(join)[1].get("joined", 0) == 400)
        kept = central.decisions / "loans-pod-1.feedback.jsonl"
        until(lambda: kept.exists() and kept.read_bytes().count(b"\n") == 400)
        sender.send_signal(signal.SIGTERM)
        assert sender.wait(60) == 0
        assert archive.figure("serinus_archive_gaps_total", source="http") == 0
        assert archive.figure("serinus_archive_lines_total", source="http", result="aside") == 0
    assert content(central.decisions) == sent
    assert kept.read_bytes() == (logs / "loans-pod-1.feedback.jsonl").read_bytes()
    assert all(verify_log(log).broken is None for log in find_logs([central.decisions]))
    assert (logs / "alive").exists()


def test_an_archive_that_is_away_does_not_hold_up_the_join(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    write(logs, threading.Event())
    with outcomes(small_bundle(tmp_path).path, tmp_path / "store") as (_, join):
        sender = shipping(logs, "http://127.0.0.1:1", f"http://127.0.0.1:{join}")
        until(lambda: status(join)[0] == COUNT)
        sender.kill()
        sender.wait()
