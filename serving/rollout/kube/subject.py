"""What one rollout is about: fixed when it began, kept in its status. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from serinus.errors import SerinusError

from ..status import RolloutStatus
from .names import service_of
from .resource import ModelRolloutSpec
from .seldon import Predictor, candidate_predictor


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """The champion's predictor as it was, which SeldonDeployment it was in, and the model's tier.

    A champion that someone takes out in mid-rollout is put back from this; one
    SeldonDeployment deleted and made anew under the same name is another one.
    """

    uid: str
    champion: Predictor
    tier: int | None = None

    def to_wire(self) -> dict[str, Any]:
        """As the status holds it."""
        tier = {} if self.tier is None else {"tier": self.tier}
        return {"uid": self.uid, "predictor": self.champion, **tier}


def from_wire(raw: dict[str, Any]) -> Subject:
    """Read ``status.target``."""
    return Subject(uid=str(raw["uid"]), champion=raw["predictor"], tier=raw.get("tier"))


TIER = "serinus.io/tier"
"""Label of a SeldonDeployment: how material its model is, 1 to 4. Who may set it decides what is asked for."""


def tier_of(deployment: dict[str, Any]) -> int | None:
    """The model's tier, None if its SeldonDeployment does not say one.

    Raises:
        SerinusError: SRN-ROLLOUT-003 if the label is none of 1, 2, 3, 4.
    """
    metadata = deployment["metadata"]
    text = (metadata.get("labels") or {}).get(TIER)
    if text is None:
        return None
    if text not in ("1", "2", "3", "4"):
        raise SerinusError(
            "SRN-ROLLOUT-003",
            f"the label {TIER} is {text!r}, which is no tier",
            where=f"seldondeployment/{metadata['name']}",
            hint="Set it to 1, 2, 3 or 4; 1 is the most material.",
        )
    return int(text)


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about one rollout that does not change while it runs."""

    namespace: str
    name: str
    uid: str
    spec: ModelRolloutSpec
    subject: Subject

    @property
    def target(self) -> str:
        """The SeldonDeployment's name."""
        return self.spec.target

    @property
    def champion(self) -> str:
        """The champion's predictor."""
        return str(self.subject.champion["name"])

    @property
    def candidate(self) -> str:
        """The candidate's predictor."""
        return self.spec.candidate.name

    def candidate_predictor(self) -> Predictor:
        """As it enters the SeldonDeployment: without traffic, or as the shadow that it begins as."""
        made = candidate_predictor(self.target, self.subject.champion, self.spec.candidate)
        first = self.spec.steps[0]
        if first.shadow:
            # Seldon labels a shadow's pods: begun as what it is first, it need not restart to become it.
            made |= {"shadow": True, "traffic": first.weight}
        return made

    @property
    def services(self) -> dict[str, str]:
        """Predictor → Service."""
        made = {self.champion: self.subject.champion, self.candidate: self.candidate_predictor()}
        return {name: service_of(self.target, predictor) for name, predictor in made.items()}


def removing(status: RolloutStatus) -> bool:
    """Is the candidate to go? Before its first step it only has no traffic yet."""
    return status.ending is not None
