"""Outlives the platform by a moment: when it is gone without a word, stop what it left behind.

``python -I -S guardian.py MARK`` reads its standard input. The platform holds the
other end of the pipe: ``bye`` means that it has cleaned up; the end of the pipe
alone means that it was killed. Processes of the platform, grandchildren too,
are known by ``SERINUS_PLATFORM=MARK`` in their environment.
"""

import contextlib
import os
import select
import signal
import sys
import time

VARIABLE = "SERINUS_PLATFORM"
GRACE = 5.0  # seconds between SIGTERM and SIGKILL


def marked(mark: str) -> list[int]:
    """Process ids whose environment carries the mark, our own excepted."""
    wanted = f"{VARIABLE}={mark}".encode()
    found = []
    for entry in os.listdir("/proc"):  # noqa: PTH208  nothing but names is needed
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            with open(f"/proc/{entry}/environ", "rb") as file:  # noqa: PTH123
                environment = file.read().split(b"\0")
            with open(f"/proc/{entry}/stat", "rb") as file:  # noqa: PTH123
                state = file.read().rpartition(b")")[2].split()[0]
        except (OSError, IndexError):
            continue  # it ended meanwhile, or is another user's
        if wanted in environment and state != b"Z":
            found.append(int(entry))
    return found


def sweep(mark: str, grace: float = GRACE) -> int:
    """Stop every marked process: politely, then not. Returns how many there were."""
    first = marked(mark)
    end = time.monotonic() + grace
    sent = signal.SIGTERM
    left = first
    while left:
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, sent)
        select.select([], [], [], 0.05)
        left = marked(mark)
        if time.monotonic() > end:
            sent = signal.SIGKILL
    return len(first)


def main() -> None:
    """Wait for the platform's word, or its death."""
    os.setsid()  # a Ctrl-C meant for the platform must not end its guardian
    said = sys.stdin.buffer.read()
    if b"bye" not in said:
        sweep(sys.argv[1])


if __name__ == "__main__":
    main()
