"""A structural OpenAPI schema from a msgspec type, as a CRD wants it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import inspect

from .resource import camel, to_wire

Docs = Mapping[tuple[str, str], str]
FREE: dict[str, Any] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def structural(kind: type, docs: Docs) -> dict[str, Any]:
    """The schema of a struct, with defaults, limits and the description of each field.

    Args:
        kind: the struct; its fields may be structs, tuples of them, numbers,
            strings, booleans, literals, or a free-form ``dict``.
        docs: (struct's name, field) → what ``kubectl explain`` says.
    """
    return _of(inspect.type_info(kind), docs)


def _of(kind: inspect.Type, docs: Docs) -> dict[str, Any]:
    if isinstance(kind, inspect.Metadata):
        return _of(kind.type, docs)
    if isinstance(kind, inspect.UnionType):
        (only,) = (t for t in kind.types if not isinstance(t, inspect.NoneType))
        return _of(only, docs)
    if isinstance(kind, inspect.StructType):
        return _struct(kind, docs)
    if isinstance(kind, inspect.VarTupleType | inspect.ListType):
        return {"type": "array", "items": _of(kind.item_type, docs)}
    if isinstance(kind, inspect.LiteralType):
        return {"type": "string", "enum": list(kind.values)}
    if isinstance(kind, inspect.DictType):
        return dict(FREE)
    for known, name in (
        (inspect.BoolType, "boolean"),
        (inspect.IntType, "integer"),
        (inspect.FloatType, "number"),
        (inspect.StrType, "string"),
    ):
        if isinstance(kind, known):
            return {"type": name} | _limits(kind)
    raise TypeError(f"no schema for {kind}")


def _struct(kind: inspect.StructType, docs: Docs) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    required: list[str] = []
    for field in kind.fields:
        schema = _of(field.type, docs)
        schema = {"description": docs[(kind.cls.__name__, field.name)]} | schema
        if field.required:
            required.append(camel(field.name))
        else:
            default = _default(field.default, field.default_factory)
            if default is not None:
                schema["default"] = default
        properties[camel(field.name)] = schema
    found: dict[str, Any] = {"type": "object", "properties": properties}
    return found | ({"required": required} if required else {})


def _default(value: Any, factory: Any) -> Any:
    if value is msgspec.NODEFAULT:
        if factory is msgspec.NODEFAULT:
            return None
        make: Callable[[], Any] = factory
        value = make()
    wire = to_wire(value)
    return None if wire == "" else wire


def _limits(kind: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for ours, theirs, exclusive in (
        ("ge", "minimum", False),
        ("le", "maximum", False),
        ("gt", "minimum", True),
        ("lt", "maximum", True),
    ):
        limit = getattr(kind, ours, None)
        if limit is not None:
            found[theirs] = limit
            if exclusive:
                found["exclusiveMinimum" if theirs == "minimum" else "exclusiveMaximum"] = True
    for ours, theirs in (("min_length", "minLength"), ("max_length", "maxLength"), ("pattern", "pattern")):
        limit = getattr(kind, ours, None)
        if limit is not None:
            found[theirs] = limit
    return found
