"""What an applicant is told of a credit score that was bought and that the model read: from the logged features."""

from __future__ import annotations

import math
from datetime import date, timedelta

import msgspec

from serinus.bundle import Bundle
from serinus.errors import SerinusError
from serinus.events import DecisionEvent
from serinus.notice.policy import Jurisdiction, Score

_FIRST_DAY = date(1970, 1, 1)


class Disclosure(msgspec.Struct, frozen=True, kw_only=True):
    """One score as it was used. ``factors`` are its provider's codes, the strongest first; ``created`` its day."""

    score: Score
    value: float
    created: date
    factors: tuple[str, ...]


def used_scores(event: DecisionEvent, bundle: Bundle, rules: Jurisdiction) -> tuple[Disclosure, ...]:
    """The scores of the policy that the decision used, as they were logged with it.

    A model uses a score if it is a feature of its contract that training was not told to leave out, however little it
    weighed. A model without it used none, and nothing is said; what is declared and not in the log is refused.

    Raises:
        SerinusError: ``SRN-NOTICE-009`` value, day or factors are missing or cannot be true.
    """
    left_out = bundle.provenance.get("config", {}).get("training", {}).get("exclude", ())
    found = [_disclosure(event, bundle, score) for score in rules.scores if score.feature not in left_out]
    return tuple(item for item in found if item is not None)


def _disclosure(event: DecisionEvent, bundle: Bundle, score: Score) -> Disclosure | None:
    names = bundle.contract.feature_names
    needed = (score.feature, score.created, *score.factors)
    if not set(needed) & set(names):
        return None  # another model's
    for name in needed:
        if name not in names:
            raise _hole(
                event, f"the policy declares {score.feature} with {name}, which is no feature of the model"
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
