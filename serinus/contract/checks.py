"""What a contract must not contradict: one rule per function, all problems at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from serinus.contract.types import Contract, Feature
from serinus.durations import parse_duration
from serinus.numerals import exact


def problems(contract: Contract) -> list[str]:
    """Every contradiction in the contract, in reading order; empty if sound."""
    rules = (_columns, _event, _label, _entities, _features, _protected, _fairness, _decision, _privacy)
    return [problem for rule in rules for problem in rule(contract)]


def _unknown(contract: Contract, column: str | None, what: str) -> Iterator[str]:
    if column is not None and column not in contract.columns:
        near = ", ".join(contract.columns) or "none"
        yield f'{what} names column "{column}", which is not among the columns ({near})'


def _columns(contract: Contract) -> Iterator[str]:
    for name, column in contract.columns.items():
        if column.min is not None and column.max is not None and column.min > column.max:
            yield f"column {name}: min {exact(column.min)} is above max {exact(column.max)}"
        if column.categories is not None and column.type != "category":
            yield f"column {name}: categories are given but its type is {column.type}"
        if (column.min is not None or column.max is not None) and column.type not in ("number", "integer"):
            yield f"column {name}: min or max is given but its type is {column.type}"


def _event(contract: Contract) -> Iterator[str]:
    event = contract.event
    for key, column in (("id", event.id), ("time", event.time), ("arrival", event.arrival)):
        yield from _unknown(contract, column, f"event.{key}")
    for key, column in (("time", event.time), ("arrival", event.arrival)):
        if column in contract.columns and contract.columns[column].type != "timestamp":
            yield f"event.{key} names {column}, whose type is {contract.columns[column].type}, not timestamp"
    if event.arrival and not event.time:
        yield "event.arrival is given without event.time"
    yield from _duration(event.lateness, "event.lateness")


def _label(contract: Contract) -> Iterator[str]:
    yield from _unknown(contract, contract.label.column, "label.column")
    yield from _duration(contract.label.delay, "label.delay")


def _entities(contract: Contract) -> Iterator[str]:
    for entity in contract.entities:
        yield from _unknown(contract, contract.entity(entity).column, f"entities.{entity}")


def _duration(text: str | None, what: str) -> Iterator[str]:
    if text is not None:
        try:
            parse_duration(text)
        except ValueError as error:
            yield f"{what}: {error}"


def _features(contract: Contract) -> Iterator[str]:
    if not contract.features:
        yield "features: a model needs at least one"
    for name, times in Counter(contract.feature_names).items():
        if times > 1:
            yield f'features: the name "{name}" is used {times} times'
    for feature in contract.features:
        yield from _feature(contract, feature)


def _feature(contract: Contract, feature: Feature) -> Iterator[str]:
    what = f"feature {feature.name}"
    before = list(_unknown(contract, feature.column, what))
    before += list(_duration(feature.window, f"{what}, window"))
    before += list(_duration(feature.delay, f"{what}, delay"))
    if before:
        yield from before
        return
    if feature.aggregate is not None:
        yield from _aggregate(contract, feature, what)
    elif feature.entity or feature.window:
        yield f"{what}: entity or window is given without aggregate (count, sum, mean, min, max or std)"
    elif feature.column is None:
        yield f"{what}: give a column, or an entity with an aggregate and a window"
    elif feature.column == contract.label.column:
        yield f"{what}: it is the label itself; a model must not read its own answer"
    elif feature.part is not None and contract.columns[feature.column].type != "timestamp":
        yield f"{what}: part is given but {feature.column} is not a timestamp"
    elif feature.part is None and contract.columns[feature.column].type in ("id", "timestamp"):
        kind = contract.columns[feature.column].type
        yield f"{what}: a column of type {kind} cannot be a model input as it is"


def _aggregate(contract: Contract, feature: Feature, what: str) -> Iterator[str]:
    if feature.entity not in contract.entities:
        known = ", ".join(contract.entities) or "none"
        yield f'{what}: entity "{feature.entity}" is not among the entities ({known})'
    if feature.window is None:
        yield f"{what}: an aggregate needs a window, such as 7d"
    elif parse_duration(feature.window) <= 0:
        yield f"{what}: the window must be longer than nothing"
    if not contract.event.time:
        yield f"{what}: a window needs event.time"
    if feature.aggregate == "count":
        if feature.column is not None:
            yield f"{what}: count takes no column"
        return
    if feature.column is None:
        yield f"{what}: {feature.aggregate} needs a column"
    elif feature.column == contract.label.column:
        if parse_duration(feature.delay) < parse_duration(contract.label.delay):
            yield (
                f"{what}: it reads the label {feature.delay} after the event, but the label is known only "
                f"after {contract.label.delay}; set delay: {contract.label.delay} or more"
            )
    elif contract.columns[feature.column].type not in ("number", "integer", "boolean"):
        kind = contract.columns[feature.column].type
        yield f"{what}: {feature.aggregate} needs a number, and {feature.column} is {kind}"


def _protected(contract: Contract) -> Iterator[str]:
    used = {feature.column for feature in contract.features}
    for protected in contract.protected:
        yield from _unknown(contract, protected.column, "protected")
        if protected.column in used:
            yield f"protected attribute {protected.column} is used by a feature"


def _fairness(contract: Contract) -> Iterator[str]:
    if contract.fairness is None:
        return
    if not contract.protected:
        yield "fairness: a policy is given but no protected attribute"
    for measure in contract.fairness.measures:
        ratio = measure.measure.endswith("_ratio")
        if ratio and (measure.min is None or measure.max is not None):
            yield f"fairness: {measure.measure} takes min, not max"
        if not ratio and (measure.max is None or measure.min is not None):
            yield f"fairness: {measure.measure} takes max, not min"
    known = {protected.column for protected in contract.protected}
    for combination in contract.fairness.intersections or ():
        named = " x ".join(combination)
        for column in combination:
            if column not in known:
                yield f'fairness: the intersection {named} names "{column}", which is not under protected'
        if len(set(combination)) < 2:
            yield f"fairness: the intersection {named or '[]'} needs two or more different attributes"


def _privacy(contract: Contract) -> Iterator[str]:
    if contract.privacy is None:
        return
    subject = contract.privacy.subject
    yield from _unknown(contract, subject, "privacy.subject")
    if subject in contract.columns and contract.columns[subject].type != "id":
        yield f"privacy.subject names {subject}, whose type is {contract.columns[subject].type}, not id"


def _decision(contract: Contract) -> Iterator[str]:
    decision = contract.decision
    if decision.review_at is not None and decision.review_at > decision.decline_at:
        yield f"decision: review_at {exact(decision.review_at)} is above decline_at {exact(decision.decline_at)}"
