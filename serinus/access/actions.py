"""Everything that the policy can allow: the list that roles' permissions are written in.

An action is ``OBJECT.VERB``. Reading is not among them where the operating system, or the
cluster's RBAC, decides who may read.
"""

from __future__ import annotations

ACTIONS: dict[str, str] = {
    "pipeline.run": "train, validate and register a version (serinus pipeline run)",
    "version.approve": "give one's word for a version (serinus registry approve)",
    "version.review": "record the review of a version that is in use",
    "version.stage": "move a version to another stage by hand",
    "rollout.start": "begin a rollout",
    "rollout.approve": "agree to a rollout's next step",
    "rollout.promote": "skip what is left of the analysis, never an approval",
    "rollout.pause": "hold the weights",
    "rollout.resume": "go on after a pause",
    "rollout.abort": "end a rollout with the champion",
    "review.answer": "take a case from the review queue, and answer it",
    "notice.issue": "write an adverse-action notice (serinus notice)",
    "audit.checkpoint": "sign how long each log is (serinus audit checkpoint)",
    "audit.export": "write an archive for an auditor (serinus audit export)",
    "retrain.release": "let retraining go on after it asked for a person",
    "keys.manage": "make, rotate and withdraw signing keys",
    "privacy.show": "see all that is kept of a person (serinus privacy show)",
    "privacy.hold": "hold a person's keys against erasure, and end that (serinus privacy hold, release)",
    "privacy.erase": "erase a person (serinus privacy erase)",
}
"""Action → what it is, in the words of ``serinus access show``."""

APPROVING: frozenset[str] = frozenset({"version.approve", "rollout.approve"})
"""Actions done *in a role*: who approves says as what, and must have that very role."""

EVERYDAY: dict[str, tuple[str, ...]] = {
    "developer": ("pipeline.run", "rollout.start", "rollout.pause", "rollout.abort"),
    "validator": (
        "version.approve",
        "version.review",
        "version.stage",
        "rollout.approve",
        "rollout.pause",
        "rollout.abort",
    ),
    "approver": ("version.approve", "version.stage", "rollout.approve", "rollout.pause", "rollout.abort"),
    "auditor": ("audit.checkpoint", "audit.export"),
    "operator": (
        "version.stage",
        "rollout.start",
        "rollout.promote",
        "rollout.pause",
        "rollout.resume",
        "rollout.abort",
        "audit.checkpoint",
        "retrain.release",
        "keys.manage",
    ),
    "privacy": ("privacy.show", "privacy.hold", "privacy.erase"),
    "reviewer": ("review.answer", "notice.issue"),
    "breakglass": ("version.approve", "rollout.approve"),
}
"""What the roles that have a name here may do, unless the policy says otherwise. Whoever looks after traffic may
stop it; that alone needs no second role."""

OTHER: tuple[str, ...] = ("version.approve", "rollout.approve")
"""What a role of the policy's own making may do: it was made to be asked for its word."""
