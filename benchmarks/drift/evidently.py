"""Evidently on the same looks, in its own environment."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from .worlds import WORLDS, Stream

_SCRIPT = Path(__file__).parent / "peers" / "watch_evidently.py"


def run(out: Path, python: Path | None, looks: int) -> None:
    """Writes ``evidently.json``: per stream the number of columns that each look's report calls drifted."""
    if python is None:
        raise SystemExit("evidently: name the interpreter of its environment with --python; see method.md")
    held: dict[str, np.ndarray] = {}
    for world in WORLDS:
        stream = Stream(world, 1, 3)
        held[f"{world}/reference"] = stream.reference()
        held[f"{world}/looks"] = np.stack([stream.next() for _ in range(looks)])
    with tempfile.TemporaryDirectory() as folder:
        given, found = Path(folder) / "looks.npz", Path(folder) / "verdicts.json"
        np.savez(given, **held)  # type: ignore[arg-type]
        subprocess.run([str(python), str(_SCRIPT), str(given), str(found)], check=True)
        (out / "evidently.json").write_text(json.dumps(json.loads(found.read_text()), indent=1) + "\n")
