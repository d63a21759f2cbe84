"""The kernel's own commands: registry, audit, bundle, keys, lineage, contract."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated

import typer

from serinus.cli.access import access_app
from serinus.cli.audit import audit_app
from serinus.cli.bundle import bundle_app
from serinus.cli.data import data_app
from serinus.cli.decisions import decisions_app
from serinus.cli.explain import explain
from serinus.cli.inventory import inventory
from serinus.cli.keys import keys_app
from serinus.cli.lineage import lineage_app
from serinus.cli.notice import notice
from serinus.cli.options import Output, OutputOption, command, group, print_json
from serinus.cli.privacy import privacy_app
from serinus.cli.registry import registry_app
from serinus.cli.report import report
from serinus.cli.review import review_app
from serinus.contract import load_contract


@cache
def kernel_apps() -> dict[str, typer.Typer]:
    """The kernel's subcommands by name."""
    return {
        "registry": registry_app(),
        "access": access_app(),
        "audit": audit_app(),
        "decisions": decisions_app(),
        "explain": command(explain),
        "report": command(report),
        "notice": command(notice),
        "inventory": command(inventory),
        "bundle": bundle_app(),
        "keys": keys_app(),
        "data": data_app(),
        "lineage": lineage_app(),
        "contract": _contract(),
        "privacy": privacy_app(),
        "review": review_app(),
    }


def _contract() -> typer.Typer:
    app = group("The data contract of a model.")

    @app.command()
    def check(
        path: Annotated[Path, typer.Argument(help="The contract, YAML.")], output: OutputOption = Output.text
    ) -> None:
        """Check the contract in PATH and say what it declares; --output json prints all of it, defaults included.

        Exit code 1 where it is not sound, with file, line and key.
        """
        contract = load_contract(path)
        if output is Output.json:
            print_json(contract)
            return
        typer.echo(
            f"{path}: sound. {contract.name} v{contract.version}: {len(contract.columns)} columns, "
            f"{len(contract.features)} features, label {contract.label.column}"
        )

    return app
