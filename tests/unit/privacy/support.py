"""A home with a key store and sealed decisions, written as a scorer writes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from serinus.chain import read_bodies
from serinus.contract.types import Privacy
from serinus.events import DecisionLog, Feedback
from serinus.home import Home
from serinus.model import Answer, ReasonCode
from serinus.privacy import KeyStore, open_store
from serving.scorer.decisions import Recorder
from serving.scorer.identity import Identity
from serving.scorer.subjects import Subjects

NOW = 1_790_000_000.0  # 2026-09-21
IDENTITY = Identity(model="credit", version=3, digest="sha256:0", predictor="champion")
REASON = ReasonCode(code="R01", feature="income", text="Income too low for the loan", contribution=0.5)
ANSWER = Answer(score=0.75, probability=0.625, decision="decline", reasons=(REASON,))
INCOME = 31415.9265


def subjects(
    home: Home,
    *,
    without: str = "refuse",
    keep: int = 100,
    now: float = NOW,
    environment: Mapping[str, str] | None = None,
    clock: Callable[[], float] = lambda: 0.0,
) -> Subjects:
    privacy = Privacy(subject="customer", without=without)  # type: ignore[arg-type]
    where = environment or {}
    writer = open_store(home, where, create=True)
    reader = open_store(home, where, at_once=True)
    return Subjects(privacy, reader, writer, now=lambda: now, keep=keep, clock=clock)


def decide(
    home: Home,
    *names: str | None,
    first: int = 0,
    now: float = NOW,
    without: str = "request",
    environment: Mapping[str, str] | None = None,
) -> list[str]:
    """A decision on each of these persons, as requests r<first> and on; their ids."""
    ids = [f"r{first + i}" for i in range(len(names))]
    persons = subjects(home, without=without, now=now, environment=environment)
    with DecisionLog(home.decisions / "credit-champion.jsonl") as log:
        recorder = Recorder(log, IDENTITY, now=lambda: now, before=persons.flush)
        for name, request in zip(names, ids, strict=True):
            keys = persons.keys(request, (name,), 1)
            recorder.record(request, (np.array([INCOME, np.nan]),), (ANSWER,), keys)
        recorder.write()
    persons.close()
    return ids


def bodies(home: Home) -> list[bytes]:
    return list(read_bodies(home.decisions / "credit-champion.jsonl"))


def everything(root: Path) -> bytes:
    """Every byte of every file of the home."""
    return b"".join(path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file())


def outcome(home: Home, request: str, *truth: Sequence[float]) -> None:
    import msgspec

    kept = Feedback(
        request_id=request, time="2026-09-22T00:00:00Z", predictor="champion", truth=[list(r) for r in truth]
    )
    with (home.decisions / "credit.feedback.jsonl").open("ab") as file:
        file.write(msgspec.json.encode(kept) + b"\n")


__all__ = [
    "ANSWER",
    "IDENTITY",
    "INCOME",
    "NOW",
    "KeyStore",
    "bodies",
    "decide",
    "everything",
    "outcome",
    "subjects",
]
