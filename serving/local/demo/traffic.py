"""Live traffic: records in their order, each with the features known the moment before it."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from serinus.errors import SerinusError
from serving.local.replay import Answers, Replay, Tally


class Source:
    """An endless supply of feature rows: a list once through, then again from its start.

    ``switch`` changes to another list from the next request on.
    """

    def __init__(self, rows: Iterable[Mapping[str, object]]) -> None:
        self.switch(rows)

    def switch(self, rows: Iterable[Mapping[str, object]]) -> None:
        """From now on send these."""
        self._rows: Iterator[Mapping[str, object]] = itertools.cycle(list(rows))

    def __iter__(self) -> Iterator[Mapping[str, object]]:
        return self

    def __next__(self) -> Mapping[str, object]:
        return next(self._rows)


class Traffic:
    """A steady load through the platform's one port, counted at the client.

    Args:
        rate: requests per second.
        latest: how many of the newest answers are kept for showing one.
    """

    def __init__(self, url: str, source: Source, rate: float, latest: int = 200) -> None:
        self.source = source
        self.bodies: deque[bytes] = deque(maxlen=latest)
        self._replay = Replay(url, source, rate, on_answer=self._answered)
        self._task: asyncio.Task[Tally] | None = None

    async def __aenter__(self) -> Traffic:
        self._task = asyncio.create_task(self._replay.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._replay.stop()
        if self._task is not None:
            await self._task

    @property
    def rate(self) -> float:
        """Requests per second that are sent."""
        return self._replay.rate

    @property
    def tally(self) -> Tally:
        """All that was counted since the beginning."""
        return self._replay.tally

    def check(self) -> None:
        """Raise what ended the load, if something did.

        Raises:
            SerinusError: ``SRN-DEMO-004`` if it stopped by itself.
        """
        if self._task is not None and self._task.done():
            error = self._task.exception()
            raise SerinusError(
                "SRN-DEMO-004",
                f"the load client stopped: {error or 'it had no more rows'}",
                hint="Run the demo again; if it stays, the log of Envoy and of the scorers say more.",
            )

    def watch(self) -> Callable[[str], tuple[int, int]]:
        """A function from a predictor's name to (requests, bad ones) since now."""
        start = {name: (_total(a), a.bad) for name, a in self.tally.predictors.items()}

        def since(name: str) -> tuple[int, int]:
            answers = self.tally.predictors.get(name)
            if answers is None:
                return 0, 0
            total, bad = start.get(name, (0, 0))
            return _total(answers) - total, answers.bad - bad

        return since

    def latency(self, names: Iterable[str]) -> dict[str, dict[str, float]]:
        """Percentiles in milliseconds by predictor, of all its answers so far."""
        found: dict[str, dict[str, float]] = {}
        for name in names:
            answers = self.tally.predictors.get(name)
            if answers is not None and answers.latencies:
                found[name] = {f"p{q:g}": 1000 * (answers.percentile(q / 100) or 0.0) for q in (50, 95, 99)}
        return found

    def _answered(self, number: int, code: str, predictor: str, body: bytes) -> None:
        if code == "200":
            self.bodies.append(body)


def _total(answers: Answers) -> int:
    return sum(answers.codes.values())


def decision_of(body: bytes) -> dict[str, Any]:
    """The decision in a V1 answer of one row; empty if there is none."""
    import msgspec

    try:
        answer = msgspec.json.decode(body)
        return dict(answer["meta"]["tags"]["decisions"][0])
    except (msgspec.DecodeError, KeyError, IndexError, TypeError):
        return {}
