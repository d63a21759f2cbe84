"""The kernel's own commands: registry, audit, bundle, contract."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from serinus.cli.audit import audit_app
from serinus.cli.bundle import bundle_app
from serinus.cli.decisions import decisions_app
from serinus.cli.explain import explain
from serinus.cli.options import (
    AsOption,
    HomeOption,
    Output,
    OutputOption,
    command,
    group,
    print_json,
    print_table,
)
from serinus.contract import load_contract
from serinus.home import find_home
from serinus.identity import current_identity
from serinus.registry import Registry


@cache
def kernel_apps() -> dict[str, typer.Typer]:
    """The kernel's subcommands by name."""
    return {
        "registry": _registry(),
        "audit": audit_app(),
        "decisions": decisions_app(),
        "explain": command(explain),
        "bundle": bundle_app(),
        "contract": _contract(),
    }


def _registry() -> typer.Typer:
    app = group("Which versions exist, where each stands, and who approved it.")

    @app.command("list")
    def list_versions(
        model: Annotated[str | None, typer.Argument(help="Only this model.")] = None,
        home: HomeOption = None,
        output: OutputOption = Output.text,
    ) -> None:
        """List versions with their stage, owner and digest."""
        registry = Registry(find_home(home))
        found = [v for name in ([model] if model else registry.models()) for v in registry.versions(name)]
        if output is Output.json:
            print_json(found)
            return
        if not found:
            typer.echo("No version is registered here. `serinus pipeline run` builds and registers one.")
            return
        table = Table("model", "version", "stage", "owner", "built by", "digest", "bundle", box=None)
        for v in found:
            table.add_row(v.model, str(v.version), v.stage, v.owner, v.built_by, v.digest[7:19], v.path)
        print_table(table)

    @app.command()
    def show(
        model: str,
        version: Annotated[str, typer.Argument(help="A number, latest or champion.")] = "latest",
        home: HomeOption = None,
    ) -> None:
        """Show one version whole, as JSON: registry entry, approvals, metrics and provenance."""
        registry = Registry(find_home(home))
        found = registry.get(model, version)
        bundle = registry.bundle(found)
        print_json(
            {
                "version": found,
                "approvals": registry.approvals(model, found.version),
                "metrics": bundle.metrics,
                "validation": bundle.validation,
                "provenance": bundle.provenance,
            }
        )

    @app.command()
    def approve(
        model: str,
        version: int,
        reason: Annotated[str, typer.Option("--reason", help="What you looked at and why it may go live.")],
        role: Annotated[str, typer.Option(help="The role in which you approve.")] = "approver",
        acting: AsOption = None,
        home: HomeOption = None,
    ) -> None:
        """Approve a version. Nobody can approve what they built (exit code 1)."""
        approval = Registry(find_home(home)).approve(
            model, version, by=current_identity(acting), role=role, reason=reason
        )
        typer.echo(f"{model}/{version} approved by {approval.by} as {approval.role}")

    return app


def _contract() -> typer.Typer:
    app = group("The data contract of a model.")

    @app.command()
    def check(path: Path) -> None:
        """Check the contract in PATH and say what it declares."""
        contract = load_contract(path)
        typer.echo(
            f"{path}: sound. {contract.name} v{contract.version}: {len(contract.columns)} columns, "
            f"{len(contract.features)} features, label {contract.label.column}"
        )

    return app
