"""The flags of requests by entity."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import msgspec

from serving.scorer import flag_values as of


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
        metavar="WHERE",
        default=get("SERINUS_STORE", "memory"),
        help="where entities' histories are: memory, off, or redis://, rediss://, unix:// "
        "(default: $SERINUS_STORE or memory); the password from $SERINUS_REDIS_PASSWORD or the file "
        "in $SERINUS_REDIS_PASSWORD_FILE",
    )
    add(
        "--store-timeout",
        type=of.some_seconds,
        metavar="SECONDS",
        default="0.1",
        help="what a call of Redis may take in all, connecting included (default: %(default)s)",
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
    add(
        "--features-snapshot",
        type=Path,
        metavar="FILE",
        help="keeps the histories in memory over a restart (default: none)",
    )
    add(
        "--features-warm",
        type=Path,
        metavar="FILE",
        help="records that fill the histories in memory before the first request (Parquet, CSV or "
        "JSON lines, in order of arrival), where the snapshot holds none (default: none)",
    )
    add(
        "--max-ahead",
        type=of.duration_text,
        metavar="DURATION",
        default="1d",
        help="how far ahead of the clock an event may lie (default: %(default)s)",
    )
