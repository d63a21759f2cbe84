"""Logs of small entries, and the ways to harm them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from serinus.chain import ChainWriter, segments


class Killed(BaseException):
    """The process is gone: nothing after it runs."""


def write(path: Path, entries: int, *, start: int = 0, rotate_bytes: int | None = None) -> Path:
    """A log of ``entries`` more entries; about 200 bytes each."""
    with ChainWriter(path, rotate_bytes=rotate_bytes) as writer:
        for i in range(start, start + entries):
            writer.append([b'{"n":%d}' % i])
    return path


def files(log: Path) -> list[Path]:
    """The log's files in the order of the chain."""
    return [path for _, path in segments(log)] + ([log] if log.exists() else [])


def kill_at(monkeypatch: pytest.MonkeyPatch, step: int) -> Callable[[], int]:
    """Kill the process before the ``step``-th call (from 1) that changes or syncs a file; counts them."""
    calls = 0

    def counted(real: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            nonlocal calls
            calls += 1
            if calls == step:
                raise Killed
            return real(*arguments, **options)

        return call

    for name in ("write", "fsync", "rename", "ftruncate"):
        monkeypatch.setattr(os, name, counted(getattr(os, name)))
    return lambda: calls


def abandon(writer: ChainWriter) -> None:
    """What the kernel does for a killed process: its descriptors are closed, and nothing else."""
    if writer._file is not None:
        writer._file.close()
    writer._lock.close()
