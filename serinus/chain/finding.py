"""Where in a log something stands, found by its bytes alone: what is found is still to be verified."""

from __future__ import annotations

import re
from pathlib import Path

from serinus.chain.segments import segment_number
from serinus.chain.verify import LONGEST, Broken, Place, open_files, unreadable

_CHUNK = 1 << 20
_NUMBER = re.compile(rb'\{"seq":(\d{1,18}),')
ALL = 1 << 62
"""For a log of which it cannot be said: no entry is known to be the last."""


def last_entry_with(log: Path, *texts: bytes) -> int:
    """The number of the last entry whose line holds one of the texts, as that line says it; 0 if none does.

    A fraction of the time in which the lines are verified. Nothing is proven: a line that was altered may have held
    the text, and one that holds it may have been altered. A line that a writer has not ended counts for nothing.

    Args:
        texts: without a line end.

    Raises:
        SerinusError: ``SRN-AUDIT-004``, ``-010`` the log cannot be read.
    """
    last = 0
    try:
        for _, file in open_files(log, segment_number(log) is not None, Place()):
            with file:
                rest = b""
                while chunk := file.read(_CHUNK):
                    piece = rest + chunk
                    end = piece.rfind(b"\n") + 1
                    at = max(piece.rfind(text, 0, end) for text in texts)
                    if at >= 0:
                        number = _NUMBER.match(piece, piece.rfind(b"\n", 0, at) + 1)
                        if number is None:
                            return ALL
                        last = int(number[1])
                    rest = piece[end:]
                    if len(rest) > LONGEST:
                        return ALL
    except Broken:
        return ALL
    except OSError as error:
        raise unreadable(log, error) from error
    return last
