"""The load generator against small servers of the test's own."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

import pytest

from benchmarks.scorer.connections import Http, State
from benchmarks.scorer.generator import drive, schedule

REQUEST = b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
Answer = Callable[[int], bytes | None]


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers of a busy machine are waited for."""
    monkeypatch.setattr("benchmarks.scorer.generator._DRAIN", 60_000_000_000)


@contextmanager
def server(answer: Answer) -> Generator[int]:
    """Answers request number n of all with ``answer(n)``; None closes the connection. A response with
    ``connection: close`` does so too."""
    listener = socket.create_server(("127.0.0.1", 0))
    count, lock, open_ = 0, threading.Lock(), list[socket.socket]()

    def talk(sock: socket.socket) -> None:
        nonlocal count
        with sock:
            data = b""
            while True:
                while REQUEST not in data:
                    try:
                        more = sock.recv(65536)
                    except OSError:
                        return
                    if not more:
                        return
                    data += more
                data = data[len(REQUEST) :]
                with lock:
                    number, count = count, count + 1
                said = answer(number)
                if said is None:
                    return
                try:
                    sock.sendall(said)
                except OSError:
                    return
                if b"close" in said:
                    return

    def accept() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            open_.append(sock)
            threading.Thread(target=talk, args=(sock,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()
        for sock in open_:
            sock.close()


def pool(port: int, count: int) -> list[Http]:
    return [Http(port, [REQUEST]) for _ in range(count)]


def test_every_request_of_the_schedule_is_answered_once() -> None:
    with server(lambda n: OK) as port:
        result = drive(pool(port, 4), schedule("poisson", 500, 0.4, 1), 1, spin=False)
    assert (len(result.latencies), result.errors, result.gave_up) == (200, {}, False)
    assert len(result.lags) == 200


def test_a_stalled_server_is_charged_for_all_that_came_due_meanwhile() -> None:
    """The one connection is busy 200 ms; what was due in between has waited, whoever held it up."""

    def answer(n: int) -> bytes:
        if n == 0:
            time.sleep(0.2)
        return OK

    with server(answer) as port:
        result = drive(pool(port, 1), schedule("constant", 100, 0.2, 1), 1, spin=False)
    waited = sorted(latency / 1e6 for latency in result.latencies)
    assert len(waited) == 20
    assert waited[-1] > 190
    assert waited[10] > 80  # coordinated omission would make this a millisecond


@pytest.mark.parametrize("head", ["connection: close\r\n", "Connection: close\r\n"])
def test_a_server_without_keep_alive_gets_a_connection_per_request(head: str) -> None:
    said = OK.replace(b"\r\n\r\n", b"\r\n" + head.encode() + b"\r\n", 1)
    with server(lambda n: said) as port:
        result = drive(pool(port, 3), schedule("constant", 200, 0.2, 1), 1, spin=False)
    assert (len(result.latencies), result.errors) == (40, {})


def test_refusals_are_errors_and_no_latencies() -> None:
    said = OK.replace(b"200 OK", b"503 No")
    with server(lambda n: said if n % 2 else OK) as port:
        result = drive(pool(port, 1), schedule("constant", 200, 0.1, 1), 1, spin=False)
    assert (len(result.latencies), result.errors) == (10, {"status 503": 10})


def test_a_request_on_a_connection_just_closed_is_sent_again_and_one_on_a_new_one_is_lost() -> None:
    with server(lambda n: None if n == 3 else OK) as port:
        result = drive(pool(port, 1), schedule("constant", 200, 0.1, 1), 1, spin=False)
        assert (len(result.latencies), result.errors, result.resent) == (20, {}, 1)
    with server(lambda n: None) as port:
        result = drive(pool(port, 1), schedule("constant", 200, 0.05, 1), 1, spin=False)
        assert (len(result.latencies), result.errors) == (0, {"connection lost": 10})


def test_a_hopeless_load_is_given_up_and_counted() -> None:
    def answer(n: int) -> bytes:
        time.sleep(0.05)
        return OK

    with server(answer) as port:
        due = schedule("constant", 2000, 60.0, 1)
        result = drive(pool(port, 2), due, 1, backlog=200, spin=False)
    assert result.gave_up
    assert len(result.latencies) + result.errors["unanswered"] == len(due)
    assert result.errors["unanswered"] > len(due) / 2
    assert result.seconds < 59, "not until the end of the schedule"


@pytest.mark.parametrize("cut", [1, 10, 30, len(OK) - 1])
def test_an_answer_in_pieces_is_one_answer(cut: int) -> None:
    connection = Http(1, [REQUEST])
    assert connection.feed(OK[:cut]) is State.MORE
    assert connection.feed(OK[cut:]) is State.DONE
    assert connection.answer == b"{}"


def test_a_chunked_answer_ends_with_its_last_chunk() -> None:
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    connection = Http(1, [REQUEST])
    assert connection.feed(head + b"2\r\n{}\r\n") is State.MORE
    assert connection.feed(b"0\r\n\r\n") is State.DONE


@pytest.mark.parametrize("law", ["constant", "poisson"])
def test_a_schedule_is_seeded_and_of_its_rate(law: str) -> None:
    due = schedule(law, 1000, 5, 3)
    assert due == schedule(law, 1000, 5, 3)
    assert due == sorted(due)
    assert len(due) == 5000
    assert due[-1] / 1e9 == pytest.approx(5, rel=0.05)
