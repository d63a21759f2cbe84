"""A home with a bundle, a log of one decision of each kind, and a policy for notices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from serinus.bundle import Bundle
from serinus.events import Decision, DecisionEvent, DecisionLog
from serinus.home import Home
from serinus.registry import Registry
from serinus.scoring import Scorer
from tests.support.bundles import small_bundle, small_home, small_records

POLICY: dict[str, Any] = {
    "apiVersion": "serinus.io/v1",
    "kind": "NoticePolicy",
    "creditor": {"name": "Bank & Sons", "address": ["1 Street", "Town"], "contact": "555-0100"},
    "jurisdictions": {
        "US": {
            "basis": "12 CFR 1002.9",
            "within": "30d",
            "max_reasons": 4,
            "letters": {
                "en": {
                    "title": "Notice of action taken",
                    "opening": ["Your application of {applied} was declined."],
                    "heading": "Reasons",
                    "closing": [
                        "Write to {creditor}, {address}; reference {request}.",
                        "The ECOA statement.",
                    ],
                    "placeholder": ["[Name]", "[Address]"],
                },
                "es": {
                    "title": "Aviso",
                    "opening": ["Su solicitud del {applied}."],
                    "heading": "Motivos",
                    "closing": ["{creditor}"],
                    "placeholder": ["[Nombre]"],
                    "dates": "%d/%m/%Y",
                    "reasons": {"amount": "El importe es inusualmente alto"},
                },
            },
        },
        "EU": {
            "basis": "GDPR 22",
            "within": "1w",
            "max_reasons": 2,
            "letters": {
                "en": {
                    "title": "Decision",
                    "opening": ["Declined."],
                    "heading": "Why",
                    "closing": ["You may ask for a person to decide."],
                    "placeholder": ["[Name]"],
                }
            },
        },
    },
}
SECRET = "Zebediah Q. Applicant"
DAY = "2026-09-21"


def event_of(
    bundle: Bundle, decision: str, name: str | None = None, *, explained: bool = True, **changed: Any
) -> DecisionEvent:
    """An honest decision of that kind, as the scorer logs it; ``changed`` forges it."""
    scorer = Scorer(bundle)
    for record in small_records(400):
        vector = scorer.vectorizer.encode(record)
        answer = scorer.one(vector, "always")
        if answer.decision == decision:
            break
    else:
        raise AssertionError(f"no {decision} among the records")
    data: dict[str, Any] = {
        "model": bundle.name,
        "version": bundle.version,
        "digest": bundle.digest,
        "predictor": "champion",
        "score": answer.score,
        "probability": answer.probability,
        "decision": decision,
        "reasons": answer.reasons if explained and decision != "approve" else (),
        "features": tuple(None if value != value else value for value in vector.tolist()),
    }
    return DecisionEvent(
        id=name or decision,
        source="/models/small/predictors/champion",
        time=f"{DAY}T10:00:00.000000Z",
        data=Decision(**(data | changed)),
    )


def installation(place: Path, policy: dict[str, Any] | None = None) -> tuple[Home, Bundle]:
    """The home and the bundle that decided."""
    bundle, home = small_bundle(place), small_home(place)
    Registry(home).register(bundle, by="ann", owner="cards", run="run-1")
    with DecisionLog(home.decisions / "small-champion.jsonl") as log:
        log.extend([event_of(bundle, kind) for kind in ("approve", "review", "decline")])
        log.extend([event_of(bundle, "decline", "batch.0"), event_of(bundle, "decline", "batch.1")])
        log.extend([event_of(bundle, "decline", "silent", explained=False)])
        log.extend([event_of(bundle, "decline", "forged", probability=0.99999)])
    (home.root / "notices.yaml").write_text(yaml.safe_dump(policy or POLICY))
    return home, bundle
