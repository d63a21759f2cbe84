"""Where in a log something stands, found by its bytes alone: what is found is still to be verified."""

from __future__ import annotations

from pathlib import Path

from serinus.chain.segments import segment_number
from serinus.chain.verify import Broken, Place, open_files, unreadable

_CHUNK = 1 << 20
ALL = 1 << 62
"""For a log whose files are not all there: no line is known to be the last."""


def last_line_with(log: Path, *texts: bytes) -> int:
    """The last line that holds one of the texts, counted from 1 through all segments; 0 if none does.

    A tenth of the time in which the lines are verified. Nothing is proven: a line that was altered may have held the
    text, and one that holds it may have been altered.

    Args:
        texts: without a line end.

    Raises:
        SerinusError: ``SRN-AUDIT-004``, ``-010`` the log cannot be read.
    """
    lines = last = 0
    longest = max(map(len, texts))
    try:
        for _, file in open_files(log, segment_number(log) is not None, Place()):
            with file:
                rest = b""
                while chunk := file.read(_CHUNK):
                    piece = rest + chunk
                    at = max(piece.rfind(text) for text in texts)
                    if at >= 0:
                        last = lines + piece.count(b"\n", 0, at) + 1
                    keep = min(longest - 1, len(piece))
                    rest = piece[len(piece) - keep :]
                    lines += piece.count(b"\n") - rest.count(b"\n")
                # Segments end with a line end, and what a crash left of a line at the log's end counts for nothing.
                lines += rest.count(b"\n")
    except Broken:
        return ALL
    except OSError as error:
        raise unreadable(log, error) from error
    return last
