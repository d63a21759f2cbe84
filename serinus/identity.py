"""Who is acting. Four eyes mean nothing without two names."""

from __future__ import annotations

import getpass
import os


def current_identity(explicit: str | None = None) -> str:
    """The acting identity: ``--as``, else ``$SERINUS_USER``, else the login name.

    On one machine this is a claim, as in git; on Kubernetes the API server's
    authenticated user takes its place.
    """
    name = explicit or os.environ.get("SERINUS_USER")
    if name:
        return name
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container may run under a number without an entry in passwd.
        return f"uid-{os.getuid()}"
