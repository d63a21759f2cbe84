"""Where the clients' own environments are: ``make clients-env`` sets them up."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def python(name: str) -> Path:
    """The interpreter of an environment. Skips the test where there is none; in CI that is a failure."""
    path = ROOT / ".venv-clients" / name / "bin" / "python"
    if not path.exists():
        why = f"no environment for {name}: run make clients-env"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    return path


def ask(name: str, script: str, *arguments: str, given: Any = None) -> Any:
    """Run ``peers/<script>`` in an environment with a JSON document on stdin; gives the one on its stdout."""
    done = subprocess.run(
        [str(python(name)), str(ROOT / "tests" / "clients" / "peers" / script), *arguments],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])
