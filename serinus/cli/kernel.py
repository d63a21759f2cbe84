"""The kernel's own commands: registry, audit, bundle, contract."""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from serinus.bundle import Keyring, open_bundle
from serinus.chain import verify_chain
from serinus.contract import load_contract
from serinus.home import find_home
from serinus.identity import current_identity
from serinus.registry import Registry


class Output(StrEnum):
    """How a command prints its result."""

    text = "text"
    json = "json"


HomeOption = Annotated[
    Path | None,
    typer.Option("--home", help="Installation directory (default: $SERINUS_HOME, else ./.serinus)."),
]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="json for scripts.")]
AsOption = Annotated[
    str | None, typer.Option("--as", help="Acting identity (default: $SERINUS_USER, else you).")
]


@cache
def kernel_apps() -> dict[str, typer.Typer]:
    """The kernel's subcommands by name."""
    return {"registry": _registry(), "audit": _audit(), "bundle": _bundle(), "contract": _contract()}


def _app(help_text: str) -> typer.Typer:
    app = typer.Typer(help=help_text, no_args_is_help=True, add_completion=False)
    # With a callback an app of one command stays a group: `contract check`, not `contract`.
    app.callback()(lambda: None)
    return app


def _print_json(value: object) -> None:
    typer.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def _registry() -> typer.Typer:
    app = _app("Which versions exist, where each stands, and who approved it.")

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
            _print_json(found)
            return
        if not found:
            typer.echo("No version is registered here. `serinus pipeline run` builds and registers one.")
            return
        table = Table("model", "version", "stage", "owner", "built by", "digest", "bundle", box=None)
        for v in found:
            table.add_row(v.model, str(v.version), v.stage, v.owner, v.built_by, v.digest[7:19], v.path)
        Console(soft_wrap=True).print(table)

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
        _print_json(
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


def _audit() -> typer.Typer:
    app = _app("The tamper-evident log of actions and decisions.")

    @app.command()
    def verify(
        log: Annotated[
            Path | None, typer.Argument(help="One log (default: the audit log and every decision log).")
        ] = None,
        home: HomeOption = None,
    ) -> None:
        """Recompute every hash. Exit code 1, and the line, where a chain is broken."""
        place = find_home(home)
        logs = (
            [log]
            if log
            else [*sorted(place.audit.glob("*.jsonl")), *sorted(place.decisions.glob("**/*.jsonl"))]
        )
        if not logs:
            typer.echo(f"There is no log yet in {place.root}.")
        for path in logs:
            count, head = verify_chain(path)
            typer.echo(f"{path}: {count:,} entries, sound; last hash {head[:16]}")

    @app.command("list")
    def list_actions(home: HomeOption = None, output: OutputOption = Output.text) -> None:
        """List recorded actions: when, who, what, on which subject, why."""
        entries = list(Registry(find_home(home)).audit.entries())
        if output is Output.json:
            _print_json(entries)
            return
        table = Table("time", "actor", "action", "subject", "reason", box=None)
        for entry in entries:
            table.add_row(entry.time, entry.actor, entry.action, entry.subject, entry.reason)
        Console(soft_wrap=True).print(table)

    return app


def _bundle() -> typer.Typer:
    app = _app("The immutable model artefact.")

    @app.command()
    def verify(path: Path, home: HomeOption = None) -> None:
        """Check every file's hash and the signature of the bundle in PATH."""
        bundle = open_bundle(path, trusted=Keyring.load(find_home(home).keys))
        what = f"{bundle.name} v{bundle.version}"
        typer.echo(f"{what}: {len(bundle.manifest.files)} files, signature sound, {bundle.digest}")

    return app


def _contract() -> typer.Typer:
    app = _app("The data contract of a model.")

    @app.command()
    def check(path: Path) -> None:
        """Check the contract in PATH and say what it declares."""
        contract = load_contract(path)
        typer.echo(
            f"{path}: sound. {contract.name} v{contract.version}: {len(contract.columns)} columns, "
            f"{len(contract.features)} features, label {contract.label.column}"
        )

    return app
