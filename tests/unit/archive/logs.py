"""Chains as scorers write them."""

from __future__ import annotations

from pathlib import Path

from serinus.chain import Linker


def chain(count: int, text: str = "a") -> list[bytes]:
    """Lines without their ends."""
    bodies = [b'{"id":"%b-%d","decision":"review"}' % (text.encode(), i) for i in range(1, count + 1)]
    return [line[:-1] for line in Linker().link(bodies)]


def content(directory: Path, name: str) -> list[bytes]:
    """All lines of a log, segments first."""
    paths = [*sorted(directory.glob(f"{name}.??????.jsonl")), directory / f"{name}.jsonl"]
    return [line for path in paths if path.exists() for line in path.read_bytes().splitlines()]
