"""What a model must reach, how it is challenged, and against whom."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from components.config.strict import Fraction, Share, Strict


class Gate(Strict, frozen=True):
    """One demand on a metric of the test rows; ``components.evaluate.names`` lists them.

    ``by: value`` holds the measured value against the limit; ``by: interval`` the worse end of
    its 95 % interval, so that few rows do not pass by luck (no interval is no data).
    """

    metric: str
    min: float | None = None
    max: float | None = None
    by: Literal["value", "interval"] = "value"


DEFAULT_GATES = (
    # Better than chance beyond doubt, better than quoting the base rate, believable,
    Gate(metric="auc_low", min=0.5),
    Gate(metric="brier_skill", min=0.0),
    Gate(metric="calibration_error", max=0.05),
    # not overfitted, and not reading its own answer.
    Gate(metric="auc_drop", max=0.15),
    Gate(metric="single_feature_auc", max=0.99),
)


class Gates(Strict, frozen=True):
    """What must hold before anything is registered. ``no_data: stop`` (the default)
    stops at a metric that could not be measured; ``report`` only reports it."""

    metrics: tuple[Gate, ...] = DEFAULT_GATES
    no_data: Literal["stop", "report"] = "stop"


class Scenario(Strict, frozen=True):
    """A world that is not as it was: numbers multiplied, then shifted, kept in the contract's ranges; inputs lost;
    bad outcomes more frequent.

    ``bad_odds`` multiplies the odds of the bad outcome at every row (a downturn does not only change what
    applicants look like: equals default more often). ``auc_min``, ``approved_change_max`` (of the approved share,
    absolute), ``approved_bad_max`` (bad outcomes among the approved) and ``underestimated_max`` (bad outcomes over
    what the model expects) are limits; without them the scenario is reported.
    """

    name: Annotated[str, Meta(min_length=1, max_length=60)]
    multiply: dict[str, float] = msgspec.field(default_factory=dict)
    add: dict[str, float] = msgspec.field(default_factory=dict)
    missing: tuple[str, ...] = ()
    bad_odds: Annotated[float, Meta(gt=0)] = 1.0
    auc_min: float | None = None
    approved_change_max: Annotated[float, Meta(ge=0, le=1)] | None = None
    approved_bad_max: Annotated[float, Meta(ge=0, le=1)] | None = None
    underestimated_max: Annotated[float, Meta(gt=0)] | None = None


class Splitting(Strict, frozen=True):
    """Somebody splits one amount into several smaller ones, to stay below what is noticed.

    Each row with a bad outcome that the model does not approve is played again as ``parts`` rows of an equal share of
    ``column`` at one entity, one right after the other; it escapes if every one of them is approved. ``entity``: whose
    histories see the earlier parts (default: all). ``escaped_max`` limits the share that escapes.
    """

    column: str
    parts: Annotated[int, Meta(ge=2, le=100)] = 5
    entity: str | None = None
    escaped_max: Annotated[float, Meta(ge=0, le=1)] | None = None


class Retrained(Strict, frozen=True):
    """The model fitted again ``fits`` times (0: not), by other seeds on rows drawn with replacement, at most ``rows``
    of them: what of it is the data's, and what is chance.

    ``auc_sd``: the largest standard deviation of the test AUCs of these fits; above it the model fails if all of the
    deviation's 95 % interval is above, and is undecided otherwise. ``decisions_changed``: most rows on
    which two of them may decide differently, on the mean over the pairs.
    """

    fits: Annotated[int, Meta(ge=0, le=50)] = 4
    rows: Annotated[int, Meta(ge=100)] = 50_000
    auc_sd: Fraction | None = 0.05
    decisions_changed: Fraction | None = 0.25


class Migration(Strict, frozen=True):
    """How an entity's score moves between bands from one period to the next.

    ``entity``: of the contract (default: its first). ``bands``: equally filled on rows that no tree saw. ``moved_far``:
    most entities that may move two bands or more.
    """

    entity: str | None = None
    bands: Annotated[int, Meta(ge=2, le=20)] = 7
    moved_far: Fraction | None = None


class Scorecard(Strict, frozen=True):
    """A logistic scorecard on ``bins`` equally filled bins of each number, fitted on at most ``rows`` training rows.

    ``auc_gain_min``: the least by which the model's AUC must be above the scorecard's. Where the whole 95 % interval
    of the difference lies below, ``demand`` says what follows: ``warn`` (the papers say attention), ``stop``, or
    ``report``, which judges nothing. Where only part of it does, it may be chance and is no data.
    """

    demand: Literal["report", "warn", "stop"] = "warn"
    auc_gain_min: Annotated[float, Meta(gt=-0.5, lt=0.5)] = 0.0
    bins: Annotated[int, Meta(ge=2, le=50)] = 6
    rows: Annotated[int, Meta(ge=100)] = 100_000


class Exposure(Strict, frozen=True):
    """``column``: the amount that a decision puts at stake, a number that is a feature as it stands (none: exposure
    is not measured). ``bad_stopped_min``: least share of the amount of bad outcomes that is not approved."""

    column: str = ""
    bad_stopped_min: Annotated[float, Meta(gt=0, le=1)] | None = None


class Challenge(Strict, frozen=True):
    """How the model is challenged. A limit that is null makes its test a report that stops nothing.

    ``score_psi``, ``feature_psi``: PSI of test against training rows (0.25 is the credit industry's "act");
    where chance alone reaches further, chance is the limit. ``worst_period_auc``: over ``periods`` equal spans
    of the test rows. ``hosmer_lemeshow_p``, ``jeffreys_p``: least p-values; with many rows any model fails
    them, so they are reports by default. ``input_lost_auc``: most AUC that one lost input may cost.
    ``direction_violations``: share of rows that move against a direction that the contract declares; a report by
    default, since of the algorithms only LightGBM can be held to it.
    ``contradicted_directions``: declared directions that the average answer may go against.
    ``shock_decisions_changed``: share of decisions that one number moved by its standard deviation may change.
    ``first_reason_kept``: share of adverse decisions whose first reason survives a little noise.
    ``test_rows_in_training``: share of test rows that stand in the training rows too. ``shared_entities``: for an
    entity of the contract, most of the test rows that may be of one that was trained on (customers recur; applicants
    should not); what is not named is reported. ``future_timestamps``: share of rows with a feature whose timestamp
    lies after the event. ``labels_not_yet_known``: share of the rows learned from whose outcome was not
    known when the test period began. ``future_changes_features``: share of rows whose features change when later
    records are taken away. ``missing_auc_lost``: AUC lost when ``missing_share`` of all values are missing.
    ``top_reasons_kept``: how much of the four strongest features stays the same, drawing the rows anew (Jaccard).
    """

    score_psi: Annotated[float, Meta(gt=0)] | None = 0.25
    feature_psi: Annotated[float, Meta(gt=0)] | None = None
    periods: Annotated[int, Meta(ge=1, le=60)] = 4
    worst_period_auc: Fraction | None = 0.5
    hosmer_lemeshow_p: Fraction | None = None
    jeffreys_p: Fraction | None = None
    input_lost_auc: Fraction | None = None
    direction_violations: Annotated[float, Meta(ge=0, lt=1)] | None = None
    contradicted_directions: Annotated[int, Meta(ge=0)] | None = None
    shock_decisions_changed: Fraction | None = None
    first_reason_kept: Fraction | None = 0.8
    test_rows_in_training: Share | None = 0.5
    shared_entities: dict[str, Share] = msgspec.field(default_factory=dict)
    future_timestamps: Share | None = 0.0
    labels_not_yet_known: Share | None = 0.0
    future_changes_features: Share | None = 0.0
    missing_share: Fraction = 0.1
    missing_auc_lost: Fraction | None = 0.15
    top_reasons_kept: Fraction | None = 0.8
    retrained: Retrained = Retrained()
    migration: Migration = Migration()
    scorecard: Scorecard = Scorecard()
    exposure: Exposure = Exposure()
    splitting: tuple[Splitting, ...] = ()
    scenarios: tuple[Scenario, ...] = ()


class Champion(Strict, frozen=True):
    """What the candidate must show against the champion on the same test rows.

    ``demand``: ``non_inferior`` (the difference of the AUCs is shown to be above ``-auc_margin``: the whole 95 %
    interval of the paired test lies there), ``superior`` (above 0), or ``report``. A difference that the
    rows cannot tell from the margin is no data: ``undecided`` says what follows. So does ``no_champion`` where there
    is none yet. ``cost_increase_max`` (per 1,000 decisions, by the contract's costs) and ``precision_loss_max`` limit
    the operating point in the same way; without them it is reported. ``rows``: most rows compared.
    """

    demand: Literal["non_inferior", "superior", "report"] = "non_inferior"
    auc_margin: Annotated[float, Meta(gt=0, lt=0.5)] = 0.02
    cost_increase_max: float | None = None
    precision_loss_max: Annotated[float, Meta(ge=0, lt=1)] | None = None
    undecided: Literal["report", "stop"] = "report"
    no_champion: Literal["report", "stop"] = "report"
    rows: Annotated[int, Meta(ge=100)] = 200_000


class Latency(Strict, frozen=True):
    """What the built model may take for a row, in microseconds of processor time, least of ``rounds`` rounds.

    ``one``: a single row, scored; ``one_explained``: with its reasons; ``batch``: a row of a batch of ``rows``.
    """

    one: Annotated[float, Meta(gt=0)] | None = 1_000.0
    one_explained: Annotated[float, Meta(gt=0)] | None = 10_000.0
    batch: Annotated[float, Meta(gt=0)] | None = None
    rounds: Annotated[int, Meta(ge=3, le=1000)] = 25
    rows: Annotated[int, Meta(ge=1)] = 1_000
