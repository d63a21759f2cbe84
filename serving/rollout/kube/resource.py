"""What a ModelRollout, an approval and a command hold: their ``spec`` as types. Pure.

On the wire keys are camelCase, as everywhere on Kubernetes; a free-form object
(a predictor's spec) is left as it is.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from serinus.errors import SerinusError
from serinus.evidence import Guard

from ..spec import (
    Limits,
    Notification,
    Policy,
    Probability,
    RolloutSpec,
    Step,
    check,
    default_guards,
    default_steps,
)
from .names import predictor_of

Digest = Annotated[str, Meta(pattern="^sha256:[0-9a-f]{64}$")]
Name = Annotated[str, Meta(min_length=1, max_length=63, pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A misspelt key is an error, never a silently ignored default."""


class BundleRef(_Strict, frozen=True, kw_only=True):
    """A signed bundle by address and digest; a digest never changes its content."""

    uri: Annotated[str, Meta(min_length=1, max_length=2048)]
    digest: Digest


class Candidate(_Strict, frozen=True, kw_only=True):
    """What shall enter: a bundle in a copy of the champion's predictor, or a whole predictor."""

    bundle: BundleRef | None = None
    predictor: dict[str, Any] | None = None
    replicas: Annotated[int, Meta(ge=1, le=1000)] | None = None
    built_by: Annotated[str, Meta(max_length=253)] = ""

    @property
    def name(self) -> str:
        """The predictor's name."""
        return predictor_of(self.bundle.digest) if self.bundle else str((self.predictor or {})["name"])


class ModelRolloutSpec(_Strict, frozen=True, kw_only=True):
    """The ``spec`` of a ModelRollout."""

    target: Name
    candidate: Candidate
    started_by: Annotated[str, Meta(max_length=253)] = ""
    steps: tuple[Step, ...] = msgspec.field(default_factory=default_steps)
    guards: tuple[Guard, ...] = msgspec.field(default_factory=default_guards)
    alpha: Probability = 0.01
    beta: Probability = 0.05
    limits: Limits = Limits()
    on_inconclusive: Policy = "pause"
    on_no_data: Literal["pause", "rollback"] = "pause"
    rollback_window: str = "0s"
    notifications: tuple[Notification, ...] = ()
    paused: bool = False
    abort: bool = False

    def rollout(self, champion: str) -> RolloutSpec:
        """What the engine is asked to do, once it is known which predictor is the champion."""
        return RolloutSpec(
            model=self.target,
            candidate=self.candidate.name,
            champion=champion,
            steps=self.steps,
            guards=self.guards,
            alpha=self.alpha,
            beta=self.beta,
            limits=self.limits,
            on_inconclusive=self.on_inconclusive,
            on_no_data=self.on_no_data,
            rollback_window=self.rollback_window,
            notifications=self.notifications,
        )


class ApprovalSpec(_Strict, frozen=True, kw_only=True):
    """The ``spec`` of a RolloutApproval: one person's word for a rollout's next step."""

    rollout: Annotated[str, Meta(min_length=1, max_length=253)]
    by: Annotated[str, Meta(min_length=1, max_length=253)]
    reason: Annotated[str, Meta(min_length=1, max_length=2000)]
    role: Name = "approver"


class CommandSpec(_Strict, frozen=True, kw_only=True):
    """The ``spec`` of a RolloutCommand: what a person asked of a rollout."""

    rollout: Annotated[str, Meta(min_length=1, max_length=253)]
    command: Literal["pause", "resume", "abort", "promote"]
    by: Annotated[str, Meta(min_length=1, max_length=253)]
    reason: Annotated[str, Meta(max_length=2000)] = ""


def camel(name: str) -> str:
    """``min_requests`` → ``minRequests``."""
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def to_wire(value: Any) -> Any:
    """A spec as the API server holds it: camelCase, without what is not set."""
    if isinstance(value, msgspec.Struct):
        return {
            camel(name): to_wire(found)
            for name in value.__struct_fields__
            if (found := getattr(value, name)) is not None
        }
    if isinstance(value, tuple | list):
        return [to_wire(item) for item in value]
    return value


def read_spec[T: msgspec.Struct](raw: Any, kind: type[T], where: str) -> T:
    """A spec from the API server.

    Raises:
        SerinusError: SRN-ROLLOUT-001 naming field and value.
    """
    try:
        return msgspec.convert(_snake(raw, msgspec.inspect.type_info(kind)), kind)
    except msgspec.ValidationError as problem:
        raise SerinusError(
            "SRN-ROLLOUT-001",
            str(problem),
            where=where,
            hint="See docs/rollout.md for the fields; kubectl explain modelrollout.spec lists them.",
        ) from None


def read_rollout(resource: dict[str, Any]) -> ModelRolloutSpec:
    """A ModelRollout's spec, checked by the rules that the engine has beyond the schema.

    Raises:
        SerinusError: SRN-ROLLOUT-001 naming field and value.
    """
    where = f"modelrollout/{resource['metadata']['name']}"
    spec = read_spec(resource.get("spec"), ModelRolloutSpec, where)
    given = spec.candidate
    named = isinstance((given.predictor or {}).get("name"), str)
    if (given.bundle is None) == (given.predictor is None) or (given.predictor is not None and not named):
        raise SerinusError(
            "SRN-ROLLOUT-001",
            "the candidate is neither a bundle nor a predictor with a name",
            where=f"{where}, candidate",
            hint="Give exactly one: candidate.bundle, or candidate.predictor.",
        )
    check(spec.rollout("the champion"), where)
    return spec


_SNAKE = re.compile(r"(?<=[a-z0-9])([A-Z])")


def _snake(raw: Any, kind: msgspec.inspect.Type) -> Any:
    if isinstance(kind, msgspec.inspect.UnionType):
        kind = next(t for t in kind.types if not isinstance(t, msgspec.inspect.NoneType))
    if isinstance(kind, msgspec.inspect.StructType) and isinstance(raw, dict):
        fields = {field.name: field.type for field in kind.fields}
        renamed = {_SNAKE.sub(lambda m: f"_{m[1].lower()}", str(key)): value for key, value in raw.items()}
        return {key: _snake(value, fields[key]) if key in fields else value for key, value in renamed.items()}
    if isinstance(kind, msgspec.inspect.VarTupleType | msgspec.inspect.ListType) and isinstance(raw, list):
        return [_snake(item, kind.item_type) for item in raw]
    return raw
