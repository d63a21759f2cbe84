"""``google.protobuf.Value`` to plain values and back: the part of JSON that protobuf can hold.

For messages of any pool: nothing here, nor in ``documents``, imports a definition of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Message = Any


def plain(value: Message) -> Any:
    """A ``Value`` as what JSON would give; whole numbers are ints, an unset one is None."""
    # Most cells are numbers other than 0, and asking for the kind costs more than reading.
    number = value.number_value
    if number:
        return int(number) if number.is_integer() else number
    kind = value.WhichOneof("kind")
    if kind == "number_value":
        return 0
    if kind is None or kind == "null_value":
        return None
    if kind == "list_value":
        return plain_list(value.list_value)
    if kind == "struct_value":
        return plain_struct(value.struct_value)
    return getattr(value, kind)


def plain_list(values: Message) -> list[Any]:
    """A ``ListValue`` as a list."""
    return [
        (int(number) if number.is_integer() else number) if (number := value.number_value) else plain(value)
        for value in values.values
    ]


def plain_struct(struct: Message) -> dict[str, Any]:
    """A ``Struct`` as a dict."""
    return {name: plain(value) for name, value in struct.fields.items()}


def put(value: Message, content: Any) -> None:
    """Set a ``Value`` to a plain value: text, a number, a bool, None, a list or a mapping of them.

    A mapping in an empty list or with no members is still a list or a mapping.
    """
    if isinstance(content, str):
        value.string_value = content
    elif isinstance(content, bool):
        value.bool_value = content
    elif isinstance(content, int | float):
        value.number_value = content
    elif content is None:
        value.null_value = 0
    elif isinstance(content, Mapping):
        value.struct_value.SetInParent()
        fields = value.struct_value.fields
        for name, item in content.items():
            put(fields[name], item)
    else:
        assert isinstance(content, Sequence)
        value.list_value.SetInParent()
        add = value.list_value.values.add
        for item in content:
            put(add(), item)
