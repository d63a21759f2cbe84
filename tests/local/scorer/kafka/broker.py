"""One real Kafka broker (KRaft), from the jars in the directory that ``SERINUS_KAFKA_JARS`` names.

They come from Maven Central: ``org.apache.kafka:kafka_2.13`` with its runtime
dependencies, as ``mvn dependency:copy-dependencies`` lays them out.
"""

from __future__ import annotations

import base64
import os
import signal
import subprocess
from pathlib import Path
from typing import Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.local.scorer.load import until
from tests.support.ports import free_port

JARS = os.environ.get("SERINUS_KAFKA_JARS", "")


class Broker:
    """``kafka.Kafka`` with its data in a directory; may be frozen, killed and started again at its port."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self.servers = f"127.0.0.1:{free_port()}"
        controller = f"127.0.0.1:{free_port()}"
        settings = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{controller}",
            "listeners": f"PLAINTEXT://{self.servers},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{self.servers}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "log.dirs": str(directory / "data"),
            "offsets.topic.replication.factor": "1",
            "num.partitions": "3",
        }
        self._config = directory / "server.properties"
        self._config.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        cluster = base64.urlsafe_b64encode(os.urandom(16)).rstrip(b"=").decode()
        # An id that begins with a hyphen would be taken for an option.
        format_ = ["format", f"--cluster-id={cluster}", f"--config={self._config}"]
        done = subprocess.run(
            self._java("kafka.tools.StorageTool", *format_), capture_output=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def _java(self, main: str, *arguments: str) -> list[str]:
        return [
            "java", "-Xms64m", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", f"{JARS}/*", main, *arguments,
        ]  # fmt: skip

    def start(self) -> None:
        """Until it answers."""
        with (self._directory / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._java("kafka.Kafka", str(self._config)), stdout=log, stderr=log, cwd=self._directory
            )
        until(self._answers, 150)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._directory / "broker.log").read_text()[-2000:]
        admin = AdminClient({"bootstrap.servers": self.servers, "log_level": 0})
        try:
            return bool(admin.list_topics(timeout=10).brokers)
        except KafkaException:
            return False

    def topics(self) -> set[str]:
        """The names of what was written to."""
        return set(AdminClient({"bootstrap.servers": self.servers}).list_topics(timeout=60).topics)

    def freeze(self) -> None:
        """It holds its connections and answers nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """It is gone, with what it had not yet written."""
        self._signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait(60)
        self._process = None

    def _signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self.thaw()
            self.kill()
