"""A real S3 protocol server of the test's own (moto's), and a network that breaks in between."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import obstore
from obstore.store import S3Store as Client

from tests.support.ports import free_port


class S3Server:
    """moto's S3 on a port of this machine; there on entry, gone on exit.

    Args:
        host: the address to listen on; loopback, or the one by which pods reach this machine.
    """

    def __init__(self, directory: Path, host: str = "127.0.0.1") -> None:
        self._log = directory / "s3.log"
        self._host = host
        self.port = free_port(host)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://{self._host}:{self.port}"

    def environment(self, url: str | None = None) -> dict[str, str]:
        """What a client is given."""
        return {
            "AWS_ENDPOINT_URL": url or self.url,
            "AWS_ACCESS_KEY_ID": "tester",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
        }

    def bucket(self, name: str) -> Client:
        """Make a bucket; a client of it, which is not the code under test."""
        request = urllib.request.Request(f"{self.url}/{name}", method="PUT")
        urllib.request.urlopen(request, timeout=60).close()
        return Client(
            name,
            endpoint=self.url,
            access_key_id="tester",
            secret_access_key="secret",
            region="us-east-1",
            client_options={"allow_http": True},
        )

    def __enter__(self) -> S3Server:
        command = [sys.executable, "-m", "moto.server", "-H", self._host, "-p", str(self.port)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                env={**os.environ, "S3_IGNORE_SUBDOMAIN_BUCKETNAME": "true"},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(self.url, timeout=20).close()
                return self
            except (urllib.error.URLError, OSError):
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f"the S3 server did not start: {self._log.read_text()}") from None
                time.sleep(0.05)

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(60)


def names(client: Client, prefix: str | None = None) -> list[str]:
    """All keys of a bucket."""
    return sorted(found["path"] for batch in obstore.list(client, prefix) for found in batch)


class BreakingNetwork:
    """A way to a server that ends each of the first ``breaks`` connections that carried ``after`` bytes back."""

    def __init__(self, port: int, *, after: int, breaks: int) -> None:
        self._port, self._after, self.breaks = port, after, breaks
        self.broken = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> BreakingNetwork:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._port))
            threading.Thread(target=self._pump, args=(near, far, False), daemon=True).start()
            threading.Thread(target=self._pump, args=(far, near, True), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, counted: bool) -> None:
        carried = 0
        try:
            while data := source.recv(16384):
                carried += len(data)
                if counted and carried > self._after and self.broken < self.breaks:
                    self.broken += 1
                    break
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
