"""Replicas that count, and one monitor that judges: counts add, verdicts and false-alarm budgets do not.

Each replica of a predictor sees its share of the traffic. Were each to judge its share, a model of ten replicas
would have ten times the false alarms. With ``--forward`` a replica only counts, and posts its counts to the monitor
that judges them all together; no row leaves the pod. A message is repeated unchanged until it was taken, under a number
that grows, so that a lost answer counts nothing twice. Counts that are refused are counts by another measure than the
monitor's: it is asked for its own, and by that the replica goes on.
"""

from __future__ import annotations

import http.client
import logging
import math
import threading
import urllib.error
import urllib.request
from collections import Counter, OrderedDict
from itertools import chain
from typing import Annotated, Literal, Protocol

import msgspec

from serinus.tls import client_context
from serinus.watching import Baseline, Sketch
from serving.drift.measure import Measure, MeasureError, read_measure
from serving.drift.scores import Scores

log = logging.getLogger("serinus.drift")

MAX_REPLICAS = 1024
"""Replicas whose last number is remembered; the longest silent is forgotten first."""
MAX_MEASURE = 8 << 20
Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_.]{0,251}[A-Za-z0-9])?$")]


class Counts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one replica of a predictor counted since its last message.

    Args:
        model, digest: whose traffic, and the bundle whose bins it was counted in: the monitor's, which need not be the
            one that the replica's pod serves.
        replica: the sender's own name; ``number`` grows with each of its messages.
        sketch: features and scores of the bundle's model; ``foreign``: scores of other models; ``scores``: all of them,
            in finer cells.
    """

    version: Literal[1] = 1
    model: str
    digest: str
    replica: Name
    number: int
    predictor: Name
    sketch: Sketch
    foreign: Sketch
    scores: Scores


def fits(sketch: Sketch, baseline: Baseline) -> bool:
    """Whether a sketch from outside has the shape of the bins that it names, and counts that can be."""
    size = len(baseline.columns)
    shares = (sketch.missing, sketch.unknown, sketch.outside)
    return (
        [len(cells) for cells in sketch.counts] == [column.cells for column in baseline.columns]
        and all(len(share) == size for share in (*shares, sketch.sums, sketch.squares))
        and min(sketch.rows, sketch.refused, *chain(*sketch.counts, *shares)) >= 0
        and sketch.refused <= sketch.rows
        and all(map(math.isfinite, (*sketch.sums, *sketch.squares)))
    )


class RefusedError(Exception):
    """The monitor will never take these counts."""


class Channel(Protocol):
    """The way to the monitor that judges."""

    def send(self, body: bytes) -> None:
        """Deliver. Raises OSError or HTTPException if it was not taken now, RefusedError if it never will be."""
        ...

    def measure(self) -> bytes:
        """What the monitor counts by. Raises OSError or HTTPException if it does not say."""
        ...


class HttpChannel:
    """Posts to ``URL/counts``, and reads ``URL/measure``."""

    def __init__(self, url: str, timeout: float = 5.0) -> None:
        self._url = url.rstrip("/")
        self._timeout = timeout
        self._tls = client_context()

    def send(self, body: bytes) -> None:
        """Deliver; see ``Channel``."""
        request = urllib.request.Request(
            f"{self._url}/counts", data=body, headers={"Content-Type": "application/json"}, method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=self._timeout, context=self._tls):
                pass
        except urllib.error.HTTPError as error:
            if error.code in (400, 409, 413):
                raise RefusedError(error.read(500).decode(errors="replace")) from error
            raise

    def measure(self) -> bytes:
        """Ask; see ``Channel``."""
        with urllib.request.urlopen(
            f"{self._url}/measure", timeout=self._timeout, context=self._tls
        ) as answer:
            body = answer.read(MAX_MEASURE + 1)
        if len(body) > MAX_MEASURE:
            raise OSError(f"what {self._url}/measure answers exceeds {MAX_MEASURE} bytes")
        return body


class MemoryChannel:
    """Keeps what was sent; ``down`` makes it fail. ``by`` is the monitor's measure, None if it has none to give."""

    def __init__(self, by: Measure | None = None) -> None:
        self.sent: list[bytes] = []
        self.down = False
        self.by = by

    def send(self, body: bytes) -> None:
        """Keep; see ``Channel``."""
        if self.down:
            raise ConnectionRefusedError("nobody there")
        self.sent.append(body)

    def measure(self) -> bytes:
        """The measure; see ``Channel``."""
        if self.down or self.by is None:
            raise ConnectionRefusedError("nobody there")
        return self.by.encode()


class Relay:
    """At most one message per predictor on its way, in a thread of its own; what comes meanwhile stays counted."""

    def __init__(self, channel: Channel, *, pace: float = 5.0) -> None:
        self._channel = channel
        self._pace = pace
        self._waiting: dict[str, bytes] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False
        self._measure: Measure | None = None
        self._thread = threading.Thread(target=self._work, name="drift-relay", daemon=True)
        self.outcomes: Counter[str] = Counter()

    def ask(self) -> bool:
        """Ask the monitor what it counts by; False if it does not say."""
        try:
            found = read_measure(self._channel.measure())
        except (OSError, http.client.HTTPException, MeasureError) as error:
            log.warning("the monitor does not say what it counts by: %s", error)
            return False
        with self._lock:
            self._measure = found
        return True

    def measure(self) -> Measure | None:
        """What the monitor said that it counts by, once; None where it said nothing since."""
        with self._lock:
            found, self._measure = self._measure, None
        return found

    def free(self, predictor: str) -> bool:
        """Whether the predictor's last message was taken."""
        with self._lock:
            return predictor not in self._waiting

    def offer(self, counts: Counts) -> None:
        """Send these next. Only where ``free``."""
        with self._lock:
            self._waiting[counts.predictor] = msgspec.json.encode(counts)
        self._wake.set()

    def deliver(self) -> None:
        """Try what waits once."""
        with self._lock:
            waiting = dict(self._waiting)
        for predictor, body in waiting.items():
            try:
                self._channel.send(body)
                outcome = "taken"
            except RefusedError as error:
                log.warning("counts of %s were refused and are dropped: %s", predictor, error)
                outcome = "refused"
                self.ask()
            except (OSError, http.client.HTTPException) as error:
                log.warning("counts of %s could not be forwarded yet: %s", predictor, error)
                outcome = "failed"
            with self._lock:
                self.outcomes[outcome] += 1
                if outcome != "failed":
                    del self._waiting[predictor]

    def start(self) -> None:
        """Start sending."""
        self._thread.start()

    def stop(self) -> None:
        """End after one last attempt."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(10)

    def _work(self) -> None:
        while not self._stopping:
            self._wake.wait(self._pace)
            self._wake.clear()
            self.deliver()
        # What was offered while the last attempt was under way is not in it.
        self.deliver()


class Heard:
    """The last number of each replica: what was taken before is not counted again."""

    def __init__(self, numbers: dict[str, int] | None = None) -> None:
        self._numbers: OrderedDict[str, int] = OrderedDict(numbers or {})

    def new(self, replica: str, number: int) -> bool:
        """Whether this message was not taken before; from then on it was."""
        if number <= self._numbers.get(replica, -1):
            return False
        self._numbers[replica] = number
        self._numbers.move_to_end(replica)
        while len(self._numbers) > MAX_REPLICAS:
            self._numbers.popitem(last=False)
        return True

    def save(self) -> dict[str, int]:
        """As a value."""
        return dict(self._numbers)
