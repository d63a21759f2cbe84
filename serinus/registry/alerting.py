"""An alert on a model asks for a review of the version that answers customers."""

from __future__ import annotations

from serinus.alerts import Alert
from serinus.errors import SerinusError
from serinus.home import Home
from serinus.registry.review_book import ReviewBook
from serinus.registry.reviews import Trigger, load_policy
from serinus.registry.store import Registry

ACTOR = "serinus-alerts"


def ask_for_review(home: Home, alert: Alert) -> Trigger | None:
    """Open a trigger for the model's champion, once while the alert fires.

    Returns:
        None where nothing was opened: the alert is over, the policy names it for nothing, the
        model has no champion in this home's registry, or it asks already.

    Raises:
        SerinusError: ``SRN-REVIEW-001`` the policy; ``SRN-REGISTRY-001`` the registry cannot be used.
    """
    if not alert.firing or not home.registry_db.exists():
        return None
    policy, registry = load_policy(home), Registry(home)
    kind = policy.alerts.get(alert.name)
    if kind is None:
        return None
    try:
        champion = registry.get(alert.model, "champion")
    except SerinusError as error:
        if error.code != "SRN-REGISTRY-002":
            raise
        return None
    return ReviewBook(registry, policy).open(champion, kind, by=ACTOR, reason=alert.reason, cause=alert.cause)
