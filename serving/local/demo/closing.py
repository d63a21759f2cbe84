"""The end of the demo: what was trained, promoted, rolled back and why, and whether all went as it should."""

from __future__ import annotations

import shlex
from typing import Any

import msgspec
from rich.table import Table

from serinus.errors import SerinusError
from serinus.home import Home, atomic_write
from serinus.registry import Registry
from serving.local.demo.recording import Moment, Recording
from serving.local.demo.report import write_report
from serving.local.demo.screen import Screen


class Closing:
    """Collects what happened, and judges it."""

    def __init__(self, home: Home, screen: Screen) -> None:
        self._home = home
        self._screen = screen
        self._stories: list[Recording] = []
        self._rows: list[tuple[bool, str, str]] = []
        self._model = ""

    def gate(self, gate: dict[str, Any] | None) -> None:
        """The first model of a case whose gates must stop it."""
        if gate is None:
            self._rows.append((False, "first model", "the gates let it pass and should not have"))
            return
        failed = [d for d in gate["demands"] if d.get("verdict") != "pass" and d.get("blocks", True)]
        said = "; ".join(
            f"{d['metric']} {_number(d.get('value'))}, demanded {d['threshold']}" for d in failed
        )
        self._rows.append((bool(failed), "first model", f"stopped by the gate: {said}"))

    def trained(self, result: dict[str, Any]) -> None:
        """The champion."""
        self._model = str(result["name"])
        seconds = result.get("seconds", {}).get("total", 0.0)
        self._rows.append(
            (True, "champion", f"{result['name']} v{result['version']} trained in {seconds:.0f} s")
        )

    def story(self, recording: Recording) -> None:
        """A rollout; its report is written at once, so that Ctrl-C loses none that was told."""
        self._stories.append(recording)
        write_report(recording, self._home.reports / recording.name)
        last = recording.last
        count = (
            f"{last.canary_requests:,} answered, {last.canary_bad:,} badly" if last else "nothing answered"
        )
        named = f", culprit {', '.join(recording.culprits)}" if recording.culprits else ""
        text = f"{recording.candidate} {recording.ended} after {recording.seconds:.0f} s{named}; {count}"
        if not recording.ok:
            text += f"  (expected {recording.expected} {recording.expected_culprit or ''})"
        self._rows.append((recording.ok, recording.title, text))

    def untold(self, title: str, error: SerinusError) -> None:
        """A story that could not begin: its candidate was not made."""
        self._rows.append((False, title, f"no candidate: {error.code} {error.what}"))

    def silence(self, quiet: bool, text: str) -> None:
        """Before the shift: a monitor that also cries on clean traffic has noticed nothing."""
        self._rows.append((quiet, "before the shift", text))

    def drift(self, *, noticed: bool, alerted: bool, version: int | None, moments: list[Moment]) -> None:
        """The shift of the stream."""
        atomic_write(self._home.reports / "drift.json", msgspec.json.encode(moments))
        if not noticed:
            text = "not noticed"
        elif not alerted:
            text = "noticed, but no alert started retraining"
        elif version is None:
            text = "noticed; retraining started but gave no version"
        else:
            text = f"noticed; the alert started retraining, which gave v{version}"
        self._rows.append((noticed and alerted and version is not None, "shift of the stream", text))

    def summary(self, case: str) -> bool:
        """Print it; True only if every story ended as it should."""
        say, home = self._screen.say, self._home
        say()
        say("[bold]What happened[/bold]")
        table = Table(box=None, show_header=False, pad_edge=False)
        for ok, title, text in self._rows:
            table.add_row("  [green]✓[/green]" if ok else "  [red]✗[/red]", title, text)
        self._screen.table(table)
        say()
        say("[bold]Where the time went[/bold]")
        for title, seconds in self._screen.times:
            say(f"   {seconds:6.1f} s  {title}")
        say()
        say("[bold]Where it lies[/bold]")
        registry = Registry(home)
        count, _ = registry.audit.verify()
        for v in registry.versions(self._model):
            say(f"   v{v.version} {v.stage:<12} {v.path}/card.html")
        say(f"   reports     {home.reports}/*/report.html")
        say(f"   decisions   {home.decisions}  (serinus audit verify --home {home.root})")
        say(f"   audit       {registry.audit.path}  ({count} entries, chain sound)")
        say(f"   logs        {home.platform / 'logs'}, {home.root / 'logs'}")
        say(f"   look around {_around(home)}")
        result = {
            "case": case,
            "ok": all(ok for ok, _, _ in self._rows),
            "stories": [{"ok": ok, "story": title, "what": text} for ok, title, text in self._rows],
            "seconds": {title: round(s, 1) for title, s in self._screen.times},
        }
        atomic_write(
            home.reports / "summary.json", msgspec.json.format(msgspec.json.encode(result), indent=1)
        )
        return bool(result["ok"])


def _around(home: Home) -> str:
    """What every other command shows of it, and how: the demo keeps a home of its own."""
    return (
        f"export SERINUS_HOME={shlex.quote(str(home.root))}; serinus registry list, rollout history --all, up"
    )


def _number(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, int | float) else "no data"
