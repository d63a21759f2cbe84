"""From the flags to an open decision log and feedback file."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from serinus.contract.types import Privacy
from serinus.errors import SerinusError
from serinus.events import DecisionLog
from serinus.home import Home
from serinus.privacy import open_store
from serving.scorer.config import Settings
from serving.scorer.decisions import NoRecorder, Recorder
from serving.scorer.feedback import FeedbackFile
from serving.scorer.identity import Identity
from serving.scorer.sinks import DecisionSink
from serving.scorer.subjects import Subjects


class Recording:
    """What one scorer keeps: its decisions, sealed where the contract says so, and the outcomes sent to it.

    Raises:
        SerinusError: ``SRN-AUDIT-001`` another process writes this log, ``-002`` it
            cannot be written, ``-003`` its end is broken; ``SRN-SCORER-006`` the
            feedback file, ``-007``, ``-008`` the Kafka topic; ``SRN-PRIVACY-001`` to ``-003`` the keys.
    """

    def __init__(
        self,
        settings: Settings,
        home: Home,
        identity: Identity,
        report: Callable[[SerinusError], None],
        privacy: Privacy | None = None,
    ) -> None:
        self._sink: DecisionSink | None = None
        self.subjects: Subjects | None = None
        if settings.log == "none":
            self.recorder: Recorder = NoRecorder()
        else:
            if privacy is not None:
                writer = open_store(home, create=True)
                reader = open_store(home, at_once=True)
                self.subjects = Subjects(privacy, reader, writer, now=time.time)
            self._sink = _sink(settings, home, identity)
            self.recorder = Recorder(
                self._sink,
                identity,
                now=time.time,
                durability=settings.durability,
                interval=settings.log_interval,
                report=report,
                before=None if self.subjects is None else self.subjects.flush,
            )
        path = settings.feedback or home.decisions / f"{identity.model}.feedback.jsonl"
        try:
            self.feedback = FeedbackFile(path, durability=settings.durability, interval=settings.log_interval)
        except OSError as error:
            self.close()
            raise SerinusError(
                "SRN-SCORER-006",
                f"the feedback file cannot be opened ({error.strerror})",
                where=str(path),
                hint="Mend the permissions, or give another file with --feedback.",
            ) from error

    def close(self) -> None:
        """Release the files; the recorder has written by then."""
        if self._sink is not None:
            self._sink.close()
        if hasattr(self, "feedback"):
            self.feedback.close()
        if self.subjects is not None:
            self.subjects.close()


def _sink(settings: Settings, home: Home, identity: Identity) -> DecisionSink:
    writer = f"{identity.model}-{identity.predictor}"
    if settings.log is not None and settings.log.startswith("kafka://"):
        try:
            from serving.scorer.kafka import open_kafka
        except ModuleNotFoundError as error:
            raise SerinusError(
                "SRN-CLI-001",
                "a decision log in Kafka needs the Python package confluent-kafka, which is not installed",
                hint="Install the extra that brings it: uv sync --extra kafka, or pip install 'serinus[kafka]'.",
            ) from error
        return open_kafka(settings.log, home.decisions, writer)
    path = Path(settings.log) if settings.log else home.decisions / f"{writer}.jsonl"
    return DecisionLog(path, rotate_bytes=settings.log_rotate_bytes, rotate_every=settings.log_rotate_every)
