"""The values of flags: text to what it means, or what is wrong with it (argparse prints that and exits with 2)."""

from __future__ import annotations

import math
from argparse import ArgumentTypeError

from serinus.durations import parse_duration

_SIZES = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def duration(text: str) -> float:
    """Seconds of a duration such as ``90s`` or ``1d``."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error


def duration_text(text: str) -> str:
    """A duration as it was written."""
    duration(text)
    return text


def interval(text: str) -> float:
    """Seconds of a duration from a millisecond to a minute."""
    given = duration(text)
    if not 0.001 <= given <= 60:
        raise ArgumentTypeError(f"{text} is not between 1ms and 60s")
    return given


def every(text: str) -> float | None:
    """Seconds of a duration; None for ``never``."""
    return None if text == "never" else duration(text)


def size(text: str) -> int:
    """Bytes of a size such as ``65536`` or ``256MiB``."""
    number = text.rstrip("KMGiB")
    unit = _SIZES.get(text[len(number) :])
    if unit is None or not (number.isascii() and number.isdecimal()) or int(number) == 0:
        raise ArgumentTypeError(f"{text} is not a size such as 65536, 512KiB, 256MiB or 1GiB")
    return int(number) * unit


def size_or_never(text: str) -> int | None:
    """As ``size``; None for ``never``."""
    return None if text == "never" else size(text)


def port(text: str) -> int:
    """A TCP port; 0 is one that the kernel chooses."""
    if not (text.isascii() and text.isdecimal() and int(text) <= 65535):
        raise ArgumentTypeError(f"{text} is not a port (0 to 65535)")
    return int(text)


def port_or_off(text: str) -> int | None:
    """As ``port``; None for ``off``."""
    return None if text == "off" else port(text)


def path(text: str) -> str:
    """A path of a URL."""
    if not (text.startswith("/") and text.isascii() and text.isprintable() and " " not in text):
        raise ArgumentTypeError(f'"{text}" is not a path such as /prometheus')
    return text


def positive(text: str) -> int:
    """A whole number above 0."""
    if not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise ArgumentTypeError(f"{text} is not a whole number above 0")
    return int(text)


def seconds(text: str) -> float:
    """Seconds up to an hour, 0 included."""
    given = _number(text)
    if not 0 <= given <= 3600:
        raise ArgumentTypeError(f"{text} is not a number of seconds (0 to 3600)")
    return given


def some_seconds(text: str) -> float:
    """As ``seconds``, without 0."""
    given = _number(text)
    if not 0 < given <= 3600:
        raise ArgumentTypeError(f"{text} is not a number of seconds (above 0, to 3600)")
    return given


def share(text: str) -> float:
    """A number from 0 to 1."""
    given = _number(text)
    if not 0 <= given <= 1:
        raise ArgumentTypeError(f"{text} is not a share (0 to 1)")
    return given


def name(text: str) -> str:
    """What may stand in headers, URLs, file names and labels; empty where there is none."""
    plain = text.replace("-", "").replace("_", "").replace(".", "")
    if text and not (len(text) <= 128 and text.isascii() and plain.isalnum()):
        raise ArgumentTypeError(f'"{text}" is not a name (letters, digits, "-", "_" and ".")')
    return text


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
