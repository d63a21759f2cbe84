"""The custom resources as the API server is told of them, made from the types that read them. Pure.

What a type can say (ranges, enums, defaults) comes from the type; what it cannot
is a CEL rule here, with the words that a user sees when it refuses.
"""

from __future__ import annotations

from typing import Any

from ..status import Phase
from .descriptions import DOCS
from .names import APPROVAL, COMMAND, ROLLOUT, Kind
from .resource import ApprovalSpec, CommandSpec, ModelRolloutSpec
from .schema import FREE, structural

MOST_STEPS = 20
MOST_GUARDS = 20
MOST_NOTIFICATIONS = 10
DURATION = r"^[0-9]+(\\.[0-9]+)?(ms|s|m|h|d|w)$"
FIXED = ("target", "steps", "guards", "alpha", "beta")  # what evidence was gathered under, and for whom

Schema = dict[str, Any]


def rule(expression: str, message: str, **more: str) -> dict[str, str]:
    """One CEL rule with the message that a user sees."""
    return {"rule": expression, "message": message, **more}


def spec_schema() -> Schema:
    """The structural schema of a ModelRollout's spec."""
    spec = structural(ModelRolloutSpec, DOCS)
    fields = spec["properties"]
    _steps(fields["steps"])
    _guards(fields["guards"])
    _candidate(fields["candidate"])
    _notifications(fields["notifications"])
    for name in ("maxDuration", "noDataTimeout", "readyTimeout"):
        _duration(fields["limits"]["properties"][name])
    _duration(fields["rollbackWindow"])
    fields["abort"]["x-kubernetes-validations"] = [
        rule("self || !oldSelf", "an abort cannot be taken back; start another rollout")
    ]
    for name in FIXED:
        fields[name].setdefault("x-kubernetes-validations", []).append(
            rule("self == oldSelf", f"{name} cannot change once the rollout exists; start another one")
        )
    spec["x-kubernetes-validations"] = [
        rule(
            "has(self.startedBy) == has(oldSelf.startedBy)"
            " && (!has(self.startedBy) || self.startedBy == oldSelf.startedBy)",
            "startedBy cannot change: nobody approves their own rollout",
            fieldPath=".startedBy",
        )
    ]
    return spec


def _steps(field: Schema) -> None:
    field |= {"minItems": 1, "maxItems": MOST_STEPS, "x-kubernetes-list-type": "atomic"}
    field["items"]["properties"]["approval"]["properties"]["roles"] |= {
        "maxItems": 10,
        "x-kubernetes-list-type": "set",
        "items": {"type": "string", "minLength": 1, "maxLength": 63},
    }
    field["x-kubernetes-validations"] = [
        rule(
            "self.map(s, (s.shadow ? 0 : 1000) + s.weight).isSorted()"
            " && self.all(a, self.exists_one(b, a.weight == b.weight && a.shadow == b.shadow))",
            "weights must rise from step to step, and shadow steps come first: 5, 25, 50, 100",
        ),
        rule("self.exists(s, !s.shadow)", "every step is a shadow step; add one with live traffic"),
    ]


def _guards(field: Schema) -> None:
    field |= {
        "minItems": 1,
        "maxItems": MOST_GUARDS,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],  # names are unique, or the API server refuses
    }
    guard = field["items"]["properties"]
    guard["metric"]["maxLength"] = 63
    guard["edges"] |= {
        "maxItems": 64,
        "x-kubernetes-list-type": "atomic",
        "items": {"type": "string", "maxLength": 100},
    }
    field["x-kubernetes-validations"] = [
        rule(
            "self.exists(g, g.mode == 'enforce')",
            "no guard is enforced, so nothing could stop a bad candidate; set mode: enforce on one",
        )
    ]


def _candidate(field: Schema) -> None:
    predictor = field["properties"]["predictor"]
    name = {
        "type": "string",
        "minLength": 1,
        "maxLength": 40,
        "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        "description": "The predictor's name, not the champion's.",
    }
    predictor |= {
        "required": ["name", "graph"],
        "properties": {"name": name, "graph": {**FREE, "description": "Seldon's inference graph."}},
    }
    field["x-kubernetes-validations"] = [
        rule("has(self.bundle) != has(self.predictor)", "give exactly one of bundle and predictor"),
        rule(
            "has(self.bundle) == has(oldSelf.bundle) && (!has(self.bundle) || self.bundle == oldSelf.bundle)"
            " && (!has(self.predictor) || self.predictor == oldSelf.predictor)",
            "the candidate cannot change once the rollout exists; start another one",
        ),
        rule(
            "has(self.builtBy) == has(oldSelf.builtBy)"
            " && (!has(self.builtBy) || self.builtBy == oldSelf.builtBy)",
            "builtBy cannot change: nobody approves what they built",
            fieldPath=".builtBy",
        ),
    ]


def _notifications(field: Schema) -> None:
    field |= {"maxItems": MOST_NOTIFICATIONS, "x-kubernetes-list-type": "atomic"}
    item = field["items"]
    item["properties"]["url"] |= {"maxLength": 2048, "pattern": "^https?://"}
    item["properties"]["channel"] |= {"maxLength": 63, "pattern": "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"}
    item["properties"]["phases"] |= {
        "maxItems": len(Phase),
        "x-kubernetes-list-type": "set",
        "items": {"type": "string", "enum": [phase.value for phase in Phase]},
    }
    item["x-kubernetes-validations"] = [
        rule("has(self.url) != has(self.channel)", "give exactly one of url and channel")
    ]


def _duration(field: Schema) -> None:
    field["maxLength"] = 32
    field["x-kubernetes-validations"] = [
        rule(f"self.matches('{DURATION}')", "a duration is a number and a unit: 90s, 15m, 1h")
    ]


def _text(description: str) -> Schema:
    return {"type": "string", "description": description}


def _number(description: str, kind: str = "number") -> Schema:
    return {"type": kind, "description": description}


def status_schema() -> Schema:
    """The structural schema of a ModelRollout's status, as ``view`` writes it."""
    condition = {
        "type": "object",
        "required": ["type", "status", "reason", "message", "lastTransitionTime"],
        "properties": {
            "type": {"type": "string"},
            "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
            "reason": {"type": "string"},
            "message": {"type": "string"},
            "lastTransitionTime": {"type": "string", "format": "date-time"},
        },
    }
    guard = {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "outcome": _text("harm, clear, undecided or no_data."),
            "evidence": _number("log10 of the evidence of harm; 0 is none."),
            "reason": {"type": "string"},
        },
    }
    entry = {
        "type": "object",
        "properties": {
            "seq": {"type": "integer"},
            "at": {"type": "string", "format": "date-time"},
            "phase": {"type": "string"},
            "reason": {"type": "string"},
            "message": {"type": "string"},
            "actor": {"type": "string"},
            "weight": {"type": "integer"},
        },
    }
    properties: dict[str, Schema] = {
        "phase": {"type": "string", "enum": [phase.value for phase in Phase]},
        "reason": _text("Why it stands there, in one word."),
        "message": _text("The same in a sentence."),
        "champion": _text("Predictor that serves, or served when the rollout began."),
        "candidate": _text("Predictor that is tried."),
        "step": _number("Steps begun.", "integer"),
        "steps": _number("Steps in all.", "integer"),
        "weight": _number("The candidate's share of live traffic as decided, in percent.", "integer"),
        "share": _text("The same for people; tells a shadow apart."),
        "evidence": _text("log10 of the evidence of harm, and where it rolls back."),
        "requests": _number("Requests the candidate answered.", "integer"),
        "bad": _number("Of those, answered badly.", "integer"),
        "startedAt": {"type": "string", "format": "date-time"},
        "verifiedAt": {**_text("When the live routes last came to equal the plan."), "format": "date-time"},
        "observedGeneration": _number("Generation of the spec that was last read.", "integer"),
        "conditions": {
            "type": "array",
            "items": condition,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
        },
        "guards": {"type": "array", "items": guard, "x-kubernetes-list-type": "atomic"},
        "history": {
            "type": "array",
            "items": entry,
            "x-kubernetes-list-type": "atomic",
            "description": "What happened lately; Events and notifications tell the same.",
        },
        "told": _number("Number of the last entry that was told.", "integer"),
        "target": {**FREE, "description": "The champion's predictor as it was when the rollout began."},
        "engine": _text("All that a restarted controller needs, evidence included: JSON, deflated, base64."),
    }
    return {"type": "object", "properties": properties}


COLUMNS = [
    ("Target", ".spec.target", 0),
    ("Candidate", ".status.candidate", 0),
    ("Phase", ".status.phase", 0),
    ("Share", ".status.share", 0),
    ("Evidence", ".status.evidence", 0),
    ("Reason", ".status.reason", 0),
    ("Champion", ".status.champion", 1),
    ("Requests", ".status.requests", 1),
    ("Bad", ".status.bad", 1),
    ("Message", ".status.message", 1),
]


def model_rollouts() -> Schema:
    """The CustomResourceDefinition of ModelRollout."""
    columns = [
        {
            "name": name,
            "jsonPath": path,
            "type": "integer" if name in ("Requests", "Bad") else "string",
            **({"priority": priority} if priority else {}),
        }
        for name, path, priority in COLUMNS
    ]
    columns.append({"name": "Age", "jsonPath": ".metadata.creationTimestamp", "type": "date"})
    schema = _root("A rollout of one version of a model over another, judged by live evidence.")
    schema["properties"] |= {"spec": spec_schema(), "status": status_schema()}
    schema["x-kubernetes-validations"] = [
        rule("size(self.metadata.name) <= 63", "a rollout's name has at most 63 characters")
    ]
    made = _definition(ROLLOUT, "modelrollout", "mro", schema, columns, status=True)
    # So that the rollouts of one target can be asked for: kubectl get mro --field-selector spec.target=fraud
    made["spec"]["versions"][0]["selectableFields"] = [{"jsonPath": ".spec.target"}]
    return made


def rollout_approvals() -> Schema:
    """The CustomResourceDefinition of RolloutApproval."""
    schema = _root("One person's word for a rollout's next step. Made once, never changed.")
    schema["properties"]["spec"] = _once(structural(ApprovalSpec, DOCS), "an approval")
    columns = [
        {"name": name, "jsonPath": f".spec.{field}", "type": "string"}
        for name, field in (("Rollout", "rollout"), ("By", "by"), ("Role", "role"), ("Reason", "reason"))
    ]
    columns.append({"name": "Age", "jsonPath": ".metadata.creationTimestamp", "type": "date"})
    return _definition(APPROVAL, "rolloutapproval", "mroa", schema, columns, status=False)


def rollout_commands() -> Schema:
    """The CustomResourceDefinition of RolloutCommand."""
    schema = _root("What a person asked of a rollout. Made once, never changed.")
    schema["properties"]["spec"] = _once(structural(CommandSpec, DOCS), "a command")
    columns = [
        {"name": name, "jsonPath": f".spec.{field}", "type": "string"}
        for name, field in (
            ("Rollout", "rollout"),
            ("Command", "command"),
            ("By", "by"),
            ("Reason", "reason"),
        )
    ]
    columns.append({"name": "Age", "jsonPath": ".metadata.creationTimestamp", "type": "date"})
    return _definition(COMMAND, "rolloutcommand", "mroc", schema, columns, status=False)


def definitions() -> list[Schema]:
    """All of them, in the order of their dependence."""
    return [model_rollouts(), rollout_approvals(), rollout_commands()]


def _root(description: str) -> Schema:
    text = {"type": "string"}
    properties: Schema = {"apiVersion": text, "kind": text, "metadata": {"type": "object"}}
    return {
        "type": "object",
        "description": description,
        "required": ["spec"],
        "properties": properties,
    }


def _once(spec: Schema, what: str) -> Schema:
    return spec | {"x-kubernetes-validations": [rule("self == oldSelf", f"{what} cannot be changed")]}


def _definition(
    kind: Kind, singular: str, short: str, schema: Schema, columns: list[Schema], *, status: bool
) -> Schema:
    version: Schema = {
        "name": kind.version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "additionalPrinterColumns": columns,
    }
    if status:
        version["subresources"] = {"status": {}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{kind.group}"},
        "spec": {
            "group": kind.group,
            "names": {
                "kind": kind.kind,
                "listKind": f"{kind.kind}List",
                "plural": kind.plural,
                "singular": singular,
                "shortNames": [short],
                "categories": ["serinus"],
            },
            "scope": "Namespaced",
            "versions": [version],
        },
    }
