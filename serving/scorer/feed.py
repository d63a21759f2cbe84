"""``python -m serving.scorer.feed``: bring events and labels from a file or a pipe into a shared store."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from serinus.bundle import open_bundle
from serinus.contract import Contract, load_contract
from serinus.errors import SerinusError
from serinus.features.online import KnownLabel
from serinus.features.online.redis import RedisStore
from serinus.features.reading import FeatureEvent
from serinus.masking import Parser
from serving.scorer import flag_values as of
from serving.scorer.entity_setup import open_redis
from serving.scorer.sources import Bad, Item, Source

_DEADLINE = 10.0
_SHOWN = 20


class Fed(msgspec.Struct, kw_only=True):
    """What a run did. ``resumed`` is how many records and labels an earlier run had done."""

    resumed: int = 0
    read: int = 0
    added: int = 0
    duplicate: int = 0
    late: int = 0
    labels: int = 0
    labels_waiting: int = 0
    bad: int = 0
    seconds: float = 0.0


class Feeder:
    """Takes a source into a store, batch by batch, and notes there how far it came.

    Args:
        name: under which the store notes it; None notes nothing.
        batch: events or labels sent together.
        patience: seconds for which an unreachable store is tried again before giving up.
        report: told of each bad line, and once of a store that does not answer.
    """

    def __init__(
        self,
        store: RedisStore,
        source: Source,
        *,
        name: str | None,
        batch: int = 500,
        patience: float = 60.0,
        report: Callable[[str], None],
    ) -> None:
        self.fed = Fed()
        self.stopping = False
        self.reading = False
        self._store = store
        self._source = source
        self._mark = None if name is None else f"{store.layout.prefix}feed:{name}"
        self._batch = batch
        self._patience = patience
        self._report = report

    async def run(self, *, follow: bool, from_start: bool = False) -> Fed:
        """Feed until the source ends, or (``follow``) until ``stopping`` is set.

        Raises:
            SerinusError: ``SRN-FEATURES-008`` the store stayed unreachable, ``-011`` the source cannot be read.
        """
        started = time.monotonic()
        if self._mark is not None and not from_start:
            found = await self._patiently(lambda: self._store.link.command("GET", str(self._mark)))
            self.fed.resumed = int(found or 0)
        waiting: list[Item] = []
        self.reading = True
        for item in self._source.items(
            self.fed.resumed, follow=(lambda: not self.stopping) if follow else None
        ):
            self.reading = False
            if isinstance(item, Bad):
                self.fed.bad += 1
                self.fed.read += 1
                if self.fed.bad <= _SHOWN:
                    self._report(f"record {item.line} was left out: {item.why}")
            elif item is not None:
                if waiting and isinstance(item, KnownLabel) != isinstance(waiting[0], KnownLabel):
                    await self._send(waiting)
                waiting.append(item)
                self.fed.read += 1
            if len(waiting) >= self._batch or item is None:
                await self._send(waiting)
            if self.stopping:
                break
            self.reading = True
        self.reading = False
        await self._send(waiting)
        self.fed.seconds = round(time.monotonic() - started, 3)
        return self.fed

    async def _send(self, waiting: list[Item]) -> None:
        """Send what waits, which is all of one kind, then note how far that is."""
        if not waiting:
            return
        if isinstance(waiting[0], KnownLabel):
            labels = [item for item in waiting if isinstance(item, KnownLabel)]
            for known in await self._patiently(lambda: self._store.label(labels)):
                self.fed.labels += known
                self.fed.labels_waiting += not known
        else:
            events = [item for item in waiting if isinstance(item, FeatureEvent)]
            for outcome in await self._patiently(lambda: self._store.add(events)):
                setattr(self.fed, outcome, getattr(self.fed, outcome) + 1)
        waiting.clear()
        if self._mark is not None:
            done = self.fed.resumed + self.fed.read
            await self._patiently(lambda: self._store.link.command("SET", str(self._mark), done))

    async def _patiently[T](self, call: Callable[[], Awaitable[T]]) -> T:
        deadline = time.monotonic() + self._patience
        told = False
        while True:
            try:
                return await call()
            except SerinusError as error:
                if time.monotonic() > deadline or self.stopping:
                    raise
                if not told:
                    self._report(f"{error} Trying again for {self._patience:g} s.")
                told = True
                await asyncio.sleep(0.2)


class _Stop(Exception):  # noqa: N818  the wish of whoever runs it
    """SIGTERM or SIGINT came while the source was silent."""


def main(arguments: Sequence[str] | None = None, environment: Mapping[str, str] = os.environ) -> int:
    """Feed; what was done goes to stdout as one JSON line. Exit code 0, 1 on an error, 2 on a wrong flag."""
    settings = _parse(arguments)
    try:
        contract = _contract(settings)
        store = open_redis(settings.store, contract, environment, _DEADLINE)
        assert isinstance(store, RedisStore)
        with Source(settings.records, contract) as source:
            fed, error = asyncio.run(_run(settings, store, source), loop_factory=uvloop.new_event_loop)
    except SerinusError as error:
        sys.stderr.write(f"serinus: {error}\n")
        return 1
    sys.stdout.write(msgspec.json.encode(fed).decode() + "\n")
    if error is not None:
        sys.stderr.write(f"serinus: {error}\n")
    return 0 if error is None else 1


async def _run(
    settings: argparse.Namespace, store: RedisStore, source: Source
) -> tuple[Fed, SerinusError | None]:
    name: str | None = settings.name
    if name is None and str(settings.records) != "-":
        name = str(settings.records.resolve())
    feeder = Feeder(
        store,
        source,
        name=name,
        batch=settings.batch,
        patience=settings.patience,
        report=_say,
    )

    def stop(*_: Any) -> None:
        feeder.stopping = True
        if feeder.reading:
            raise _Stop

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    error: SerinusError | None = None
    try:
        await feeder.run(follow=settings.follow, from_start=settings.from_start)
    except _Stop:
        pass
    except SerinusError as caught:
        error = caught
    finally:
        await store.close()
    return feeder.fed, error


def _say(text: str) -> None:
    sys.stderr.write(f"serinus: {text}\n")
    sys.stderr.flush()


def _contract(settings: argparse.Namespace) -> Contract:
    if settings.contract is not None:
        return load_contract(settings.contract)
    return open_bundle(settings.bundle, trusted=None).contract


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog="python -m serving.scorer.feed",
        description="Bring events and labels into the online store that scorers share.",
        epilog="What was done is printed as one JSON line. Exit code 0, 1 on an error, 2 on a wrong flag.",
    )
    add = parser.add_argument
    add(
        "--store",
        type=_shared,
        required=True,
        metavar="URL",
        help="redis://, rediss:// or unix:// of the Redis; the password from $SERINUS_REDIS_PASSWORD or the "
        "file in $SERINUS_REDIS_PASSWORD_FILE",
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--contract", type=Path, metavar="FILE", help="the data contract")
    which.add_argument(
        "--bundle", type=Path, metavar="DIR", help="a bundle with the contract; its signature is not checked"
    )
    add(
        "--records",
        type=Path,
        required=True,
        metavar="FILE",
        help="Parquet, CSV, JSON lines, or - for JSON lines on standard input",
    )
    add("--follow", action="store_true", help="wait for more lines at the end (JSON lines)")
    add(
        "--name",
        help="under which the store notes how far the source was read (default: the file's path; standard "
        "input is not noted)",
    )
    add("--from-start", action="store_true", help="read from the start, whatever was noted")
    add(
        "--batch",
        type=of.positive,
        metavar="N",
        default=500,
        help="events or labels sent together (default: %(default)s)",
    )
    add(
        "--patience",
        type=of.seconds,
        metavar="SECONDS",
        default="60",
        help="how long an unreachable store is tried again (default: %(default)s)",
    )
    given = parser.parse_args(arguments)
    if given.follow and given.records.name.removesuffix(".gz").endswith((".parquet", ".csv")):
        parser.error("argument --follow: goes with JSON lines; Parquet and CSV are read to their end")
    return given


def _shared(text: str) -> str:
    if not text.startswith(("redis://", "rediss://", "unix://")):
        raise argparse.ArgumentTypeError(
            f"{text.partition(':')[0]} is not shared; give redis://host:6379/0, rediss://… or unix:///path/of.sock"
        )
    return text


if __name__ == "__main__":
    sys.exit(main())
