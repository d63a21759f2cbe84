"""``serinus watch``: the dashboards in a terminal, from a Prometheus or from this machine's platform."""

from __future__ import annotations

import os
import threading
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.live import Live

from serinus.durations import parse_duration
from serinus.errors import SerinusError
from serinus.home import Home, find_home
from serving.rollout.remote import call
from serving.watch.terminal.frame import View
from serving.watch.terminal.screen import Screen
from serving.watch.terminal.sources import Page, PagesSource, PrometheusSource, Source
from serving.watch.terminal.view import view

app = typer.Typer(add_completion=False)


class Output(StrEnum):
    """How frames are printed."""

    text = "text"
    json = "json"


def _seconds(text: str) -> float:
    try:
        found = parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    if not 0.1 <= found <= 86_400:
        raise typer.BadParameter(f"{text} is not between 100ms and 1d")
    return found


@app.command()
def watch(
    prometheus: Annotated[
        str | None,
        typer.Option(
            help="A Prometheus to ask, such as http://prometheus:9090 (default: $SERINUS_PROMETHEUS, else the "
            "pages of the platform on this machine). $SERINUS_PROMETHEUS_TOKEN is sent as a bearer token.",
            metavar="URL",
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Only this model, by feature and measure.", metavar="NAME")
    ] = None,
    interval: Annotated[
        float, typer.Option(parser=_seconds, help="Between frames.", metavar="DURATION")
    ] = "2s",  # type: ignore[assignment]
    over: Annotated[
        float, typer.Option(parser=_seconds, help="What rates and quantiles cover.", metavar="DURATION")
    ] = "1m",  # type: ignore[assignment]
    once: Annotated[bool, typer.Option("--once", help="One frame, and no more.")] = False,
    home: Annotated[
        Path | None,
        typer.Option("--home", help="Installation directory (default: $SERINUS_HOME, else ./.serinus)."),
    ] = None,
    output: Annotated[
        Output, typer.Option("--output", "-o", help="json for scripts: a line for each frame.")
    ] = Output.text,
) -> None:
    """Watch service, rollouts, drift, labels and alerts in a terminal, until Ctrl-C.

    What is not reported is said to be absent. Alerts are those that Prometheus evaluates.
    With several models a table of all is shown; --model shows one by feature and measure.

    Where the output is no terminal, one frame is printed. Exit code 1 if nothing could be
    read, of the only frame or of the first.
    """
    source = _source(prometheus, find_home(home), over)
    try:
        if once or (output is Output.text and not Console().is_terminal):
            _print(_once(source, model, interval), output)
        elif output is Output.json:
            _stream(source, model, interval)
        else:
            _live(source, model, interval)
    except KeyboardInterrupt:
        return


def _source(prometheus: str | None, home: Home, over: float) -> Source:
    url = prometheus or os.environ.get("SERINUS_PROMETHEUS")
    if url:
        return PrometheusSource(url, over=over, token=os.environ.get("SERINUS_PROMETHEUS_TOKEN", ""))

    def pages() -> list[Page]:
        try:
            found = call(home, "status", timeout=5.0)
        except SerinusError as error:
            if error.code != "SRN-PLATFORM-009":
                raise
            raise SerinusError(
                error.code,
                error.what,
                where=error.where,
                hint="Start one (serinus up), name its --home, or give the address of a --prometheus.",
            ) from error
        # One that was started before this version says nothing of its pages but its own.
        pages = found.get("pages", [{"program": "platform", "url": found["metrics"]}])
        return [Page(page["program"], page["url"]) for page in pages]

    return PagesSource(pages, over=over)


def _frame(source: Source, model: str | None) -> View:
    read = source.read(model)
    return view(
        read.now,
        read.before,
        source=source.where,
        model=model,
        alerts=source.alerts,
        problems=read.problems,
    )


def _once(source: Source, model: str | None, interval: float) -> View:
    """One frame, with rates: the programs' pages are read twice for them."""
    found = _frame(source, model)
    if found.over is None and not source.alerts and found.models:
        threading.Event().wait(interval)
        found = _frame(source, model)
    return found


def _print(found: View, output: Output) -> None:
    if output is Output.json:
        typer.echo(msgspec.json.encode(found).decode())
    else:
        Console(highlight=False, markup=False, emoji=False).print(Screen(found))


def _stream(source: Source, model: str | None, interval: float) -> None:
    """A line a frame; what cannot be read is a line too, after a first that could."""
    typer.echo(msgspec.json.encode(_frame(source, model)).decode())
    while True:
        threading.Event().wait(interval)
        try:
            line = msgspec.json.encode(_frame(source, model))
        except SerinusError as error:
            line = msgspec.json.encode({"at": time.time(), "error": error.to_dict()})
        typer.echo(line.decode())


def _live(source: Source, model: str | None, interval: float) -> None:
    console = Console(highlight=False, markup=False, emoji=False)
    found, failing = _frame(source, model), ""
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            screen = Screen(found, height=console.height - 1, failing=failing)
            live.update(screen, refresh=True)
            threading.Event().wait(interval)
            try:
                found, failing = _frame(source, model), ""
            except SerinusError as error:
                failing = f"{error.what}; this is of {time.time() - found.at:.0f} s ago"
