"""What goes into the evidence and what comes out: the façade other programs hold.

Every type survives a JSON round trip unchanged, and a misspelt key is an error.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from serinus.durations import parse_duration
from serinus.errors import SerinusError

Side = Literal["higher", "lower", "both"]
Share = Annotated[float, Meta(gt=0, lt=1)]
GuardOutcome = Literal["harm", "clear", "undecided", "no_data"]
Outcome = Literal["harm", "clear", "undecided", "no_data", "provider_error", "routing_broken"]


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A misspelt key is an error, never a silently ignored default."""


class Guard(_Strict, frozen=True, kw_only=True):
    """One thing the canary must not make worse.

    Args:
        name: how verdicts call it: "errors", "latency", "scores", "decisions", or any other.
        metric: the counter of a sample that it reads.
        side: the direction of harm, canary against stable.
        margin_ratio: the odds ratio (canary to stable) that is tolerated, at least 1. For ``lower`` its
            inverse.
        margin_absolute: the difference of shares that is tolerated when a canary is cleared (0.005 = half a
            point).
        slo: an absolute limit on the canary's own share of bad units; only for plain rates.
        weight: the guard's share of the evidence, relative to the other enforcing guards.
        mode: ``observe`` is computed and reported, and moves nothing.
        edges: what each edge of a histogram is called in a reason ("25 ms"); only for telling.
    """

    name: Annotated[str, Meta(min_length=1, max_length=63)]
    metric: Annotated[str, Meta(min_length=1)]
    side: Side = "higher"
    margin_ratio: Annotated[float, Meta(ge=1, le=100)] = 1.25
    margin_absolute: Share = 0.005
    slo: Share | None = None
    weight: Annotated[float, Meta(gt=0)] = 1.0
    mode: Literal["enforce", "observe"] = "enforce"
    edges: tuple[str, ...] = ()


class Plan(_Strict, frozen=True, kw_only=True):
    """What a rollout watches, and how sure it must be.

    Args:
        guards: at least one, names distinct.
        alpha: the probability that a canary within every margin is ever called harmful, over the whole
            rollout.
        beta: the probability that a guard ever clears a canary that is harmful by both of its margins.
        epoch: how often the mixture over onsets opens a new start ("5m").

    Raises:
        SerinusError: SRN-EVIDENCE-001 if the guards are empty, share a name, or the epoch is no duration.
    """

    guards: tuple[Guard, ...]
    alpha: Share = 0.01
    beta: Share = 0.05
    epoch: str = "5m"

    def __post_init__(self) -> None:
        names = [guard.name for guard in self.guards]
        if not names or len(set(names)) != len(names):
            raise SerinusError(
                "SRN-EVIDENCE-001",
                f"guards need distinct names and at least one guard, got {names}",
                hint="Name each guard once, for instance errors and latency.",
            )
        try:
            seconds = parse_duration(self.epoch)
        except ValueError as error:
            raise SerinusError(
                "SRN-EVIDENCE-001", str(error), where="epoch", hint="Write a duration: 5m."
            ) from error
        if seconds <= 0:
            raise SerinusError(
                "SRN-EVIDENCE-001", "the epoch is empty", where="epoch", hint="Write a duration above 0."
            )


class Counter(_Strict, frozen=True):
    """Cumulative counts of one process since it started.

    Args:
        n: units seen: requests, scores, decisions, or labelled cases.
        bad: units above edge i, one entry per edge; one entry for a plain rate.
    """

    n: float
    bad: tuple[float, ...]


class Sample(_Strict, frozen=True):
    """One scrape of both arms.

    Args:
        at: unix seconds of the scrape.
        stable: source (pod or process id) → metric → counter.
        canary: likewise.
        canary_share: the declared weight (0..1) in force since the last sample; None: no routing check.
    """

    at: float
    stable: dict[str, dict[str, Counter]]
    canary: dict[str, dict[str, Counter]]
    canary_share: float | None = None


class GuardState(_Strict, frozen=True):
    """The evidence of one guard. ``edges`` is 0 until a counter has been read.

    ``logs`` packs float32, row by row (one row per edge; ``grid.Grid`` names the columns); ``bad`` packs
    uint64: the stable arm's counts above each edge, then the canary's; ``slo`` packs float32.
    """

    edges: int = 0
    n_stable: int = 0
    n_canary: int = 0
    bad: bytes = b""
    logs: bytes = b""
    slo: bytes = b""


class Routing(_Strict, frozen=True):
    """Units by arm since the declared share last changed."""

    share: float | None = None
    n_canary: int = 0
    n_stable: int = 0


class Evidence(_Strict, frozen=True, kw_only=True):
    """All that must survive a restart; fits the status of a Kubernetes resource.

    Args:
        version: of this layout.
        plan: digest of the plan that the evidence was gathered under.
        first_at, last_at: unix seconds of the first and the latest accepted scrape.
        epoch: the number of onsets opened after the first.
        baseline: the counters of the latest scrape (packed), from which the next deltas are taken.
    """

    version: Literal[1] = 1
    plan: str
    first_at: float | None = None
    last_at: float | None = None
    epoch: int = 0
    baseline: bytes = b""
    guards: tuple[GuardState, ...] = ()
    routing: Routing = Routing()


class GuardVerdict(_Strict, frozen=True, kw_only=True):
    """What one guard says, with the numbers it rests on.

    Args:
        log10_e: evidence of harm; 0 is none, and 2 would happen once in a hundred good canaries.
        n_stable, n_canary, bad_stable, bad_canary: counts; for a histogram, at the edge ``edge`` that tells
            most.
        edge: index of that edge, None for a plain rate.
        ratio_low, ratio_high: bounds on the odds ratio that hold at all times; None where there is none yet.
        bound: upper bound on the share by which the canary exceeds stable in the harmful direction, at all
            times.
        requests_to_clear: estimate of further canary units until the guard clears if the canary is as good as
            stable; 0 when it has; None when it cannot be told.
        reason: the same in words.
        mode: the guard's: one that only observes moves nothing, whatever its outcome.
    """

    guard: str
    outcome: GuardOutcome
    log10_e: float
    n_stable: int
    n_canary: int
    bad_stable: int
    bad_canary: int
    edge: int | None
    ratio_low: float | None
    ratio_high: float | None
    bound: float
    requests_to_clear: int | None
    reason: str
    mode: Literal["enforce", "observe"] = "enforce"


class Verdict(_Strict, frozen=True, kw_only=True):
    """What the evidence says at this look.

    Args:
        culprits: the guards to blame, worst first; empty unless ``harm``.
        log10_e: the combined evidence of harm; rollback at ``threshold_log10``, which is log10(1/alpha).
    """

    outcome: Outcome
    culprits: tuple[str, ...]
    reason: str
    log10_e: float
    threshold_log10: float
    guards: tuple[GuardVerdict, ...]
