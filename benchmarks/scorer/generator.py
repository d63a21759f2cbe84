"""The load generator: open loop, latency from the intended send time, on a core of its own.

An own epoll loop and not asyncio's: libuv's timers have a grain of a millisecond, and a request that is due in
200 us has to leave then. Between events the loop spins, so that a sleeping core's wake-up is in no latency.
Every server gets the same generator, the same connections and the same seeded schedules.

Run as a process: JSON commands on stdin, one JSON line per answer on stdout.
"""

from __future__ import annotations

import gc
import json
import select
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .connections import Connection, Http, State
from .histogram import buckets

_now = time.perf_counter_ns
_DRAIN = 2_000_000_000  # how long answers are waited for when the schedule has ended


@dataclass
class Result:
    """One stretch of load.

    Attributes:
        latencies: ns from the intended send time to the whole answer, of answered requests.
        lags: ns by which requests left late although a connection was free: the generator's own fault.
        errors: count by kind; ``unanswered`` are those still open when the load was given up or ended.
        resent: requests sent again because a kept-alive connection had just been closed by the server.
        seconds: from the first intended send to the last answer.
        gave_up: whether the load was ended early because answers fell hopelessly behind.
    """

    latencies: list[int] = field(default_factory=list[int])
    lags: list[int] = field(default_factory=list[int])
    errors: dict[str, int] = field(default_factory=dict[str, int])
    resent: int = 0
    seconds: float = 0.0
    gave_up: bool = False

    def error(self, kind: str, count: int = 1) -> None:
        """Count an error."""
        self.errors[kind] = self.errors.get(kind, 0) + count


def schedule(law: str, rate: float, seconds: float, seed: int) -> list[int]:
    """Intended send times in ns from the start: ``constant`` gaps or a ``poisson`` process."""
    count = max(1, round(rate * seconds))
    if law == "constant":
        return (np.arange(count) * (1e9 / rate)).astype(np.int64).tolist()
    gaps = np.random.default_rng(seed).exponential(1e9 / rate, count)
    return np.cumsum(gaps).astype(np.int64).tolist()


def drive(
    connections: Sequence[Connection],
    due: Sequence[int] | None,
    requests: int,
    *,
    seconds: float = 0.0,
    first: int = 0,
    backlog: int = 1 << 60,
    spin: bool = True,
) -> Result:
    """Send what is due and take answers until all are in.

    Args:
        connections: each carries one request at a time; a due request waits for a free one, at its own expense.
        due: intended send times (ns from the start), ascending; None is a closed loop of ``seconds``.
        requests: how many distinct requests there are; they are sent in turn, from number ``first`` on.
        backlog: give up when so many due requests have no answer.
    """
    result = Result()
    epoll = select.epoll()
    idle = list(connections)
    live: dict[int, Connection] = {}
    busy: dict[int, tuple[Connection, int, int, bool, bool]] = {}  # fd: connection, intended, k, fresh, sent
    latencies, lags = result.latencies.append, result.lags.append
    total = len(due) if due is not None else 1 << 60
    for connection in connections:
        if connection.sock is not None:
            live[connection.sock.fileno()] = connection
            epoll.register(connection.sock.fileno(), select.EPOLLIN)
    start = _now() + 1_000_000
    end = start + (due[-1] if due is not None else int(seconds * 1e9))
    free_since = last = start
    sent = 0

    def begin(connection: Connection, intended: int, k: int) -> None:
        fresh = connection.sock is None
        try:
            whole = connection.send(k)
        except OSError:
            forget(connection)
            if fresh:
                result.error("refused")
                idle.append(connection)
            else:
                result.resent += 1
                begin(connection, intended, k)
            return
        assert connection.sock is not None
        number = connection.sock.fileno()
        mask = select.EPOLLIN if whole else select.EPOLLIN | select.EPOLLOUT
        if fresh:
            live[number] = connection
            epoll.register(number, mask)
        elif not whole:
            epoll.modify(number, mask)
        busy[number] = (connection, intended, k, fresh, whole)

    def forget(connection: Connection) -> None:
        if connection.sock is not None:
            live.pop(connection.sock.fileno(), None)  # a closed descriptor leaves epoll by itself
        connection.close()

    def broken(number: int) -> None:
        """The socket ended: before a reused connection's answer that means sending again, as clients do."""
        connection, intended, k, fresh, _ = busy.pop(number)
        forget(connection)
        if fresh:
            result.error("connection lost")
            idle.append(connection)
        else:
            result.resent += 1
            begin(connection, intended, k)

    while True:
        now = _now()
        if due is None:
            while idle and now < end:
                begin(idle.pop(), now, (first + sent) % requests)
                sent += 1
                now = _now()
            if now >= end and not busy:
                break
        else:
            while sent < total and idle and (intended := start + due[sent]) <= now:
                lags(now - max(intended, free_since))
                begin(idle.pop(), intended, (first + sent) % requests)
                sent += 1
                now = _now()
            if sent == total and not busy:
                break
            if not idle and sent + backlog < total and start + due[sent + backlog] < now:
                result.gave_up = True
                break
        if now > max(last, end) + _DRAIN:
            result.gave_up = True
            break
        wait = 0.0
        if not spin:
            coming = start + due[sent] - now if due is not None and sent < total else 20_000_000
            wait = 0.02 if not idle else max(0.0, (coming - 1_200_000) / 1e9)
        for number, event in epoll.poll(wait):
            entry = busy.get(number)
            if entry is None:
                if number in live:
                    _housekeeping(live[number], forget)
                continue
            connection, intended, k, _, whole = entry
            if not whole and event & select.EPOLLOUT:
                try:
                    whole = connection.send(k)
                except OSError:
                    broken(number)
                    continue
                if whole:
                    epoll.modify(number, select.EPOLLIN)
                    busy[number] = (*entry[:4], True)
                continue
            try:
                assert connection.sock is not None
                data = connection.sock.recv(65536)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            if not data:
                broken(number)
                continue
            state = connection.feed(data)
            if state is State.MORE:
                continue
            last = _now()
            del busy[number]
            if state is State.FAILED:
                result.error(connection.failure)
            else:
                latencies(last - intended)
            if state is State.DONE_AND_CLOSED:
                forget(connection)
            if not idle:
                free_since = last
            idle.append(connection)
    result.seconds = (_now() if result.gave_up else last) / 1e9 - start / 1e9
    if busy or (due is not None and sent < total):
        result.error("unanswered", len(busy) + (total - sent if due is not None else 0))
    for connection, *_ in busy.values():
        connection.close()
    epoll.close()
    return result


def _housekeeping(connection: Connection, forget: Callable[[Connection], None]) -> None:
    """An idle connection became readable: the server closed it, or (gRPC) said something that ``feed`` answers."""
    assert connection.sock is not None
    try:
        data = connection.sock.recv(65536)
    except BlockingIOError:
        return
    except OSError:
        data = b""
    if data:
        connection.feed(data)
    else:
        forget(connection)


def summary(result: Result) -> dict[str, Any]:
    """A result as it stands in the raw JSON: milliseconds, and the histogram."""
    latencies = np.array(result.latencies, dtype=np.int64)
    lags = np.array(result.lags, dtype=np.int64)

    def ms(values: Any, q: float) -> float | None:
        return round(float(np.quantile(values, q, method="higher")) / 1e6, 4) if values.size else None

    return {
        "answered": len(latencies),
        "seconds": round(result.seconds, 4),
        "errors": result.errors,
        "resent": result.resent,
        "gave_up": result.gave_up,
        "p50": ms(latencies, 0.5),
        "p99": ms(latencies, 0.99),
        "p999": ms(latencies, 0.999),
        "max": ms(latencies, 1.0),
        "lag_p99": ms(lags, 0.99),
        "lag_max": ms(lags, 1.0),
        "histogram": buckets(latencies),
    }


def serve(make: Callable[[], Connection], requests: int, spin: bool) -> None:
    """Answer commands until stdin ends."""
    pool: list[Connection] = []
    first = 0
    gc.collect()
    gc.freeze()
    gc.disable()
    for line in sys.stdin:
        command = json.loads(line)
        count = int(command["connections"])
        while len(pool) < count:
            pool.append(make())
        rate, seconds = float(command.get("rate", 0)), float(command["seconds"])
        due = schedule(command["law"], rate, seconds, int(command["seed"])) if rate else None
        result = drive(
            pool[:count],
            due,
            requests,
            seconds=seconds,
            first=first,
            backlog=max(count, int(rate * 0.4)) if command.get("give_up") else 1 << 60,
            spin=spin,
        )
        first = (first + len(result.latencies)) % requests
        if result.gave_up:
            for connection in pool:
                connection.close()
        sys.stdout.write(json.dumps(summary(result)) + "\n")
        sys.stdout.flush()
        gc.collect()


def main() -> None:
    """``generator PORT http|grpc REQUESTS.json SPIN``; the file holds base64 request bytes."""
    from .wire import read_requests

    port, kind, path, spin = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), sys.argv[4] == "spin"
    requests = read_requests(path)
    if kind == "grpc":
        from .grpc_wire import Grpc

        serve(lambda: Grpc(port, requests), len(requests), spin)
    else:
        serve(lambda: Http(port, requests), len(requests), spin)


if __name__ == "__main__":
    main()
