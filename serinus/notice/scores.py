"""What an applicant is told of a credit score that was bought and that the model read: from the logged features."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Collection, Mapping
from datetime import date, timedelta

import msgspec

from serinus.bundle import Bundle
from serinus.errors import SerinusError
from serinus.events import DecisionEvent
from serinus.notice.policy import Jurisdiction, Score

_FIRST_DAY = date(1970, 1, 1)
Features = Callable[[], Mapping[str, Collection[str]]]
"""The features of every model of an installation, by the model's name; asked for only where it matters."""


class Disclosure(msgspec.Struct, frozen=True, kw_only=True):
    """One score as it was used. ``factors`` are its provider's codes, the strongest first; ``created`` its day."""

    score: Score
    value: float
    created: date
    factors: tuple[str, ...]


def used_scores(
    event: DecisionEvent, bundle: Bundle, rules: Jurisdiction, features: Features = dict
) -> tuple[Disclosure, ...]:
    """The scores of the policy that the decision used, as they were logged with it.

    A model uses a score if it is a feature of its contract that training was not told to leave out, however little it
    weighed. Of a score that is another model's, or another version's, nothing is said. Whose it is, ``models`` of the
    policy says, or their having the feature: a name that nobody has is misspelt, and silence would be a letter with a
    hole.

    Args:
        features: of every model that there is, in any of its versions.

    Raises:
        SerinusError: ``SRN-NOTICE-009`` value, day or factors are missing or cannot be true, or what the policy
            declares is no feature of the model that reads the score, or of none at all.
    """
    left_out = bundle.provenance.get("config", {}).get("training", {}).get("exclude", ())
    found = [
        _disclosure(event, bundle, score)
        for score in rules.scores
        if score.feature not in left_out and _is_its(event, bundle, score, features)
    ]
    return tuple(item for item in found if item is not None)


def _is_its(event: DecisionEvent, bundle: Bundle, score: Score, features: Features) -> bool:
    """Whether the model that decided is one that the score is declared for."""
    names = bundle.contract.feature_names
    if score.models:
        if bundle.name not in score.models and score.feature in names:
            raise _misspelt(
                event,
                f"{bundle.name} has the feature {score.feature}, and scores declares it for "
                f"{', '.join(score.models)} only",
                f"Add {bundle.name} to models.",
            )
        if bundle.name not in score.models:
            return False
    if set(_needed(score)) & set(names):
        return True
    if score.models:
        # A version that reads the score no more, or not yet, used none; a name that no version has is misspelt.
        return score.feature not in features().get(bundle.name, ())
    known = dict(features())
    if any(score.feature in theirs for theirs in known.values()):
        return False
    all_names = sorted({*names, *(name for theirs in known.values() for name in theirs)})
    raise _misspelt(
        event,
        f"scores declares {', '.join(_needed(score))}, and no model here has a feature {score.feature}",
        f"Or name the models that read the score (models), or take it out until one does. "
        f"{_closest(_needed(score), all_names)}",
    )


def _needed(score: Score) -> tuple[str, ...]:
    return (score.feature, score.created, *score.factors)


def _closest(wanted: Collection[str], known: Collection[str]) -> str:
    """What was probably meant by the names that nobody has."""
    near = {
        name: difflib.get_close_matches(name, known, n=1, cutoff=0.6) for name in wanted if name not in known
    }
    meant = [f"{found[0]} for {name}" for name, found in near.items() if found]
    return (
        f"The closest names that there are: {', '.join(meant)}."
        if meant
        else "No name that there is comes close."
    )


def _misspelt(event: DecisionEvent, what: str, hint: str) -> SerinusError:
    return SerinusError(
        "SRN-NOTICE-009",
        f"whether {event.id} used a credit score cannot be told: {what}",
        where=f"{event.data.model} v{event.data.version}",
        hint=f"Nothing was written. Correct scores in the notice policy. {hint}",
    )


def _disclosure(event: DecisionEvent, bundle: Bundle, score: Score) -> Disclosure | None:
    names = bundle.contract.feature_names
    needed = _needed(score)
    if strange := [name for name in needed if name not in names]:
        raise _misspelt(
            event,
            f"scores declares {score.feature} with {', '.join(strange)}, which {bundle.name} does not have",
            _closest(strange, names),
        )
    logged = {name: _logged(event, bundle, name) for name in needed}
    value, day = logged[score.feature], logged[score.created]
    places = [logged[name] for name in score.factors]
    factors = tuple(code for code in places if code is not None)
    if value is None and day is None and not factors and score.missing == "allow":
        return None
    if not isinstance(value, float):
        raise _hole(event, f"{score.feature} was not logged with a value")
    if not score.low <= value <= score.high:
        raise _hole(
            event, f"{score.feature} is {value:g}, outside of its range of {score.low:g} to {score.high:g}"
        )
    if score.factors and not factors:
        raise _hole(
            event, f"none of the key factors of {score.feature} was logged ({', '.join(score.factors)})"
        )
    if None in places[: len(factors)]:
        first = score.factors[places.index(None)]
        raise _hole(
            event, f"{first} was not logged, or with a code that the model never saw, and a weaker factor was"
        )
    return Disclosure(
        score=score,
        value=value,
        created=_day(event, score, day),
        factors=_told(tuple(dict.fromkeys(_code(code) for code in factors)), score),
    )


def _day(event: DecisionEvent, score: Score, days: float | str | None) -> date:
    if not isinstance(days, float) or not days.is_integer():
        raise _hole(event, f"{score.created}, the day on which {score.feature} was created, was not logged")
    try:
        created = _FIRST_DAY + timedelta(days=days)
    except OverflowError:
        raise _hole(event, f"{score.created} is {days:g}, which is no day") from None
    # A day of grace: the log's time is in UTC, and a provider's day may have begun before.
    if created > date.fromisoformat(event.time[:10]) + timedelta(days=1):
        raise _hole(event, f"{score.feature} was created on {created}, after the decision")
    return created


def _told(factors: tuple[str, ...], score: Score) -> tuple[str, ...]:
    """The first ``max_factors``, and one that counts inquiries beside them if it is not among them."""
    chosen, rest = factors[: score.max_factors], factors[score.max_factors :]
    if any(code in score.inquiries for code in chosen):
        return chosen
    return chosen + tuple(code for code in rest if code in score.inquiries)[:1]


def _logged(event: DecisionEvent, bundle: Bundle, name: str) -> float | str | None:
    """A number, a level's text, or None where nothing stood or a level that training had not seen."""
    value = event.data.features[bundle.contract.feature_names.index(name)]
    if value is None or math.isnan(value):
        return None
    levels = bundle.levels.get(name)
    if levels is None:
        return float(value)
    return levels[int(value)] if value in range(len(levels)) else None


def _code(value: float | str) -> str:
    return f"{value:.0f}" if isinstance(value, float) and value.is_integer() else str(value)


def _hole(event: DecisionEvent, what: str) -> SerinusError:
    return SerinusError(
        "SRN-NOTICE-009",
        f"the credit score that {event.id} used cannot be disclosed: {what}",
        where=f"{event.data.model} v{event.data.version}",
        hint="Nothing was written. Find the score's report and write this letter by hand; then have whoever asks for "
        "decisions send the score with its day and key factors, or correct scores in the notice policy.",
    )
