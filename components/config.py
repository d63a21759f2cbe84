"""How a model is trained and what it must reach: ``model.yaml``, strict, every key optional.

The data contract says what the data mean; this says what to make of them. A contract
alone suffices: every key here has a default that fits any tabular data set.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from serinus.documents import UnreadableError, read_yaml
from serinus.durations import parse_duration
from serinus.errors import SerinusError

Fraction = Annotated[float, Meta(gt=0, lt=1)]
Share = Annotated[float, Meta(ge=0, le=1)]


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A misspelt key is an error, never a silently ignored default."""


class Split(_Strict, frozen=True):
    """How records become training, validation and test rows.

    With an event time the three follow each other in time, with ``gap`` between them
    (default: the label's delay, because the labels of the last days before a cut were
    not yet known at the cut) and the first ``warmup`` left out (windows reach back
    before the first record). Without a time the split is random by ``seed``, in the
    same proportion of outcomes.
    """

    train: Fraction = 0.6
    validation: Fraction = 0.2
    test: Fraction = 0.2
    gap: str | None = None
    warmup: str = "0s"
    seed: Annotated[int, Meta(ge=0)] = 7


class Lightgbm(_Strict, frozen=True):
    """LightGBM's parameters that may be tuned, by its own names.

    The objective is fixed, and parameters that distort the probabilities to fight
    class imbalance (``scale_pos_weight``, ``is_unbalance``) do not exist here: a
    threshold on a true probability does that work.
    """

    learning_rate: Annotated[float, Meta(gt=0, le=1)] = 0.05
    num_leaves: Annotated[int, Meta(ge=2, le=4096)] = 31
    max_depth: int = -1
    min_data_in_leaf: Annotated[int, Meta(ge=1)] = 40
    min_sum_hessian_in_leaf: Annotated[float, Meta(ge=0)] = 1e-3
    min_gain_to_split: Annotated[float, Meta(ge=0)] = 0.0
    feature_fraction: Annotated[float, Meta(gt=0, le=1)] = 0.9
    bagging_fraction: Annotated[float, Meta(gt=0, le=1)] = 1.0
    bagging_freq: Annotated[int, Meta(ge=0)] = 0
    lambda_l1: Annotated[float, Meta(ge=0)] = 0.0
    lambda_l2: Annotated[float, Meta(ge=0)] = 1.0
    max_bin: Annotated[int, Meta(ge=2, le=65535)] = 255
    cat_smooth: Annotated[float, Meta(ge=0)] = 20.0
    cat_l2: Annotated[float, Meta(ge=0)] = 10.0
    max_cat_threshold: Annotated[int, Meta(ge=1)] = 32
    path_smooth: Annotated[float, Meta(ge=0)] = 0.0
    extra_trees: bool = False


class Forest(_Strict, frozen=True):
    """Parameters of ``random_forest`` and ``extra_trees``, by scikit-learn's names.

    Depth is bounded by default: a forest grown to single rows is as large as its data,
    and reasons take time in proportion.
    """

    n_estimators: Annotated[int, Meta(ge=1, le=5000)] = 200
    max_depth: Annotated[int, Meta(ge=1)] | None = 8
    min_samples_leaf: Annotated[int, Meta(ge=1)] = 20
    max_features: Annotated[float, Meta(gt=0, le=1)] | Literal["sqrt", "log2"] = "sqrt"


class Boosting(_Strict, frozen=True):
    """Parameters of ``gradient_boosting`` and ``hist_gradient_boosting``, by scikit-learn's names;
    ``subsample`` is the former's, ``l2_regularization`` the latter's."""

    learning_rate: Annotated[float, Meta(gt=0, le=1)] = 0.1
    max_depth: Annotated[int, Meta(ge=1)] = 4
    min_samples_leaf: Annotated[int, Meta(ge=1)] = 20
    subsample: Annotated[float, Meta(gt=0, le=1)] = 1.0
    l2_regularization: Annotated[float, Meta(ge=0)] = 0.0


class Logistic(_Strict, frozen=True):
    """``c`` is the inverse of the penalty on scaled weights."""

    c: Annotated[float, Meta(gt=0)] = 1.0


Algorithm = Literal[
    "lightgbm",
    "random_forest",
    "extra_trees",
    "gradient_boosting",
    "hist_gradient_boosting",
    "logistic_regression",
]


class Training(_Strict, frozen=True):
    """How the model is fitted.

    ``parameters`` are LightGBM's; ``forest``, ``boosting`` and ``logistic`` those of the
    algorithms that they name.

    ``rounds`` is the most trees; training stops ``early_stopping`` rounds after the
    validation loss was best (0: never). ``calibration`` maps raw to believable
    probabilities on rows the trees have not seen; ``logistic`` suits few bad outcomes.
    ``mitigation: reweigh`` gives each training row the weight P(group) P(outcome) / P(group, outcome) (Kamiran and
    Calders 2012), so that outcome and protected group are independent in the weighted
    data; the attribute itself is used here only and is never an input of the model.
    ``exclude`` names features of the contract that the trees may not use, so that models
    with and without them can be compared under one contract (a search for a less
    discriminatory alternative begins with such a list).
    Up to ``out_of_fold_rows`` rows every training and validation row is also scored by
    a model that has not seen it (``folds`` parts), for whatever needs more rows than
    the test part has: calibration and fairness of small groups.
    """

    algorithm: Algorithm = "lightgbm"
    parameters: Lightgbm = Lightgbm()
    forest: Forest = Forest()
    boosting: Boosting = Boosting()
    logistic: Logistic = Logistic()
    seed: Annotated[int, Meta(ge=0)] = 7
    rounds: Annotated[int, Meta(ge=1, le=10000)] = 300
    early_stopping: Annotated[int, Meta(ge=0)] = 30
    calibration: Literal["isotonic", "logistic", "identity"] = "isotonic"
    mitigation: Literal["none", "reweigh"] = "none"
    exclude: tuple[str, ...] = ()
    folds: Annotated[int, Meta(ge=2, le=20)] = 5
    out_of_fold_rows: Annotated[int, Meta(ge=0)] = 20_000


class Gate(_Strict, frozen=True):
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


class Gates(_Strict, frozen=True):
    """What must hold before anything is registered. ``no_data: stop`` (the default)
    stops at a metric that could not be measured; ``report`` only reports it."""

    metrics: tuple[Gate, ...] = DEFAULT_GATES
    no_data: Literal["stop", "report"] = "stop"


class Scenario(_Strict, frozen=True):
    """A world that is not as it was: numbers multiplied, then shifted, kept in the contract's ranges; inputs lost;
    bad outcomes more frequent.

    ``bad_odds`` multiplies the odds of the bad outcome at every row (a downturn does not only change what
    applicants look like: equals default more often). ``auc_min``, ``approved_change_max`` (of the approved share,
    absolute), ``approved_bad_max`` (bad outcomes among the approved) and ``underestimated_max`` (bad outcomes over
    what the model expects) are limits; without them the scenario is reported.
    """

    name: Annotated[str, Meta(min_length=1, max_length=60)]
    multiply: dict[str, float] = {}
    add: dict[str, float] = {}
    missing: tuple[str, ...] = ()
    bad_odds: Annotated[float, Meta(gt=0)] = 1.0
    auc_min: float | None = None
    approved_change_max: Annotated[float, Meta(ge=0, le=1)] | None = None
    approved_bad_max: Annotated[float, Meta(ge=0, le=1)] | None = None
    underestimated_max: Annotated[float, Meta(gt=0)] | None = None


class Splitting(_Strict, frozen=True):
    """Somebody splits one amount into several smaller ones, to stay below what is noticed.

    Each row with a bad outcome that the model does not approve is played again as ``parts`` rows of an equal share of
    ``column`` at one entity, one right after the other; it escapes if every one of them is approved. ``entity``: whose
    histories see the earlier parts (default: all). ``escaped_max`` limits the share that escapes.
    """

    column: str
    parts: Annotated[int, Meta(ge=2, le=100)] = 5
    entity: str | None = None
    escaped_max: Annotated[float, Meta(ge=0, le=1)] | None = None


class Retrained(_Strict, frozen=True):
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


class Migration(_Strict, frozen=True):
    """How an entity's score moves between bands from one period to the next.

    ``entity``: of the contract (default: its first). ``bands``: equally filled on rows that no tree saw. ``moved_far``:
    most entities that may move two bands or more.
    """

    entity: str | None = None
    bands: Annotated[int, Meta(ge=2, le=20)] = 7
    moved_far: Fraction | None = None


class Challenge(_Strict, frozen=True):
    """How the model is challenged. A limit that is null makes its test a report that stops nothing.

    ``score_psi``, ``feature_psi``: PSI of test against training rows (0.25 is the credit industry's "act");
    where chance alone reaches further, chance is the limit. ``worst_period_auc``: over ``periods`` equal spans
    of the test rows. ``hosmer_lemeshow_p``, ``jeffreys_p``: least p-values; with many rows any model fails
    them, so they are reports by default. ``input_lost_auc``: most AUC that one lost input may cost.
    ``direction_violations``: share of rows that move against a direction that the contract declares; a report by
    default, since of the algorithms only LightGBM can be held to it.
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
    first_reason_kept: Fraction | None = 0.8
    test_rows_in_training: Share | None = 0.5
    shared_entities: dict[str, Share] = {}
    future_timestamps: Share | None = 0.0
    labels_not_yet_known: Share | None = 0.0
    future_changes_features: Share | None = 0.0
    missing_share: Fraction = 0.1
    missing_auc_lost: Fraction | None = 0.15
    top_reasons_kept: Fraction | None = 0.8
    retrained: Retrained = Retrained()
    migration: Migration = Migration()
    splitting: tuple[Splitting, ...] = ()
    scenarios: tuple[Scenario, ...] = ()


class Champion(_Strict, frozen=True):
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


class Latency(_Strict, frozen=True):
    """What the built model may take for a row, in microseconds of processor time, least of ``rounds`` rounds.

    ``one``: a single row, scored; ``one_explained``: with its reasons; ``batch``: a row of a batch of ``rows``.
    """

    one: Annotated[float, Meta(gt=0)] | None = 1_000.0
    one_explained: Annotated[float, Meta(gt=0)] | None = 10_000.0
    batch: Annotated[float, Meta(gt=0)] | None = None
    rounds: Annotated[int, Meta(ge=3, le=1000)] = 25
    rows: Annotated[int, Meta(ge=1)] = 1_000


class Identity(_Strict, frozen=True):
    """What model-risk staff ask first. ``tier`` 1 is the most material."""

    name: str = ""
    owner: str = ""
    purpose: str = ""
    tier: Annotated[int, Meta(ge=1, le=4)] = 3
    limits: tuple[str, ...] = ()


class ModelConfig(Identity, frozen=True):
    """The whole of ``model.yaml``. ``name`` defaults to the contract's."""

    apiVersion: Literal["serinus.io/v1"] = "serinus.io/v1"  # noqa: N815  the Kubernetes spelling
    kind: Literal["ModelConfig"] = "ModelConfig"
    split: Split = Split()
    training: Training = Training()
    gates: Gates = Gates()
    challenge: Challenge = Challenge()
    champion: Champion = Champion()
    latency: Latency = Latency()

    def identity(self) -> Identity:
        """Only the fields that say what the model is."""
        return Identity(**{name: getattr(self, name) for name in Identity.__struct_fields__})


def load_config(path: str | Path | None) -> ModelConfig:
    """Read and check ``model.yaml``; None gives the defaults.

    Raises:
        SerinusError: ``SRN-PIPELINE-020`` it cannot be read or is not YAML;
            ``-021`` a key is misspelt, out of range or of the wrong type;
            ``-022`` it contradicts itself.
    """
    if path is None:
        return ModelConfig()
    try:
        data = read_yaml(Path(path))
    except UnreadableError as error:
        raise SerinusError(
            "SRN-PIPELINE-020",
            f"the training config {error.what}",
            where=error.where,
            hint="Give the path of a YAML file, or leave --config out to train with the defaults.",
        ) from error
    return parse_config(data if data is not None else {}, ModelConfig, where=str(path))


def parse_config[T](data: Any, kind: type[T], *, where: str) -> T:
    """Check parsed YAML, or the JSON text of one part, as a config. Raises as ``load_config``."""
    try:
        config = (
            msgspec.json.decode(data, type=kind)
            if isinstance(data, str | bytes)
            else msgspec.convert(data, kind)
        )
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise SerinusError(
            "SRN-PIPELINE-021",
            f"not a training config: {error}",
            where=where,
            hint="Compare that key with docs/pipeline.md, which lists every key with its default.",
        ) from error
    parts = (config, *(getattr(config, name, None) for name in ("split", "gates", "challenge")))
    problems = [problem for part in parts for problem in _problems(part)]
    if problems:
        raise SerinusError(
            "SRN-PIPELINE-022",
            "; ".join(problems),
            where=where,
            hint="Mend each of these in the training config; docs/pipeline.md explains the keys.",
        )
    return config


def _problems(part: object) -> list[str]:
    found: list[str] = []
    if isinstance(part, Split):
        total = part.train + part.validation + part.test
        if abs(total - 1) > 1e-6:
            found.append(f"split: train, validation and test add up to {total:g}, not 1")
        for key, value in (("gap", part.gap), ("warmup", part.warmup)):
            try:
                parse_duration(value or "0s")
            except ValueError as error:
                found.append(f"split.{key}: {error}")
    if isinstance(part, Challenge):
        names = [scenario.name for scenario in part.scenarios]
        if len(names) != len(set(names)):
            found.append(f"challenge.scenarios: names repeat: {', '.join(names)}")
        for scenario in part.scenarios:
            changes = scenario.multiply or scenario.add or scenario.missing or scenario.bad_odds != 1
            if not changes:
                found.append(f"challenge.scenarios: {scenario.name} changes nothing")
    if isinstance(part, Gates):
        from components.evaluate.names import METRICS

        for gate in part.metrics:
            if gate.metric not in METRICS:
                found.append(f'gates: there is no metric "{gate.metric}"; there are {", ".join(METRICS)}')
            if gate.min is None and gate.max is None:
                found.append(f"gates: {gate.metric} needs min or max")
    return found
