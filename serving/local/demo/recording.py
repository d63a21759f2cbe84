"""What a story looked like while it happened: one point a look, for the timeline and the plots."""

from __future__ import annotations

from typing import Any

import msgspec


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One look at a rollout. ``t`` is seconds since its start, ``evidence`` the log10 of
    the combined e-value; the two counts are the client's own, so they hold what the
    client saw and not what the servers say of themselves."""

    t: float
    phase: str
    weight: int
    evidence: float | None
    canary_requests: int
    canary_bad: int
    champion_requests: int
    champion_bad: int


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the timeline."""

    t: float
    text: str


class Recording(msgspec.Struct, kw_only=True):
    """A whole story, as it is written to ``recording.json`` beside its report."""

    name: str
    title: str
    fault: str
    model: str
    champion: str
    candidate: str
    threshold: float
    points: list[Point] = []
    moments: list[Moment] = []
    ended: str = ""
    expected: str = ""
    culprits: list[str] = []
    expected_culprit: str | None = None
    why: str = ""
    guards: list[dict[str, Any]] = []
    latency_ms: dict[str, dict[str, float]] = {}

    @property
    def ok(self) -> bool:
        """It ended as it should, for the reason it should."""
        named = self.expected_culprit is None or self.expected_culprit in self.culprits
        return self.ended == self.expected and named

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.points[-1].t if self.points else 0.0

    @property
    def last(self) -> Point | None:
        """The last look."""
        return self.points[-1] if self.points else None
