"""The data contract: what a model's data mean, in one reading for every program.

Ingest checks, features, request validation in the scorer, drift binning and the
model card all read this one definition (design: "Contracts between rooms", 1).
The YAML form is documented by example in ``models/*/contract.yaml``.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

ColumnType = Literal["number", "integer", "category", "boolean", "timestamp", "id"]
Aggregate = Literal["count", "sum", "mean", "min", "max", "std"]
TimePart = Literal["day", "hour", "weekday", "is_weekend", "is_night"]
Name = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=63)]
ModelName = Annotated[str, Meta(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=40)]


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A misspelt key is an error, never a silently ignored default."""


class Column(_Strict, frozen=True, kw_only=True):
    """One column of the records.

    ``id`` columns name entities or events and never reach a model. ``missing``
    says what an absent value means: ``refuse`` makes it an error at ingest and in
    a request, ``allow`` hands it to the model as missing. ``categories`` pins
    the known levels; without it they are learned from the training data.
    ``unknown`` says what an unseen level means in a request.
    """

    type: ColumnType
    description: str = ""
    unit: str = ""
    min: float | None = None
    max: float | None = None
    categories: tuple[str, ...] | None = None
    missing: Literal["refuse", "allow"] = "refuse"
    unknown: Literal["refuse", "allow"] = "allow"


class Event(_Strict, frozen=True, kw_only=True):
    """Which columns identify and date a record.

    ``time`` is when the event happened; ``arrival`` when it became known, if
    that is recorded (default: the event time). Without a time there are no
    windows and the split is seeded rather than ordered; no date is invented.

    ``lateness`` is how far behind the newest event one may still come and find
    every event that its windows cover; histories are kept that much longer.
    ``late`` says what an event later than that means in a request: ``refuse``
    is an error, ``allow`` scores it with what the histories still hold.
    """

    id: str | None = None
    time: str | None = None
    arrival: str | None = None
    lateness: str = "7d"
    late: Literal["refuse", "allow"] = "refuse"


class Entity(_Strict, frozen=True, kw_only=True):
    """Whose history features read: the column that holds its key.

    ``unknown`` says what an entity without any event in reach of the windows
    means in a request: ``allow`` takes it as one with an empty past (count and
    sum 0, other aggregates missing), ``refuse`` makes it an error.
    """

    column: str
    unknown: Literal["refuse", "allow"] = "allow"


class Label(_Strict, frozen=True, kw_only=True):
    """The outcome. ``positive`` is the *bad* outcome (fraud, default, denial),
    so a higher score always means more risk. ``delay`` is how long after the
    event the outcome is known. ``positive_words`` and ``negative_words`` are what
    people who review cases call it (fraud, legitimate)."""

    column: str
    positive: str | int | float | bool = 1
    delay: str = "0s"
    description: str = ""
    positive_words: tuple[str, ...] = ()
    negative_words: tuple[str, ...] = ()


class Feature(_Strict, frozen=True, kw_only=True):
    """One model input, declared and not coded.

    Three forms, told apart by their keys:

    - a column as it is: ``column``;
    - a part of a timestamp column: ``column`` and ``part``;
    - an aggregate over an entity's history: ``entity``, ``aggregate``,
      ``window``, and ``column`` unless the aggregate is ``count``; ``delay``
      moves the window into the past.

    For an event at time *t* an aggregate covers the entity's earlier events
    with time in ``[t - delay - window, t - delay)`` that had arrived by *t*; the
    event itself is never in its own window. An aggregate over the label must
    have ``delay`` at least the label's delay. ``count`` and ``sum`` of no event
    are 0; the others are missing.
    """

    name: Name
    column: str | None = None
    part: TimePart | None = None
    entity: str | None = None
    aggregate: Aggregate | None = None
    window: str | None = None
    delay: str = "0s"
    missing: Literal["refuse", "allow"] | None = None
    monotone: Literal[-1, 0, 1] = 0
    reason: str = ""
    description: str = ""


class Decision(_Strict, frozen=True, kw_only=True):
    """Thresholds on the calibrated probability of the bad outcome: at or above
    ``decline_at`` decline, at or above ``review_at`` refer to a person, else
    approve. Costs are per decision, in ``currency``: of a good one declined, of a bad
    one approved, and of a person's look at one."""

    decline_at: Annotated[float, Meta(gt=0, le=1)] = 0.5
    review_at: Annotated[float, Meta(gt=0, le=1)] | None = None
    cost_false_positive: float | None = None
    cost_false_negative: float | None = None
    cost_review: float | None = None
    currency: str = ""
    max_reasons: Annotated[int, Meta(ge=1, le=10)] = 4

    @property
    def adverse_at(self) -> float:
        """From here on a decision is adverse: referred to a person, or declined where nobody is asked."""
        return self.decline_at if self.review_at is None else self.review_at


class FairnessMeasure(_Strict, frozen=True, kw_only=True):
    """One limit of the policy. Ratios have a ``min``, differences a ``max``.

    ``adverse_impact_ratio``: share of the group approved over share of the
    reference group approved (the four-fifths rule of 29 CFR 1607.4(D) is
    ``min: 0.8``). ``equal_opportunity_difference``: absolute difference in the
    share of *good* applicants approved. ``demographic_parity_difference``:
    absolute difference in the share approved. ``equalized_odds_difference``: the larger of
    the differences in the share approved among good and among bad outcomes (Hardt et al. 2016).
    """

    measure: Literal[
        "adverse_impact_ratio",
        "equal_opportunity_difference",
        "demographic_parity_difference",
        "equalized_odds_difference",
    ]
    min: float | None = None
    max: float | None = None


class Fairness(_Strict, frozen=True, kw_only=True):
    """The policy of one jurisdiction: configuration, never a constant.

    ``min_group`` is the number of rows below which a group is not judged: its
    verdict is *no data*, neither pass nor fail.

    ``evidence`` says what a value beyond its limit needs to be a failure: ``significant``, that
    its 95 % interval leaves equal treatment out (29 CFR 1607.4(D): differences on small numbers that
    are not statistically significant may not be adverse impact); ``interval``, that all of it lies
    beyond the limit, and all of it within for a pass; ``value``, nothing more. What lies between is
    *no data*.

    ``intersections`` are combinations of protected attributes whose groups are judged too
    (default: every pair), their intervals widened for the number of groups compared (Bonferroni).
    """

    jurisdiction: str
    measures: tuple[FairnessMeasure, ...]
    min_group: Annotated[int, Meta(ge=1)] = 30
    evidence: Literal["significant", "interval", "value"] = "significant"
    intersections: tuple[tuple[str, ...], ...] | None = None


class Protected(_Strict, frozen=True, kw_only=True):
    """A protected attribute: never a feature, kept apart from the decision log.
    ``reference`` is the group the others are compared with (default: the largest)."""

    column: str
    reference: str | None = None


class Privacy(_Strict, frozen=True, kw_only=True):
    """Whom a decision is about, so that it can be sealed with a key of theirs.

    ``subject`` is the column that names the person: of a record, or sent in the header
    ``Serinus-Subject`` with a feature vector. ``without`` says what a request that names nobody
    means: ``refuse`` is an error, ``request`` seals its decision with a key of its own.
    """

    subject: str
    without: Literal["refuse", "request"] = "refuse"


class Contract(_Strict, frozen=True, kw_only=True):
    """A model's data contract. See the module docstring and ``load_contract``."""

    apiVersion: Literal["serinus.io/v1"]  # noqa: N815  the Kubernetes spelling
    kind: Literal["DataContract"]
    name: ModelName
    version: Annotated[int, Meta(ge=1)] = 1
    description: str = ""
    columns: dict[str, Column]
    event: Event = Event()
    entities: dict[str, str | Entity] = {}
    label: Label
    features: tuple[Feature, ...]
    decision: Decision = Decision()
    protected: tuple[Protected, ...] = ()
    fairness: Fairness | None = None
    privacy: Privacy | None = None

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the model's inputs, in the order of the feature vector."""
        return tuple(feature.name for feature in self.features)

    def feature(self, name: str) -> Feature:
        """The feature of that name. Raises KeyError if there is none."""
        for feature in self.features:
            if feature.name == name:
                return feature
        raise KeyError(name)

    def entity(self, name: str) -> Entity:
        """The entity of that name; the short form ``name: column`` allows unknown ones.
        Raises KeyError if there is none."""
        entity = self.entities[name]
        return Entity(column=entity) if isinstance(entity, str) else entity

    def source(self, feature: Feature) -> Column | None:
        """The column a feature reads, or None for a count."""
        return self.columns[feature.column] if feature.column else None

    def is_categorical(self, feature: Feature) -> bool:
        """Whether the feature's values are levels rather than numbers."""
        column = self.source(feature)
        return (
            column is not None
            and column.type == "category"
            and feature.part is None
            and feature.aggregate is None
        )

    def allows_missing(self, feature: Feature) -> bool:
        """Whether the feature may be absent from a vector.

        The feature's own policy, else its column's; aggregates other than
        count and sum may be missing unless the contract refuses it, because an
        entity without history has none.
        """
        if feature.missing is not None:
            return feature.missing == "allow"
        if feature.aggregate is not None:
            return feature.aggregate not in ("count", "sum")
        column = self.source(feature)
        return column is not None and column.missing == "allow"
