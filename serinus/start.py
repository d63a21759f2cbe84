"""What the console script calls. It imports nothing at its top: Ctrl-C while libraries are read is no traceback."""

from __future__ import annotations

import sys


def run() -> None:
    """Run the command line and exit with its code; 130 if it was stopped before it began."""
    try:
        from serinus.cli.main import main

        code = main()
    except KeyboardInterrupt:
        sys.stderr.write("serinus: interrupted\n")
        code = 130
    sys.exit(code)
