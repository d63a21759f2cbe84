"""What a monitor is told, and what it found: the words that its worker, its pages and its alerts share."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from serinus.watching import PairReport, Performance
from serving.drift.second import Online, Opinion
from serving.drift.verdict import Verdict

COUNTS_TYPE = "io.serinus.counts"
UNLISTED = "unlisted"
"""Predictors beyond those that are watched, all together."""
OUTCOMES = ("accepted", "dropped", "malformed", "ignored", "other_model", "failed", "merged", "repeated")
KINDS = ("feature", "score", "data_quality", "pair")


@dataclass(frozen=True)
class Settings:
    """What the monitor needs to know.

    Args:
        digest: of the bundle that it was started with.
        window: rows of a look that the two-sample tests are given; ``max_age`` seconds after it was opened a window is
            tested as it is. A predictor that is silent for so long makes room for another.
        champion: the predictor that the others are compared with; empty: the first that is seen.
        threshold: calibrated probability at which estimated precision and recall are taken.
        replica: this program's name among those that forward their counts.
    """

    model: str
    digest: str
    window: int
    max_age: float
    champion: str = ""
    threshold: float = 0.5
    replica: str = ""


@dataclass(frozen=True)
class Evaluation:
    """A verdict, when it was reached (Unix seconds), and what it cost (seconds)."""

    verdict: Verdict
    time: float
    seconds: float


@dataclass
class State:
    """What metrics and /status are made of; read and written under one lock."""

    evaluations: dict[str, Evaluation] = field(default_factory=dict[str, Evaluation])
    estimated: dict[str, Performance] = field(default_factory=dict[str, Performance])
    pairs: dict[str, PairReport] = field(default_factory=dict[str, PairReport])
    payloads: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    events: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    rows: Counter[str] = field(default_factory=Counter[str])
    filling: dict[str, int] = field(default_factory=dict[str, int])
    primary: str = ""
    unsaved: int = 0
    opinions: dict[str, tuple[Opinion, ...]] = field(default_factory=dict[str, tuple[Opinion, ...]])
    online: dict[str, tuple[Online, ...]] = field(default_factory=dict[str, tuple[Online, ...]])

    def copy(self) -> State:
        """Another, that shares nothing that changes."""
        return State(
            dict(self.evaluations), dict(self.estimated), dict(self.pairs), self.payloads.copy(),
            self.events.copy(), self.rows.copy(), dict(self.filling), self.primary, self.unsaved,
            dict(self.opinions), dict(self.online),
        )  # fmt: skip

    def forget(self, predictor: str) -> None:
        """Drops a predictor."""
        for kept in (
            self.evaluations, self.estimated, self.pairs, self.rows, self.filling, self.opinions, self.online
        ):  # fmt: skip
            kept.pop(predictor, None)
        for counter in (self.payloads, self.events):
            for key in [key for key in counter if key[0] == predictor]:
                del counter[key]


def begun(before: Verdict | None, now: Verdict) -> list[str]:
    """The kinds of finding that were not so at the look before."""
    found = {
        "feature": (before is not None and before.feature_status == "drift", now.feature_status == "drift"),
        "score": (before is not None and before.score.status == "drift", now.score.status == "drift"),
        "data_quality": (before is not None and before.quality == "bad", now.quality == "bad"),
    }
    return [kind for kind, (was, is_) in found.items() if is_ and not was]
