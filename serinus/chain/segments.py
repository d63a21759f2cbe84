"""Which files make up a log: ``name.000001.jsonl``, ``name.000002.jsonl`` … and the live ``name.jsonl``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

_SEGMENT = re.compile(r"^(?P<stem>.+)\.(?P<number>\d{6,})(?P<suffix>\.[^.]+)$")


def segment_path(log: Path, number: int) -> Path:
    """The name that segment ``number`` of a log gets when it is closed."""
    return log.with_name(f"{log.stem}.{number:06d}{log.suffix}")


def segment_number(path: Path) -> int | None:
    """The number of a closed segment; None for a live log."""
    match = _SEGMENT.match(path.name)
    return int(match["number"]) if match else None


def log_of(path: Path) -> Path:
    """The live log to which a file belongs: itself, unless it is a closed segment."""
    match = _SEGMENT.match(path.name)
    return path.with_name(match["stem"] + match["suffix"]) if match else path


def segments(log: Path) -> list[tuple[int, Path]]:
    """Closed segments of a log with their numbers, in order. The live file is not among them."""
    pattern = re.compile(re.escape(log.stem) + r"\.(\d{6,})" + re.escape(log.suffix))
    try:
        found = [
            (int(match[1]), path) for path in log.parent.iterdir() if (match := pattern.fullmatch(path.name))
        ]
    except OSError:
        return []
    return sorted(found)


def find_logs(paths: Iterable[Path], *, leave_out: str = ".feedback.jsonl") -> Iterator[Path]:
    """Logs among files and below directories; the segments of one log count once.

    In directories, outcomes (``leave_out``) are passed over: they are no chain.
    A segment given by its own name stands for itself.
    """
    seen: set[Path] = set()
    for given in paths:
        if given.is_dir():
            inside = sorted(p for p in given.rglob("*.jsonl") if not p.name.endswith(leave_out))
            found = [log_of(path) for path in inside]
        else:
            found = [given]
        for log in found:
            if log not in seen:
                seen.add(log)
                yield log
