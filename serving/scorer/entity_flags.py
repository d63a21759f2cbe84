"""The flags of requests by entity."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import msgspec

from serinus.durations import parse_duration


class EntitySettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where histories are, and what enters them."""

    store: str = "memory"
    store_timeout: float = 0.1
    on_store_failure: Literal["refuse", "missing"] = "refuse"
    update_on_score: Literal["auto", "on", "off"] = "auto"
    features_snapshot: Path | None = None
    features_warm: Path | None = None
    max_ahead: str = "1d"


def add_flags(add: Callable[..., Any], get: Callable[..., str | None]) -> None:
    """The flags, with the environment as their defaults."""
    add(
        "--store",
        default=get("SERINUS_STORE", "memory"),
        help="where entities' histories are: memory, off, or redis://, rediss://, unix:// "
        "(default: $SERINUS_STORE or memory); the password from $SERINUS_REDIS_PASSWORD or the file "
        "in $SERINUS_REDIS_PASSWORD_FILE",
    )
    add(
        "--store-timeout",
        type=_seconds,
        default=0.1,
        help="seconds that a call of Redis may take (default: 0.1)",
    )
    add(
        "--on-store-failure",
        choices=("refuse", "missing"),
        default="refuse",
        help="without an answer from Redis: refuse the request (503), or score with every windowed "
        "feature missing, where the contract allows that (default: %(default)s)",
    )
    add(
        "--update-on-score",
        choices=("auto", "on", "off"),
        default="auto",
        help="whether a scored event enters the histories; auto: with memory yes, with Redis no, "
        "which the stream feeds (default: %(default)s)",
    )
    add("--features-snapshot", type=Path, help="file that keeps the histories in memory over a restart")
    add(
        "--features-warm",
        type=Path,
        help="records that fill the histories in memory before the first request (Parquet, CSV or "
        "JSON lines, in order of arrival), where the snapshot holds none",
    )
    add(
        "--max-ahead",
        type=_duration,
        default="1d",
        help="how far ahead of the clock an event may lie (default: %(default)s)",
    )


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < 3600:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds above 0")
    return value


def _duration(text: str) -> str:
    try:
        parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text
