"""A command of serinus in the home of the test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from serinus.cli import main
from tests.support.bundles import small_home

Run = Callable[..., tuple[int, str, str]]
"""Takes a command's arguments without the home; its exit code, and what it printed and complained of."""


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def command(*arguments: str) -> tuple[int, str, str]:
        code = main([*arguments, "--home", str(small_home(tmp_path).root)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return command
