"""A directory of this test process for what its tests share; it goes with the process."""

import tempfile
from functools import cache
from pathlib import Path


@cache
def _own() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="serinus-tests-", ignore_cleanup_errors=True)


def scratch(name: str) -> Path:
    """A new, empty directory whose name begins with ``name``."""
    return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=_own().name))
