"""Which files make up a log: ``name.000001.jsonl``, ``name.000002.jsonl`` … and the live ``name.jsonl``."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from serinus.errors import SerinusError

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
    """Closed segments of a log with their numbers, in order. The live file is not among them.

    Raises:
        SerinusError: ``SRN-AUDIT-010`` their directory cannot be read; one that is not there holds none.
    """
    pattern = re.compile(re.escape(log.stem) + r"\.(\d{6,})" + re.escape(log.suffix))
    try:
        names = [path.name for path in log.parent.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise unlisted(log.parent, error) from error
    return sorted(
        (int(match[1]), log.with_name(name)) for name in names if (match := pattern.fullmatch(name))
    )


def files_below(
    directory: Path, suffix: str, unread: Callable[[SerinusError], None] | None = None
) -> list[Path]:
    """Files of that suffix in a directory and below, sorted; none where there is no directory.

    Args:
        unread: told of each directory that cannot be read, and the others are looked through.

    Raises:
        SerinusError: ``SRN-AUDIT-010`` one of them cannot be read, and nobody is to be told.
    """

    def told(error: OSError) -> None:
        found = unlisted(Path(error.filename or directory), error)
        if unread is None:
            raise found from error
        unread(found)

    try:
        if not directory.is_dir():
            return []
    except OSError as error:  # the way there is barred
        told(error)
        return []
    return sorted(
        Path(place, name)
        for place, inside, names in os.walk(directory, onerror=told)
        for name in (*inside, *names)
        if name.endswith(suffix)
    )


def find_logs(
    paths: Iterable[Path],
    *,
    leave_out: str = ".feedback.jsonl",
    unread: Callable[[SerinusError], None] | None = None,
) -> Iterator[Path]:
    """Logs among files and below directories; the segments of one log count once.

    In directories, outcomes (``leave_out``) are passed over: they are no chain.
    A segment given by its own name stands for itself.

    Args:
        unread: told of each directory that cannot be read; the logs of the others are given.

    Raises:
        SerinusError: ``SRN-AUDIT-010`` a directory cannot be read, and nobody is to be told.
    """
    seen: set[Path] = set()
    for given in paths:
        inside = files_below(given, ".jsonl", unread)
        found = [log_of(path) for path in inside if not path.name.endswith(leave_out)]
        for log in found if _is_directory(given) else [given]:
            if log not in seen:
                seen.add(log)
                yield log


def _is_directory(path: Path) -> bool:
    """Whether it is one, or may be one: what cannot be looked at was told of."""
    try:
        return path.is_dir()
    except OSError:
        return True


def unlisted(directory: Path, error: OSError) -> SerinusError:
    """``SRN-AUDIT-010``: what is not seen is not sound."""
    return SerinusError(
        "SRN-AUDIT-010",
        f"the directory cannot be read ({error.strerror}), so nobody can say which logs it holds",
        where=str(directory),
        hint="Let the user who runs this read it, or run it as one who may; none of its logs was verified.",
    )
