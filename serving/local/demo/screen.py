"""What the reader of the demo sees: steps, timelines, tables. Everything also goes to a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table


class Screen:
    """Prints to the terminal and to ``demo.log``, and keeps the time of each part."""

    def __init__(self, log: Path) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = log.open("w", encoding="utf-8")
        # A pipe has no width of its own; what is told here needs some room.
        width = None if sys.stdout.isatty() else 120
        self._console = Console(highlight=False, soft_wrap=True, width=width)
        self._copy = Console(file=self._log, width=140, highlight=False, soft_wrap=True)
        self.began = time.monotonic()
        self.times: list[tuple[str, float]] = []

    def say(self, text: str = "") -> None:
        """One line."""
        for console in (self._console, self._copy):
            console.print(text)
        self._log.flush()

    def table(self, table: Table) -> None:
        """A table."""
        for console in (self._console, self._copy):
            console.print(table)
        self._log.flush()

    @contextmanager
    def part(self, number: str, title: str) -> Generator[None]:
        """A part of the main job, with a heading; its time is kept."""
        self.say()
        self.say(f"[bold]{number}  {title}[/bold]")
        began = time.monotonic()
        try:
            yield
        finally:
            self.times.append((title, time.monotonic() - began))

    def moment(self, t: float, text: str) -> None:
        """One line of a timeline, ``t`` seconds into the story."""
        self.say(f"   {t:6.1f} s  {text}")

    def close(self) -> None:
        """Close the log."""
        self._log.close()
