"""What ``kubectl explain`` says of each field."""

from __future__ import annotations

DOCS: dict[tuple[str, str], str] = {
    ("ModelRolloutSpec", "target"): "Name of the SeldonDeployment in this namespace whose traffic is moved.",
    ("ModelRolloutSpec", "candidate"): "What shall enter: exactly one of bundle and predictor.",
    ("ModelRolloutSpec", "started_by"): (
        "Who starts the rollout: your user name as the API server knows it (kubectl auth whoami). "
        "Needed when a step asks for approval; nobody approves their own rollout."
    ),
    ("ModelRolloutSpec", "steps"): "Shares of traffic in rising order, shadow steps first.",
    ("ModelRolloutSpec", "guards"): "What the candidate must not make worse than the champion.",
    ("ModelRolloutSpec", "alpha"): (
        "Chance that a candidate within every margin is ever rolled back, however often one looks."
    ),
    ("ModelRolloutSpec", "beta"): "Chance that a guard ever clears a candidate beyond both of its margins.",
    ("ModelRolloutSpec", "limits"): "How long each state may last.",
    ("ModelRolloutSpec", "on_inconclusive"): "What happens when maxDuration of judging has passed undecided.",
    ("ModelRolloutSpec", "on_no_data"): (
        "What happens when no request was counted for noDataTimeout. No data is neither a pass nor a fail."
    ),
    ("ModelRolloutSpec", "rollback_window"): (
        "How long the former champion stands by after promotion, to be rolled back to."
    ),
    ("ModelRolloutSpec", "notifications"): "Whom to tell of the rollout's turns, by an HTTP POST.",
    ("ModelRolloutSpec", "paused"): (
        "Holds the weights where they are; a harmful candidate is still rolled back."
    ),
    ("ModelRolloutSpec", "abort"): (
        "Ends the rollout with the champion at 100 %. Cannot be taken back; start another rollout."
    ),
    ("Candidate", "bundle"): (
        "A signed bundle, served by a copy of the champion's predictor with SERINUS_BUNDLE_URI and "
        "SERINUS_BUNDLE_DIGEST replaced and a name made from the digest."
    ),
    (
        "Candidate",
        "predictor",
    ): "A whole Seldon predictor; traffic, shadow and replicas are set by the rollout.",
    ("Candidate", "replicas"): "Replicas of the candidate; as many as the champion has if left out.",
    ("Candidate", "built_by"): (
        "Who built the candidate, from its manifest: nobody approves what they built. "
        "Where an access policy is in force, what asks for approvals does not begin without it."
    ),
    ("BundleRef", "uri"): "Where the bundle lies: s3://bucket/prefix or file:///path.",
    ("BundleRef", "digest"): "sha256: and the 64 hex digits of the bundle's manifest.",
    ("Step", "weight"): "Percent of the traffic that the candidate answers; in a shadow step, gets as well.",
    ("Step", "shadow"): "The candidate gets copies of requests and its answers go nowhere.",
    ("Step", "min_requests"): "Answers of the candidate within the step before the next one may begin.",
    ("Step", "min_seconds"): "Seconds since the step's weight was read back before the next one may begin.",
    ("Step", "analysis"): (
        "watch: go on as long as no guard shows harm. clear: only when each enforced guard excludes it."
    ),
    ("Step", "approval"): "Someone other than who started the rollout must agree before this weight is set.",
    ("Approval", "roles"): "Roles that must each have approved; empty: any one person.",
    ("Guard", "name"): "How reasons and evidence call it.",
    ("Guard", "metric"): "errors, latency, scores, decisions, missed or false_declines.",
    ("Guard", "side"): "The direction of harm, candidate against champion.",
    ("Guard", "margin_ratio"): "The odds ratio that is tolerated, at least 1.",
    ("Guard", "margin_absolute"): (
        "The difference of shares that is tolerated when a candidate is cleared: 0.005 is half a point."
    ),
    ("Guard", "slo"): "An absolute limit on the candidate's own share of bad answers.",
    ("Guard", "weight"): "The guard's share of the evidence, relative to the other enforced guards.",
    ("Guard", "mode"): "observe: computed and reported, moves nothing (a dry run). enforce: may roll back.",
    ("Guard", "edges"): "What each edge of a histogram is called in a reason.",
    (
        "Limits",
        "max_duration",
    ): "Time of judging before the rollout is inconclusive; waiting for people is free.",
    ("Limits", "no_data_timeout"): "How long no request may be counted before onNoData applies.",
    ("Limits", "ready_timeout"): "How long the candidate may be unready before it is rolled back.",
    ("Notification", "url"): "Where to POST. One of url and channel.",
    ("Notification", "channel"): "Name of a file of the controller that holds the URL, for secret addresses.",
    ("Notification", "format"): "generic: the entry as JSON. slack: a message that Slack understands.",
    ("Notification", "phases"): "Phases to tell of; empty means all.",
    ("ApprovalSpec", "rollout"): "Name of the ModelRollout in this namespace.",
    ("ApprovalSpec", "by"): "Your user name as the API server knows it (kubectl auth whoami).",
    ("ApprovalSpec", "reason"): "What you looked at and why it may go on. Kept in the history.",
    ("ApprovalSpec", "role"): (
        "The role in which you approve. Roles other than approver are granted by RBAC: "
        "verb approve on rolloutroles.serinus.io, resource name the role."
    ),
    ("CommandSpec", "rollout"): "Name of the ModelRollout in this namespace.",
    ("CommandSpec", "command"): "pause, resume, abort, or promote (skip analysis, never an approval).",
    ("CommandSpec", "by"): "Your user name as the API server knows it (kubectl auth whoami).",
    ("CommandSpec", "reason"): "Why. Kept in the history.",
}
