"""The peers' environments, each from its own pinned list; a peer that can't be installed is reported, not fatal."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable, Collection
from pathlib import Path

from .systems import PEERS

PYTHON = {"seldon": "3.11"}  # its protobuf and gunicorn have nothing for 3.12
DEFAULT_PYTHON = "3.12"


def install(venvs: Path, uv: str, names: Collection[str], say: Callable[[str], None]) -> None:
    """Make what is not there yet; ``<name>.failed`` keeps the reason of what could not be made."""
    for folder in sorted(p for p in PEERS.iterdir() if (p / "requirements.txt").exists()):
        name, pinned = folder.name, folder / "requirements.txt"
        if name not in names:
            continue
        stamp, failed = venvs / f"{name}.installed", venvs / f"{name}.failed"
        digest = hashlib.sha256(pinned.read_bytes()).hexdigest()
        if stamp.exists() and stamp.read_text() == digest:
            continue
        venvs.mkdir(parents=True, exist_ok=True)
        say(f"setting up {name} (once)")
        target = venvs / name
        python = PYTHON.get(name, DEFAULT_PYTHON)
        for command in (
            [uv, "venv", "--quiet", "--clear", "--python", python, str(target)],
            [uv, "pip", "install", "--quiet", "--python", str(target / "bin" / "python"), "-r", str(pinned)],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                failed.write_text(done.stderr.strip()[-1000:])
                say(f"{name} could not be installed: {done.stderr.strip()[-200:]}")
                break
        else:
            failed.unlink(missing_ok=True)
            stamp.write_text(digest)
