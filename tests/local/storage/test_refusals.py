"""How the S3 client's errors read: answers that a sound server does not give on demand."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from serinus.errors import SerinusError
from serinus.storage import open_store

pytestmark = pytest.mark.local


@contextmanager
def answering(status: int, body: bytes = b"") -> Generator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (403, b"<Error><Code>AccessDenied</Code></Error>", "SRN-STORE-003"),
        (401, b"", "SRN-STORE-003"),
        (400, b"<Error><Code>SignatureDoesNotMatch</Code></Error>", "SRN-STORE-003"),
        (404, b"<Error><Code>NoSuchBucket</Code></Error>", "SRN-STORE-002"),
        (416, b"<Error><Code>InvalidRange</Code></Error>", "SRN-STORE-006"),
        (503, b"<Error><Code>SlowDown</Code></Error>", "SRN-STORE-004"),
        (302, b"", "SRN-STORE-004"),
    ],
)
def test_an_answer_has_its_code_and_its_place(
    monkeypatch: pytest.MonkeyPatch, status: int, body: bytes, code: str
) -> None:
    with answering(status, body) as url:
        environment = {"AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "geheim"}
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SerinusError) as caught:
            list(open_store("s3://models/x", environment).read("y", 1))
    assert caught.value.code == code
    assert caught.value.where == "s3://models/x/y"
    assert "geheim" not in str(caught.value)
