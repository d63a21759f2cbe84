"""The latest scores of a predictor as a fine histogram, from which performance is estimated before labels arrive."""

from __future__ import annotations

import msgspec
import numpy as np

from serinus.watching import Performance, estimate
from serinus.watching.bins import Floats

_CELLS = 400
_REACH = 12.0  # log-odds beyond which probabilities are counted together


class Scores(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What survives a restart: float64 (two blocks, [counts, sums], cells), and whose scores they are."""

    threshold: float
    digest: str
    blocks: bytes


class ScoreBook:
    """Between ``rows`` and twice as many of the latest scores, in cells of the log-odds; memory is that of the cells.

    A block of ``rows`` scores is filled while the one before it is kept, so that the figures rest on known rows and
    their bands mean what they say. An edge lies at ``threshold``; each cell stands for the mean of what it holds.
    """

    def __init__(self, threshold: float, rows: int = 10_000) -> None:
        self.threshold = threshold
        self.rows = rows
        self.digest = ""
        edges = 1 / (1 + np.exp(-np.linspace(-_REACH, _REACH, _CELLS - 1)))
        self._edges = np.sort(np.append(edges, threshold))
        self._blocks = np.zeros((2, 2, self._edges.size + 1))

    def add(self, scores: Floats, digest: str) -> None:
        """Takes calibrated probabilities (k,) in. Those of another model than before start anew."""
        if digest != self.digest:
            self.digest = digest
            self._blocks[:] = 0
        self._pour(scores)

    def _pour(self, scores: Floats) -> None:
        cells = np.searchsorted(self._edges, scores, side="right")
        size = self._edges.size + 1
        self._blocks[0, 0] += np.bincount(cells, minlength=size)
        self._blocks[0, 1] += np.bincount(cells, weights=scores, minlength=size)
        if self._blocks[0, 0].sum() >= self.rows:
            self._blocks[1] = self._blocks[0]
            self._blocks[0] = 0

    def takes(self, other: Scores) -> bool:
        """Whether these are counts of so many cells, that can be."""
        try:
            blocks = self._read(other)
        except ValueError:
            return False
        # A sum of probabilities is no larger than their number, up to rounding.
        counts, sums = blocks[:, 0], blocks[:, 1]
        return bool(
            np.isfinite(blocks).all()
            and (counts >= 0).all()
            and (counts == np.floor(counts)).all()
            and (sums >= 0).all()
            and (sums <= counts * (1 + 1e-9)).all()
        )

    def merge(self, other: Scores) -> None:
        """Takes in what another replica counted since it last told.

        Raises:
            ValueError: if it was counted with another threshold.
        """
        blocks = self._read(other)
        if not blocks[:, 0].any():
            return
        if other.digest != self.digest:
            self.digest = other.digest
            self._blocks[:] = 0
        self._blocks[0] += blocks.sum(axis=0)
        if self._blocks[0, 0].sum() >= self.rows:
            self._blocks[1] = self._blocks[0]
            self._blocks[0] = 0

    def performance(self) -> Performance:
        """What these scores promise, if they are calibrated on this traffic."""
        counts, sums = self._blocks.sum(axis=0)
        held = counts > 0
        return estimate(sums[held] / counts[held], self.threshold, counts=counts[held])

    def save(self) -> Scores:
        """As a value."""
        return Scores(
            threshold=self.threshold, digest=self.digest, blocks=self._blocks.astype("<f8").tobytes()
        )

    def load(self, saved: Scores) -> None:
        """Goes on from a value. Raises ValueError if it was counted with another threshold."""
        self._blocks = self._read(saved).copy()
        self.digest = saved.digest

    def clear(self) -> None:
        """Starts anew."""
        self._blocks[:] = 0

    def _read(self, saved: Scores) -> Floats:
        blocks = np.frombuffer(saved.blocks, "<f8")
        if saved.threshold != self.threshold or blocks.size != self._blocks.size:
            raise ValueError(f"scores counted at the threshold {saved.threshold:g}, not {self.threshold:g}")
        return blocks.reshape(self._blocks.shape)
