"""Who wrote a SeldonDeployment's predictors last: we, or someone else. Pure.

The API server keeps it in ``metadata.managedFields``: whoever changes the list takes it
over. So a change by another hand is told from our own also in the instant of our own
write, and by a controller that has just been started.
"""

from __future__ import annotations

from typing import Any

from ..status import Routes
from .names import FIELD_MANAGER
from .seldon import edited, named, predictors

Object = dict[str, Any]


def own_predictors(found: Object) -> list[Object]:
    """Of ``managedFields``, who owns ``spec.predictors``: all that is worth keeping of it."""
    return [
        {"manager": entry.get("manager"), "fieldsV1": {"f:spec": {"f:predictors": {}}}}
        for entry in found.get("metadata", {}).get("managedFields") or []
        if "f:predictors" in ((entry.get("fieldsV1") or {}).get("f:spec") or {})
    ]


def another_hand(found: Object, candidate: str) -> str:
    """Names the change by which someone else made the predictors what they are; empty if it was we.

    Before the candidate is in them we have written nothing, so that whoever made the
    SeldonDeployment is not taken for an intruder. Each change of the spec is another
    generation, so the same change has the same name.
    """
    owners = {owner["manager"] for owner in own_predictors(found)}
    if not owners or FIELD_MANAGER in owners or named(predictors(found), candidate) is None:
        return ""
    return f"generation {found['metadata'].get('generation')}"


class Hands:
    """Tells edits of the routes by another hand from what is merely not written yet.

    What is remembered is of this process only. Without it, right after a restart, an edit
    of something else in the predictors may be told as one of the routes.
    """

    def __init__(self, champion: str, candidate: str) -> None:
        self._champion = champion
        self._candidate = candidate
        self._written: Routes | None = None
        self._agreed: Routes | None = None

    def wrote(self, routes: Routes) -> None:
        """We have written these."""
        self._written = routes

    def agree(self, routes: Routes) -> None:
        """These are the live routes."""
        self._agreed = routes

    def differs(self, found: Object, routes: Routes, *, removing: bool) -> str | None:
        """How the predictors differ from what ``routes`` asks for, or None."""
        return edited(
            predictors(found),
            routes,
            champion=self._champion,
            candidate=self._candidate,
            removing=removing,
        )

    def edit(self, found: Object, routes: Routes, *, removing: bool) -> str:
        """Names the edit by which they differ, if it is one."""
        name = another_hand(found, self._candidate)
        if not name or self.differs(found, routes, removing=removing) is None:
            return ""
        old = self._agreed
        if self._written != routes and old is not None and self.differs(found, old, removing=False) is None:
            return ""  # it left the routes as they were agreed on before: the new ones are for us to write
        return name
