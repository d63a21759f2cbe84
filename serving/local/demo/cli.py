"""``serinus demo``."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from serinus.home import find_home
from serving.local.demo.cases import check_files, find_case
from serving.local.demo.place import own_place
from serving.local.demo.run import RATE, Demo, Options
from serving.local.demo.screen import Screen

app = typer.Typer(add_completion=False)


class CaseName(StrEnum):
    """The use cases that need nothing of the reader's."""

    fraud = "fraud"
    credit = "credit"


@app.command()
def demo(
    case: Annotated[
        CaseName, typer.Argument(help="fraud: card transactions. credit: mortgages.")
    ] = CaseName.fraud,
    data: Annotated[
        Path | None, typer.Option(help="Your own records instead: .csv, .csv.gz, .parquet.")
    ] = None,
    contract: Annotated[Path | None, typer.Option(help="The data contract of --data.")] = None,
    config: Annotated[Path | None, typer.Option(help="A training config instead of the case's.")] = None,
    home: Annotated[
        Path | None, typer.Option(help="Installation directory; the demo keeps to its subdirectory demo/.")
    ] = None,
    quick: Annotated[bool, typer.Option(help="Two canaries instead of four.")] = False,
    keep: Annotated[
        bool, typer.Option(help="Leave the platform up afterwards (serinus down ends it).")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of the generated data and of undated splits.")] = 7,
    rate: Annotated[float, typer.Option(min=10, help="Live requests per second.")] = RATE,
) -> None:
    """The main job, end to end, on this machine.

    Trains a model in a KFP pipeline, serves it behind Envoy, rolls back three bad
    candidates by evidence, promotes a good one after a second person agreed,
    notices drift and retrains. Exit code 0 only if every story ended as it should.

    Your own data need a contract and no code:

        serinus demo --data loans.csv --contract loans.yaml
    """
    chosen = find_case(case.value, data=data, contract=contract, config=config, seed=seed)
    # Before the last demo's results make room for this one's.
    check_files(chosen)
    shared = find_home(home)
    with own_place(shared, chosen.name) as place:
        screen = Screen(place.root / "logs" / "demo.log")
        options = Options(case=chosen, home=place, shared=shared, seed=seed, rate=rate, quick=quick)
        try:
            ok = asyncio.run(_interruptible(Demo(options, screen)))
        finally:
            screen.close()
        if keep:
            from serving.local.cli import up

            up(home=place.root)
    raise typer.Exit(0 if ok else 1)


async def _interruptible(job: Demo) -> bool:
    """Ctrl-C and SIGTERM cancel the job, so that everything it started is taken down in order."""
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(job.run())
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(ValueError):
                loop.remove_signal_handler(number)
