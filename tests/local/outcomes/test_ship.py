"""The pod's side of the join, as real processes: what is logged here is joined there, whoever is killed meanwhile."""

import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.bundles import small_bundle
from tests.support.ports import free_port
from tests.unit.outcomes.lines import decision, feedback

pytestmark = pytest.mark.local

ROOT = Path(__file__).resolve().parents[3]
COUNT = 20_000


@contextmanager
def outcomes(bundle: Path, home: Path, port: int = 0) -> Generator[tuple[subprocess.Popen[str], int]]:
    command = [sys.executable, "-m", "serving.outcomes", "--bundle", str(bundle), "--untrusted"]
    command += ["--home", str(home), "--model", "loans", "--port", str(port), "--look-every", "200ms"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process, int(json.loads(process.stdout.readline())["port"])
    finally:
        process.kill()
        process.wait()


def shipping(logs: Path, port: int, told: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "serving.outcomes.ship", "--to", f"http://127.0.0.1:{port}"]
    command += ["--logs", str(logs), "--decisions", "loans-*.jsonl", "--feedback", "loans-*.feedback*.jsonl"]
    command += ["--state", str(logs / "state" / "places.json"), "--every", "50ms"]
    with told.open("wb") as log:
        return subprocess.Popen(command, cwd=ROOT, stderr=log)


def status(port: int) -> tuple[int, dict[str, int]]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        page = answer.read().decode()
    decisions = [line for line in page.splitlines() if line.startswith("serinus_outcomes_decisions_total{")]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/status", timeout=60) as answer:
        labels = json.loads(answer.read())["labels"]
    return sum(int(float(line.rpartition(" ")[2])) for line in decisions), labels


def wait(port: int, decisions: int, joined: int) -> dict[str, int]:
    deadline = time.monotonic() + 120
    while True:
        seen, labels = status(port)
        if seen >= decisions and labels.get("joined", 0) + labels.get("early", 0) >= joined:
            return labels
        assert time.monotonic() < deadline, (seen, labels)
        time.sleep(0.1)


def test_every_decision_and_label_arrives_once_though_both_sides_are_killed(tmp_path: Path) -> None:
    bundle, logs, home = small_bundle(tmp_path).path, tmp_path / "logs", tmp_path / "store"
    logs.mkdir()
    with (logs / "loans-pod-1.jsonl").open("wb") as file:
        file.writelines(decision(f"r{i}", time.time()) for i in range(COUNT))
    with (logs / "loans-pod-1.feedback.jsonl").open("wb") as file:
        file.writelines(feedback(f"r{i}", int(i % 5 == 0), at=time.time()) for i in range(500))

    # One of ours, which nobody is given while nobody listens there: the second life comes back to it.
    port = free_port()
    with outcomes(bundle, home, port):
        first = shipping(logs, port, tmp_path / "first.log")
        deadline = time.monotonic() + 60
        while status(port)[0] == 0:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        first.kill()  # with lines on their way
        first.wait()
    told = tmp_path / "second.log"
    second = shipping(logs, port, told)
    deadline = time.monotonic() + 60
    while "nothing could be sent" not in told.read_text():  # nobody is there
        assert time.monotonic() < deadline
        time.sleep(0.01)
    with outcomes(bundle, home, port):
        labels = wait(port, COUNT, 500)
        with (logs / "loans-pod-1.jsonl").open("ab") as file:
            file.write(decision("last", time.time()))
        second.send_signal(signal.SIGTERM)
        assert second.wait(60) == 0
        labels = wait(port, COUNT + 1, 500)
        assert status(port)[0] == COUNT + 1
    assert labels["joined"] == 500
    assert labels["unreadable"] == 0
