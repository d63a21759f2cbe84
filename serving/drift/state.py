"""What survives a restart, one file per predictor, written whole or not at all.

Evidence goes on to the bit where it stood. What cannot be read, or belongs to another model or plan, starts anew: an
e-detector that starts anew has the same run length from there on, so the false-alarm budget holds either way, and only
what was gathered against a shift under way is lost.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from serinus.errors import SerinusError
from serinus.home import atomic_write
from serinus.watching import Evidence, PairEvidence, Sketch
from serving.drift.lane import Lane
from serving.drift.scores import Scores
from serving.drift.second import Kept

log = logging.getLogger("serinus.drift")


class Saved(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One predictor's state.

    Args:
        digest: of the bundle that it was compared with.
        at: Unix seconds of the last look that was judged; 0 before the first.
        rows: rows judged so far.
        sketch, foreign: the open look, as far as it had come when the program ended.
        heard: the last number of each replica that forwards to this predictor.
        online: the online tests, by column and test.
    """

    version: int = 1
    predictor: str
    digest: str
    primary: bool
    at: float
    rows: int
    evidence: Evidence
    pair: PairEvidence
    scores: Scores
    sketch: Sketch
    foreign: Sketch
    heard: dict[str, int] = {}
    online: dict[str, Kept] = {}


class Store(Protocol):
    """Where states lie."""

    def save(self, predictor: str, data: bytes) -> None:
        """Keep a predictor's state. Raises SerinusError if it cannot be kept."""
        ...

    def load(self) -> dict[str, bytes]:
        """All states kept, by predictor."""
        ...

    def forget(self, predictor: str) -> None:
        """Drop a predictor's state, if there is one."""
        ...


class MemoryStore:
    """Keeps states for as long as the program runs: a restart starts anew."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def save(self, predictor: str, data: bytes) -> None:
        """Keep; see ``Store``."""
        self.kept[predictor] = data

    def load(self) -> dict[str, bytes]:
        """All; see ``Store``."""
        return dict(self.kept)

    def forget(self, predictor: str) -> None:
        """Drop; see ``Store``."""
        self.kept.pop(predictor, None)


class DirectoryStore:
    """One ``<predictor>.json`` in a directory of the model's own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def save(self, predictor: str, data: bytes) -> None:
        """Keep; see ``Store``."""
        atomic_write(self._directory / f"{predictor}.json", data)

    def load(self) -> dict[str, bytes]:
        """All; see ``Store``."""
        return {path.stem: path.read_bytes() for path in sorted(self._directory.glob("*.json"))}

    def forget(self, predictor: str) -> None:
        """Drop; see ``Store``."""
        (self._directory / f"{predictor}.json").unlink(missing_ok=True)


def freeze(
    predictor: str,
    lane: Lane,
    digest: str,
    at: float,
    rows: int,
    now: float,
    heard: Mapping[str, int],
) -> bytes:
    """A predictor's state as JSON."""
    sketch, foreign = lane.peek(now)
    return msgspec.json.encode(
        Saved(
            predictor=predictor,
            digest=digest,
            primary=lane.primary,
            at=at,
            rows=rows,
            evidence=lane.evidence,
            pair=lane.pair,
            scores=lane.book.save(),
            sketch=sketch,
            foreign=foreign,
            heard={name: n for name, n in heard.items() if name.startswith(f"{predictor}/")},
            online=lane.watch.save() if lane.watch else {},
        )
    )


def read(data: bytes, digest: str) -> Saved | None:
    """A state of the model ``digest``; None, and a line in the log, if it is none."""
    try:
        saved = msgspec.json.decode(data, type=Saved)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        log.warning("a state cannot be read (%s): that predictor starts anew", error)
        return None
    if saved.digest != digest:
        log.info("the state of %s is of another model: it starts anew", saved.predictor)
        return None
    return saved


def thaw(lane: Lane, saved: Saved) -> bool:
    """Goes on where a state stood; False, and a line in the log, if it belongs to another plan or other bins."""
    try:
        lane.detector.judge(saved.evidence)
        lane.pairs.judge(saved.pair)
        lane.book.load(saved.scores)
        lane.merge(saved.sketch, saved.foreign)
    except (SerinusError, ValueError) as error:
        log.info("the state of %s starts anew: %s", saved.predictor, error)
        return False
    lane.evidence, lane.pair = saved.evidence, saved.pair
    if lane.watch:
        lane.watch.load(saved.online)
    return True
