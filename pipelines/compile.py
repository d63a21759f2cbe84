"""Compiling the pipeline to the YAML that a KFP server takes."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any, cast

from pipelines.kfp_lean import import_kfp

COMPILED = Path(__file__).with_name("compiled") / "training.yaml"
"""The compiled pipeline as it is kept beside the code; compiling again changes nothing."""


def compile_pipeline(out: Path) -> None:
    """Write the training pipeline as IR YAML, whole or not at all."""
    import_kfp()
    from kfp import compiler

    from pipelines.training import training

    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".compile-") as scratch:
        whole = Path(scratch) / "pipeline.yaml"
        compiler.Compiler().compile(cast(Any, training), str(whole))  # what @dsl.pipeline makes of it
        os.replace(whole, out)
