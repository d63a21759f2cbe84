"""The principal reasons of a decision: as logged, by the model that decided, in the number that the policy allows."""

from __future__ import annotations

import math

import msgspec
import numpy as np

from serinus.bundle import Bundle
from serinus.errors import SerinusError
from serinus.events import DecisionEvent
from serinus.model import ReasonCode, reason_codes
from serinus.notice.policy import Jurisdiction
from serinus.recompute import recompute
from serinus.scoring import Scorer

MOST = 10


def check_adverse(event: DecisionEvent) -> None:
    """Whether a decision is one that a notice is due for: a decline, and nothing else.

    Raises:
        SerinusError: ``SRN-NOTICE-002`` it was approved; ``-003`` it was referred to a person.
    """
    decision = event.data.decision
    if decision == "decline":
        return
    if decision == "approve":
        raise SerinusError(
            "SRN-NOTICE-002",
            f"{event.id} was approved; a notice of adverse action would be untrue",
            where=event.source,
            hint="Check the request id. Nothing was written, and nothing entered in the audit log.",
        )
    raise SerinusError(
        "SRN-NOTICE-003",
        f"{event.id} was referred to a person (the decision is {decision}); the model took no adverse action",
        where=event.source,
        hint="Whoever decides it gives the reasons, which are not the model's alone. Nothing was written.",
    )


def principal_reasons(
    event: DecisionEvent, bundle: Bundle, rules: Jurisdiction
) -> tuple[tuple[ReasonCode, ...], str]:
    """The reasons that the notice gives, the strongest first, and whence: ``logged`` or ``recomputed`` (where the
    scorer was told not to explain; the bundle that decided gives the same).

    Raises:
        SerinusError: ``SRN-NOTICE-005`` the bundle that decided does not come to the logged decision again;
            ``-006`` nothing speaks against the applicant; as ``recompute``.
    """
    again = recompute(event.data, bundle, warn=lambda _: None)
    if not again.reproduced:
        different = ", ".join(item.what for item in again.compared if item.outcome == "different")
        raise SerinusError(
            "SRN-NOTICE-005",
            f"the decision on {event.id} is not reproduced by the bundle that is said to have made it: {different}",
            where=f"{event.data.model} v{event.data.version}",
            hint=f"Nothing was written. `serinus explain {event.id}` shows what differs; find out why before "
            "anybody is told a reason.",
        )
    # The same ranking, further down than the contract shows.
    decision = msgspec.structs.replace(bundle.contract.decision, max_reasons=MOST)
    contract = msgspec.structs.replace(bundle.contract, decision=decision)
    vector = np.array(
        [[math.nan if value is None else value for value in event.data.features]], dtype=np.float64
    )
    ranked = reason_codes(contract, Scorer(bundle, warn=lambda _: None).contributions(vector)[0])
    chosen = ranked[: rules.max_reasons]
    extra = [reason for reason in ranked[rules.max_reasons :] if reason.feature in rules.inquiries]
    if not any(reason.feature in rules.inquiries for reason in chosen):
        chosen += tuple(extra[:1])
    if not chosen:
        raise SerinusError(
            "SRN-NOTICE-006",
            f"no feature speaks against {event.id}, so there is no reason that could be given",
            where=f"{event.data.model} v{event.data.version}",
            hint="A decline without a reason is a fault of the model or its threshold; have a person decide.",
        )
    return chosen, "logged" if event.data.reasons else "recomputed"
