"""CPU that one logged decision costs, by step: ``python -m benchmarks.decision_log [decisions]``.

30 features (a third with two decimals, a third whole, a third of full
precision), no reasons, one row a request. Process CPU time, all threads, the
least of seven runs; wall time would count the disk's. Then how fast the log
verifies.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from serinus.chain import Linker, verify_log
from serinus.contract.types import Privacy
from serinus.events import DecisionEncoder, DecisionLog
from serinus.home import Home
from serinus.lines import Chained, DecisionLines, bodies
from serinus.model import Answer
from serinus.privacy import SubjectKey, open_store
from serving.scorer.decisions import NoRecorder, Recorder
from serving.scorer.identity import Identity
from serving.scorer.subjects import Subjects

FEATURES = 30
RUNS = 7
PART = 500


def rows_of(count: int) -> list[np.ndarray]:
    """Vectors as requests bring them, shape (1, 30) each."""
    made = np.random.default_rng(1).lognormal(0, 2, (count, FEATURES))
    made[:, ::3] = np.round(made[:, ::3], 2)
    made[:, 1::3] = np.round(made[:, 1::3])
    return [row[np.newaxis].copy() for row in made]


def least(work: Callable[[], object], count: int) -> float:
    """CPU microseconds per decision."""
    spent: list[float] = []
    for _ in range(RUNS):
        before = time.process_time()
        work()
        spent.append(time.process_time() - before)
    return min(spent) / count * 1e6


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    identity = Identity(model="fraud", version=3, digest="sha256:" + "a" * 64, predictor="champion")
    rows = rows_of(count)
    answers = (Answer(score=0.123456789012, probability=0.01234567890123, decision="approve"),)
    names = [f"{i:032x}" for i in range(count)]
    names_of_all: dict[str, Any] = {
        "model": identity.model, "version": identity.version, "digest": identity.digest,
        "predictor": identity.predictor,
    }  # fmt: skip
    encode = DecisionEncoder(**names_of_all)

    def encoding() -> list[bytes]:
        """The events alone, in Python."""
        return [
            bodies(encode, (name, 1.8e9, row, answers, 0, 1, None))[0]
            for name, row in zip(names, rows, strict=True)
        ]

    def chaining() -> list[bytes]:
        return Linker().link(encoded)

    persons = [SubjectKey(f"{i:032x}", os.urandom(32)) for i in range(min(count, 1000))]

    def adding(sealed: bool = False) -> Chained:
        """Both, by the kernel; the lines are let go of as often as the recorder does."""
        kept = DecisionLines(**names_of_all, sealed=sealed)
        for i, (name, row) in enumerate(zip(names, rows, strict=True)):
            kept.add(name, 1.8e9, row, answers, 0, 1, (persons[i % len(persons)],) if sealed else None)
            if i % PART == PART - 1:
                kept.take()
        return kept.take()

    encoded = encoding()
    lines = chaining()
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)

        def write() -> None:
            path = place / "write.jsonl"
            with DecisionLog(path) as log:
                for i in range(0, count, PART):
                    part = lines[i : i + PART]
                    log.write(part, i + len(part), "0" * 64, durable=False)
                log.sync()
            path.unlink()

        def whole() -> None:
            path = place / "whole.jsonl"
            with DecisionLog(path) as log:
                asyncio.run(served(Recorder(log, identity, now=time.time, interval=0.01)))
            path.unlink()

        async def served(recorder: Recorder) -> None:
            # 500 decisions every 50 ms would be 10,000 a second; here as fast as the disk goes.
            task = asyncio.create_task(recorder.run())
            for i, (name, row) in enumerate(zip(names, rows, strict=True)):
                recorder.record(name, row, answers)
                if i % 8 == 7:
                    await asyncio.sleep(0)
                while recorder.pending > 2 * PART:
                    await asyncio.sleep(0.01)
            while recorder.pending:
                await asyncio.sleep(0.01)
            task.cancel()

        def record() -> None:
            with DecisionLog(place / "record.jsonl") as log:
                recorder = Recorder(log, identity, now=time.time)
                for name, row in zip(names, rows, strict=True):
                    recorder.record(name, row, answers)

        def keeper() -> Subjects:
            home = Home(place / f"home-{time.monotonic_ns()}")
            keys = open_store(home, {}, create=True), open_store(home, {})
            # Nobody listens for erasures here, which would end the service after a while.
            return Subjects(Privacy(subject="customer"), *keys, now=time.time, clock=lambda: 0.0)

        def ask(subjects: Subjects, different: int) -> None:
            for i, name in enumerate(names):
                subjects.keys(name, (f"customer-{i % different}",), 1)
                if i % PART == PART - 1:
                    subjects.flush()

        met = keeper()
        ask(met, 1000)

        log = place / "verify.jsonl"
        with DecisionLog(log) as writer:
            for i in range(0, count, 1000):
                writer.append(encoded[i : i + 1000], durable=False)
        print(f"bytes a line: {len(lines[-1])}")
        for name, work in (
            ("all that the request waits for", record),
            ("encoded and chained, by the kernel", adding),
            ("the same, sealed by person", lambda: adding(sealed=True)),
            ("a person's key, known in memory", lambda: ask(met, 1000)),
            ("a person's key, made for the first time and kept", lambda: ask(keeper(), count)),
            ("encoded, in Python", encoding),
            ("chained, in Python (SHA-256)", chaining),
            ("written, synced", write),
        ):
            print(f"| {name} | {least(work, count):.2f} |")
        bare = least(lambda: asyncio.run(served(NoRecorder())), count)
        print(f"| all of it, by the recorder | {least(whole, count) - bare:.2f} |")
        spent = least(lambda: verify_log(log), count)
        print(f"verified: {1e6 / spent:,.0f} entries a second of CPU")


if __name__ == "__main__":
    main()
