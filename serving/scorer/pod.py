"""What Seldon's operator tells a model container by ``PREDICTIVE_UNIT_PARAMETERS``, as flags.

The variable holds the graph's ``parameters``: a JSON list of ``name``, ``value``
and ``type`` (``INT``, ``FLOAT``, ``DOUBLE``, ``STRING`` or ``BOOL``). A name is a
flag's, with ``-`` or ``_``; ``model_uri``, which the operator adds where a
storage initialiser has fetched the model, is the bundle.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

VARIABLE = "PREDICTIVE_UNIT_PARAMETERS"
_SAME = {"model-uri": "bundle"}


class Parameter(msgspec.Struct, frozen=True):
    """One of the graph's parameters."""

    name: str
    value: str | int | float | bool
    type: Literal["INT", "FLOAT", "DOUBLE", "STRING", "BOOL"] = "STRING"


_decode = msgspec.json.Decoder(list[Parameter]).decode


def flags(environment: Mapping[str, str], actions: Iterable[argparse.Action]) -> list[str]:
    """The parameters as flags, to stand before those of the command line, which then win.

    Args:
        actions: the flags there are.

    Raises:
        ValueError: for what is not such a list, a name that is no flag, or a switch that is neither on nor off.
    """
    text = environment.get(VARIABLE, "")
    if not text:
        return []
    try:
        parameters = _decode(text)
    except msgspec.DecodeError as error:
        raise ValueError(f"{VARIABLE} is not a list of parameters ({error})") from error
    known = {option: action for action in actions for option in action.option_strings}
    made: list[str] = []
    for parameter in parameters:
        name = parameter.name.replace("_", "-")
        flag = f"--{_SAME.get(name, name)}"
        action = known.get(flag)
        if action is None or flag == "--help":
            raise ValueError(f'{VARIABLE}: there is no parameter "{parameter.name}"')
        value = str(parameter.value)
        if action.nargs != 0:
            made.append(f"{flag}={value}")
        elif value.lower() == "true":
            made.append(flag)
        elif value.lower() != "false":
            raise ValueError(f'{VARIABLE}: {parameter.name} is "{value}"; expected true or false')
    return made
