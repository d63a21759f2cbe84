"""Importing KFP's SDK without its client of a KFP server."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys


def import_kfp() -> None:
    """Load ``kfp`` without ``kfp.client``, which pulls in the Kubernetes client.

    The package does so by itself where it runs inside a component, told by
    ``_KFP_RUNTIME``. Compiling and ``kfp.local`` need ``kfp.dsl`` whole but no client:
    this sets the variable for the package's own import only, which takes the start of
    every pipeline from 1.0 to 0.2 seconds (2.7 to 0.5 without compiled bytecode).
    Without effect if ``kfp`` is loaded already.
    """
    if "kfp" in sys.modules:
        return
    before = os.environ.get("_KFP_RUNTIME")
    os.environ["_KFP_RUNTIME"] = "true"
    try:
        importlib.import_module("kfp")
    finally:
        if before is None:
            del os.environ["_KFP_RUNTIME"]
        else:
            os.environ["_KFP_RUNTIME"] = before


def import_kfp_local() -> None:
    """Load ``kfp.local``, which takes any directory named ``docker`` on the path for Docker's client.

    The repository has one. A module without a file is no client; None stops its import, which
    is what KFP expects where there is none.
    """
    import_kfp()
    found = importlib.util.find_spec("docker") if "docker" not in sys.modules else None
    if found is not None and found.origin is None:
        sys.modules["docker"] = None  # pyright: ignore[reportArgumentType]
    importlib.import_module("kfp.local")
