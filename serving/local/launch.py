"""Start a program that dies with its parent: ``python -I -S launch.py PARENT_PID PROGRAM ARGUMENT…``.

A separate step between fork and exec, because code run in a forked child of a
process with threads may deadlock. Imports almost nothing: it runs before every
child.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ask the kernel for a SIGKILL at the parent's death, then become the program."""
    parent = int(sys.argv[1])
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before we had asked
        sys.exit(1)
    os.execvp(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
