"""What became of a version's decisions in service: outcomes that came back, and what people answered.

Read from the join of outcomes (``<home>/outcomes/<model>.sqlite``), which is another program's: nothing is written.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from urllib.parse import quote

import msgspec
import numpy as np

from serinus.intervals import wilson
from serinus.watching.performance import Figure, realised

MOST = 200_000
"""Labelled decisions, the latest, that realised performance is computed of."""


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """Decisions of one kind: how many, of how many the outcome is known, and how many of these are bad."""

    decision: str
    n: int
    known: int
    bad: int


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """A version in service.

    Attributes:
        first, last: the days of its first and last decision that the join keeps, in UTC.
        decisions: by decision.
        expected: sum of the probabilities of the decisions whose outcome is known; ``observed``: bad ones.
        figures: realised precision and recall at ``decline_at``, AUC and Brier score, where enough cases carry them.
        answers: people's answers on referred decisions; ``against``: those against the way that the model leaned.
    """

    first: str
    last: str
    decisions: tuple[Decided, ...]
    expected: float
    observed: int
    figures: dict[str, Figure]
    answers: int
    against: int

    @property
    def override(self) -> tuple[float, float, float] | None:
        """Share of answers against the model with its 95 % interval (Wilson); None without answers."""
        return (self.against / self.answers, *wilson(self.against, self.answers)) if self.answers else None


def service_of(path: Path, version: int, decline_at: float) -> Service | str:
    """What the join at ``path`` knows of a version's decisions, or in a sentence why it tells nothing."""
    if not path.is_file():
        return "no outcomes have been joined on this installation (python -m serving.outcomes)"
    connection = None
    try:
        connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=10)
        groups = connection.execute(
            "SELECT decision, count(*), count(bad), coalesce(sum(bad), 0) FROM decisions WHERE version = ? "
            "GROUP BY decision ORDER BY decision",
            (version,),
        ).fetchall()
        if not groups:
            return "no decision of this version has reached the join of outcomes"
        first, last = connection.execute(
            "SELECT date(min(at), 'unixepoch'), date(max(at), 'unixepoch') FROM decisions WHERE version = ?",
            (version,),
        ).fetchone()
        known = connection.execute(
            "SELECT probability, bad FROM decisions WHERE version = ? AND bad IS NOT NULL "
            "ORDER BY at DESC, id LIMIT ?",
            (version, MOST),
        ).fetchall()
        answers, against = connection.execute(
            "SELECT count(*), coalesce(sum(r.bad <> r.leaning), 0) FROM reviews r "
            "JOIN decisions d ON d.id = r.id WHERE d.version = ?",
            (version,),
        ).fetchone()
    except sqlite3.Error as error:
        return f"the join of outcomes cannot be read ({error})"
    finally:
        if connection is not None:
            connection.close()
    probability = np.array([row[0] for row in known], dtype=np.float64)
    bad = np.array([row[1] for row in known], dtype=np.float64)
    found = realised(probability, bad, decline_at)
    named = {"precision": found.precision, "recall": found.recall, "auc": found.auc, "brier": found.brier}
    return Service(
        first=first,
        last=last,
        decisions=tuple(Decided(decision=d, n=n, known=k, bad=int(b)) for d, n, k, b in groups),
        expected=float(probability.sum()),
        observed=int(bad.sum()),
        figures={name: figure for name, figure in named.items() if figure is not None},
        answers=answers,
        against=int(against),
    )
