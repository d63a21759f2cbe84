"""``python -m components.ingest``: check a file against its contract, and type it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer

from components.ingest.ingest import ingest
from serinus.cli import run_command
from serinus.contract import load_contract

app = typer.Typer(add_completion=False)


@app.command()
def main(
    data: Annotated[Path, typer.Option("--data", help="The records: .csv, .csv.gz or .parquet.")],
    contract: Annotated[Path, typer.Option("--contract", help="Their data contract, YAML.")],
    out: Annotated[Path, typer.Option("--out", help="Where to write the typed records (.parquet).")],
    output: Annotated[Literal["text", "json"], typer.Option("--output", "-o")] = "json",
) -> None:
    """Check the records in DATA against CONTRACT and write them typed to OUT.

    Every problem is told with its line, value and expectation (exit code 1), and
    then nothing is written.
    """
    report = ingest(data, load_contract(contract), out)
    if output == "json":
        typer.echo(msgspec.json.encode(report))
    else:
        typer.echo(f"{data}: {report.rows:,} rows keep the contract; written to {out}")


if __name__ == "__main__":
    sys.exit(run_command(typer.main.get_command(app), sys.argv[1:], name="python -m components.ingest"))
