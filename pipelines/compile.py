"""Compiling the pipeline to the YAML that a KFP server takes."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from pipelines.kfp_lean import import_kfp
from pipelines.server import Server
from serinus.home import unwritable

COMPILED = Path(__file__).with_name("compiled") / "training.yaml"
"""The compiled pipeline as it is kept beside the code; compiling again changes nothing."""


def compile_pipeline(out: Path, server: Server) -> None:
    """Write the training pipeline as IR YAML, whole or not at all.

    A second document, where there is one, is the platform's part: secrets, volumes, time limits.

    Raises:
        SerinusError: ``SRN-HOME-001`` or ``-002`` it cannot be written.
    """
    import_kfp()
    from kfp import compiler

    from pipelines.training import build

    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=".compile-") as scratch:
            whole = Path(scratch) / "pipeline.yaml"
            compiler.Compiler().compile(build(server), str(whole))
            os.replace(whole, out)
    except OSError as error:
        raise unwritable(out, error) from error
