"""A logged decision made again: the bundle that made it, the vector that was scored, years later.

Pure: a decision event and an opened (hence verified) bundle in, a comparison
out. What was logged is compared with what comes out now, number by number.
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec
import numpy as np

from serinus.bundle import Bundle
from serinus.errors import SerinusError
from serinus.events import Decision
from serinus.model import Answer, ReasonCode
from serinus.model.ensemble import Warn
from serinus.scoring import Scorer, to_stderr

PROBABILITY_WITHIN = 1e-9
"""What scores may differ by and still count as reproduced: another kernel may add in another order."""
CONTRIBUTION_WITHIN = 2e-6
"""The same for contributions, which are logged to six decimals."""

Outcome = Literal["identical", "within_tolerance", "different", "not_logged"]


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was logged, and what it is now.

    ``outcome``: ``identical`` to the bit; ``within_tolerance``; ``different``;
    ``not_logged`` where nothing was logged that could be compared.
    """

    what: str
    logged: float | str | None
    now: float | str | None
    outcome: Outcome


class Feature(msgspec.Struct, frozen=True, kw_only=True):
    """A feature as it was scored; a category by its level's text, None where it was missing."""

    name: str
    value: float | str | None


class Recomputed(msgspec.Struct, frozen=True, kw_only=True):
    """A decision, logged and made again.

    Attributes:
        reproduced: nothing that was logged differs.
        reasons: what speaks against the applicant now, logged or not.
        backend: what computed, ``native`` or ``library``.
    """

    reproduced: bool
    compared: tuple[Compared, ...]
    features: tuple[Feature, ...]
    reasons: tuple[ReasonCode, ...]
    backend: str


def recompute(logged: Decision, bundle: Bundle, *, warn: Warn = to_stderr) -> Recomputed:
    """Score the logged vector with the bundle that decided and compare.

    Args:
        logged: the decision as it stands in the log.
        bundle: the bundle with the decision's digest.
        warn: told why the compiled kernel does not serve this model, if it does not.

    Raises:
        SerinusError: ``SRN-AUDIT-006`` the bundle is another one; ``-007`` the logged vector
            does not fit it; ``SRN-SCORE-001`` the model gives no usable probability.
    """
    if bundle.digest != logged.digest:
        raise SerinusError(
            "SRN-AUDIT-006",
            f"this bundle is {bundle.digest}; the decision was made by {logged.digest}",
            where=str(bundle.path),
            hint=f"Name the bundle of {logged.model} v{logged.version} with --bundle.",
        )
    contract = bundle.contract
    if len(logged.features) != len(contract.features):
        raise SerinusError(
            "SRN-AUDIT-007",
            f"{len(logged.features)} features were logged, the model has {len(contract.features)}",
            where=f"{logged.model} v{logged.version}",
            hint="The scorer that logged it was faulty, or its log was forged; keep both and compare.",
        )
    vector = np.array([math.nan if value is None else value for value in logged.features], dtype=np.float64)
    scorer = Scorer(bundle, warn=warn)
    answer = scorer.one(vector, "always")
    compared = (
        _number("score", logged.score, answer.score, PROBABILITY_WITHIN),
        _number("probability", logged.probability, answer.probability, PROBABILITY_WITHIN),
        _text("decision", logged.decision, answer.decision),
        *_reasons(logged.reasons, answer),
    )
    return Recomputed(
        reproduced=all(item.outcome != "different" for item in compared),
        compared=compared,
        features=tuple(
            Feature(name=feature.name, value=_readable(value, bundle.levels.get(feature.name)))
            for feature, value in zip(contract.features, logged.features, strict=True)
        ),
        reasons=answer.reasons,
        backend=scorer.backend,
    )


def _number(what: str, logged: float, now: float, within: float) -> Compared:
    apart = abs(logged - now)
    outcome: Outcome = (
        "identical" if logged == now else "within_tolerance" if apart <= within else "different"
    )
    return Compared(what=what, logged=logged, now=now, outcome=outcome)


def _text(what: str, logged: str, now: str) -> Compared:
    return Compared(what=what, logged=logged, now=now, outcome="identical" if logged == now else "different")


def _reasons(logged: tuple[ReasonCode, ...], answer: Answer) -> list[Compared]:
    if not logged:
        # The scorer was told not to explain this one; that there are reasons now contradicts nothing.
        return [Compared(what="reasons", logged=None, now=_codes(answer.reasons), outcome="not_logged")]
    found = [_text("reasons", _codes(logged), _codes(answer.reasons))]
    if found[0].outcome == "identical":
        for old, new in zip(logged, answer.reasons, strict=True):
            found.append(
                _number(f"{old.code} contribution", old.contribution, new.contribution, CONTRIBUTION_WITHIN)
            )
            found.append(_text(f"{old.code} text", old.text, new.text))
    return found


def _codes(reasons: tuple[ReasonCode, ...]) -> str:
    return ", ".join(f"{reason.code} {reason.feature}" for reason in reasons) or "none"


def _readable(value: float | None, levels: tuple[str, ...] | None) -> float | str | None:
    if value is None or levels is None:
        return value
    return levels[int(value)] if value in range(len(levels)) else value
