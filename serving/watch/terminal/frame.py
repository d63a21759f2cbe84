"""What one frame holds. What is not known is None, never 0."""

from __future__ import annotations

import msgspec


def over(value: float | None, limit: float | None) -> float:
    """How many times its limit a value is; 0 where one of them is not known."""
    return value / limit if value is not None and limit is not None and limit > 0 else 0.0


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """One predictor's service. Rates are per second, times in seconds, shares from 0 to 1."""

    model: str
    predictor: str
    version: str = ""
    rate: float | None = None
    errors: float | None = None
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    slow: float | None = None
    shed: float | None = None
    in_flight: float | None = None
    behind: float | None = None
    decisions: dict[str, float] | None = None


class Rollout(msgspec.Struct, frozen=True, kw_only=True):
    """A model's latest rollout. ``evidence`` and ``threshold`` are powers of ten; ``guards`` are the worst first."""

    model: str
    name: str
    phase: str
    since: float | None = None
    weights: dict[str, float] = {}
    candidate: str = ""
    evidence: float | None = None
    threshold: float | None = None
    guards: tuple[tuple[str, float], ...] = ()
    requests: dict[str, float] = {}
    looked: float | None = None
    had_data: float | None = None


class Feature(msgspec.Struct, frozen=True, kw_only=True):
    """One feature (or the score) against the reference."""

    name: str
    evidence: float | None = None
    threshold: float | None = None
    psi: float | None = None
    psi_limit: float | None = None
    p_value: float | None = None
    missing: float | None = None

    @property
    def height(self) -> float:
        """The larger of evidence and effect over its limit, by which features are sorted."""
        return max(over(self.evidence, self.threshold), over(self.psi, self.psi_limit))

    @property
    def drifts(self) -> bool:
        """Whether evidence and effect have both reached their limits."""
        return over(self.evidence, self.threshold) >= 1 and over(self.psi, self.psi_limit) >= 1


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """What the drift monitor says of one predictor. ``features`` are the worst first."""

    model: str
    predictor: str
    active: tuple[str, ...] = ()
    features: tuple[Feature, ...] = ()
    quality: float | None = None
    bad: bool = False
    judged: float | None = None
    coverage: float | None = None


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """One measure with its 95 % interval, and the owner's floor."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    floor: float | None = None
    below: bool = False
    estimated: bool = False


class Labels(msgspec.Struct, frozen=True, kw_only=True):
    """What labels say of one predictor, and before them the estimate."""

    model: str
    predictor: str
    measures: tuple[Measure, ...] = ()
    coverage: float | None = None
    due: float | None = None
    concept: float | None = None
    concept_threshold: float | None = None
    concept_question: str = ""
    worse: bool = False
    unfair: tuple[str, ...] = ()


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One alert that fires."""

    name: str
    severity: str
    model: str = ""
    about: str = ""
    retrain: bool = False


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    """The audit log."""

    entries: float | None = None
    broken: bool = False
    verified: float | None = None


class View(msgspec.Struct, frozen=True, kw_only=True):
    """One frame. ``alerts`` is None where nobody evaluates rules; ``over`` are the seconds that rates cover."""

    at: float
    source: str
    over: float | None
    models: tuple[str, ...] = ()
    services: tuple[Service, ...] = ()
    rollouts: tuple[Rollout, ...] = ()
    drift: tuple[Drift, ...] = ()
    labels: tuple[Labels, ...] = ()
    audit: Audit | None = None
    alerts: tuple[Alert, ...] | None = None
    problems: tuple[str, ...] = ()
