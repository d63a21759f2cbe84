"""From what a scorer answered to the lines of its decision log.

The compiled kernel writes them; where it is not compiled, Python writes the
same bytes, several times slower. ``serinus.events`` says what an event is and
``serinus.chain`` what a line is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from serinus.chain import GENESIS, Linker
from serinus.events import DecisionEncoder, Seal
from serinus.model.answers import Answers
from serinus.model.decision import Answer

try:
    from serinus.model import _native
except ImportError:  # not compiled: see hatch_build.py
    _native = None

Floats = NDArray[np.float64]
Rows = Floats | Sequence[Floats]
"""Vectors of shape (n, F), or n of shape (F,), C-contiguous."""
Taken = tuple[str, float, Rows, Sequence[Answer] | Answers, int, int, tuple[Seal, ...] | None]
"""Some decisions of one request: its id, seconds since the epoch, all its rows and answers,
the range of those that are meant, and what seals each row. Of several rows each is named ``<id>.<row>``."""


class Chained(NamedTuple):
    """Lines of the entries that follow entry ``after``, up to entry ``seq``, whose hash is ``head``.

    Each block holds one or more whole lines.
    """

    blocks: list[bytes]
    after: int
    seq: int
    head: str


class DecisionLines:
    """Writes the decisions of one scorer, one line each, and keeps the lines until they are taken.

    Args:
        model, version, digest, predictor: what all its decisions carry.
        sealed: whether each comes with the key that seals it.
        seq, head: the entry they follow.
    """

    def __init__(
        self,
        *,
        model: str,
        version: int,
        digest: str,
        predictor: str,
        sealed: bool = False,
        seq: int = 0,
        head: str = GENESIS,
    ) -> None:
        encode = DecisionEncoder(
            model=model, version=version, digest=digest, predictor=predictor, sealed=sealed
        )
        kept: Lines = _Lines(encode)
        if _native is not None:
            kept = _native.Lines(*encode.constant, msgspec.json.Encoder().encode, hashlib.sha256)
        kept.begin(seq, head)
        self.begin = kept.begin
        self.add = kept.add
        self._take = kept.take

    def take(self) -> Chained:
        """What was added since the last time."""
        return Chained(*self._take())


class Lines(Protocol):
    """Lines as they grow. One thread at a time."""

    def begin(self, seq: int, head: str, /) -> None:
        """Go on after that entry; what was not taken is dropped."""
        ...

    def add(
        self,
        request_id: str,
        time: float,
        rows: Rows,
        answers: Sequence[Answer] | Answers,
        start: int,
        stop: int,
        keys: tuple[Seal, ...] | None = None,
        /,
    ) -> None:
        """Write decisions (see ``Taken``), all or none."""
        ...

    def take(self) -> tuple[list[bytes], int, int, str]:
        """The parts of ``Chained``."""
        ...


class _Lines:
    """In Python."""

    def __init__(self, encode: DecisionEncoder) -> None:
        self._encode = encode
        self.begin(0, GENESIS)

    def begin(self, seq: int, head: str, /) -> None:
        self._linker = Linker(seq, head)
        self._lines: list[bytes] = []

    def add(
        self,
        request_id: str,
        time: float,
        rows: Rows,
        answers: Sequence[Answer] | Answers,
        start: int,
        stop: int,
        keys: tuple[Seal, ...] | None = None,
        /,
    ) -> None:
        taken = (request_id, time, rows, answers, start, stop, keys)
        self._lines += self._linker.link(bodies(self._encode, taken))

    def take(self) -> tuple[list[bytes], int, int, str]:
        lines, self._lines = self._lines, []
        return lines, self._linker.seq - len(lines), self._linker.seq, self._linker.head


def bodies(encode: DecisionEncoder, taken: Taken) -> list[bytes]:
    """The events alone."""
    request_id, at, rows, answers, start, stop, keys = taken
    seals = [None] * (stop - start) if keys is None else keys[start:stop]
    names = [request_id] if len(answers) == 1 else [f"{request_id}.{i}" for i in range(start, stop)]
    vectors = [row.tolist() for row in rows[start:stop]]
    columns = zip(names, *_columns(answers, start, stop), vectors, seals, strict=True)
    return [encode(name, at, *cells) for name, *cells in columns]


def _columns(answers: Sequence[Answer] | Answers, start: int, stop: int) -> tuple[Sequence[Any], ...]:
    """Score, probability, decision and reasons of some of a request's answers."""
    if isinstance(answers, Sequence):
        part = answers[start:stop]
        return (
            [a.score for a in part],
            [a.probability for a in part],
            [a.decision for a in part],
            [a.reasons for a in part],
        )
    return (
        answers.score[start:stop].tolist(),
        answers.probability[start:stop].tolist(),
        answers.decision[start:stop],
        answers.reasons[start:stop],
    )
