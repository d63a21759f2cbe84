"""``serinus lineage``: where a version comes from, what a file or a column reaches, and sending events."""

from __future__ import annotations

import re
from collections import defaultdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import click
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree
from typer.core import TyperGroup

from serinus.cli.lineage_send import send
from serinus.cli.options import HomeOption, print_json, print_table
from serinus.home import existing_home
from serinus.lineage import draw
from serinus.lineage.ancestry import ancestry
from serinus.lineage.graph import Graph, Node, parents
from serinus.lineage.impact import ColumnLineage, Impact, digest_of_file, of_column, of_digest
from serinus.registry import Registry, Version

SHOW = "show"
_DIGEST = re.compile(r"(sha256:)?[0-9a-fA-F]{8,64}")


class Drawing(StrEnum):
    """How lineage is printed."""

    text = "text"
    json = "json"
    mermaid = "mermaid"
    dot = "dot"
    svg = "svg"


class ShowByDefault(TyperGroup):
    """``serinus lineage fraud`` is ``serinus lineage show fraud``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put ``show`` before what is no command's name."""
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h"):
            args = [SHOW, *args]
        return super().parse_args(ctx, args)


def lineage_app() -> typer.Typer:
    """The commands."""
    app = typer.Typer(
        cls=ShowByDefault,
        help="Where a version comes from, and what a file or a column reaches.\n\n"
        "`serinus lineage MODEL` is short for `serinus lineage show MODEL`.",
        no_args_is_help=True,
        add_completion=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.command(SHOW)(show)
    app.command()(send)
    return app


def show(
    target: Annotated[
        str,
        typer.Argument(
            metavar="MODEL[@VERSION] | sha256:DIGEST | FILE",
            help="A model (its champion, else its latest version), a version of it by number, latest or champion; "
            "or content by its digest or as a file: what came of it.",
        ),
    ],
    column: Annotated[
        str | None,
        typer.Option(
            help="Only this feature or column: what it is made of, what is made of it, who uses it."
        ),
    ] = None,
    home: HomeOption = None,
    output: Annotated[
        Drawing,
        typer.Option("--output", "-o", help="text; json for scripts; mermaid, dot or svg for pictures."),
    ] = Drawing.text,
) -> None:
    """Draw the lineage of a version, from the records to the stages that it has been in.

    A model without a version is its champion, or its latest version where it has none.
    Given a digest (8 characters suffice) or a file, it lists the versions that stand on
    that content: which models were trained on this file?

    Examples: serinus lineage fraud; serinus lineage fraud@3 -o mermaid;
    serinus lineage fraud --column terminal_risk_7d; serinus lineage tx.csv
    """
    installation = existing_home(home)
    registry = Registry(installation)
    if _is_content(registry, target):
        _pictures_only_of_versions(output)
        digest = (
            target
            if target.startswith("sha256:") or _DIGEST.fullmatch(target)
            else digest_of_file(Path(target))
        )
        _print_impact(of_digest(installation, digest), output)
        return
    version = _version(registry, target)
    if column is not None:
        _pictures_only_of_versions(output)
        contract = registry.bundle(version).contract
        _print_column(of_column(installation, version, contract, column), output)
        return
    _print_graph(ancestry(installation, version), output)


def _is_content(registry: Registry, target: str) -> bool:
    """A registered model goes before a digest or a file of the same name."""
    if target.partition("@")[0] in registry.models():
        return False
    if target.startswith("sha256:") or _DIGEST.fullmatch(target):
        return True
    return "@" not in target and ("/" in target or "." in target or Path(target).is_file())


def _version(registry: Registry, target: str) -> Version:
    model, _, which = target.partition("@")
    if which:
        return registry.get(model, which)
    stages = {version.stage for version in registry.versions(model)}
    return registry.get(model, "champion" if "champion" in stages else "latest")


def _pictures_only_of_versions(output: Drawing) -> None:
    if output not in (Drawing.text, Drawing.json):
        raise typer.BadParameter("text or json here; pictures are of whole versions", param_hint="--output")


def _print_graph(graph: Graph, output: Drawing) -> None:
    match output:
        case Drawing.json:
            print_json(graph)
        case Drawing.mermaid:
            typer.echo(draw.mermaid(graph), nl=False)
        case Drawing.dot:
            typer.echo(draw.dot(graph), nl=False)
        case Drawing.svg:
            typer.echo(draw.svg(graph), nl=False)
        case Drawing.text:
            _print_tree(graph)
    if output is not Drawing.json:
        for note in graph.notes:
            typer.echo(f"serinus: {note}", err=True)


def _print_tree(graph: Graph) -> None:
    above = parents(graph)
    below: dict[str, list[Node]] = defaultdict(list)
    for node in graph.nodes:
        if node.id in above:
            below[above[node.id]].append(node)

    def grow(branch: Tree, node: Node) -> None:
        # What leads on comes last, so that a run reads downwards.
        for each in sorted(below[node.id], key=lambda child: bool(below[child.id])):
            grow(branch.add(_line(graph, each, node.id)), each)

    for node in graph.nodes:
        if node.id not in above:
            root = Tree(_line(graph, node))
            grow(root, node)
            _print_whole(root)


def _print_whole(tree: Tree) -> None:
    """A tree with every line whole, however narrow the terminal."""
    console = Console(highlight=False, emoji=False, soft_wrap=True)
    wide = console.options.update(max_width=_WIDEST)
    console.width = max(console.width, console.measure(tree, options=wide).maximum)
    console.print(tree)


_WIDEST = 10_000
_STYLES = {"data": "cyan", "step": "bold", "bundle": "yellow", "stage": "green"}


def _line(graph: Graph, node: Node, above: str = "") -> str:
    parts = [f"[{_STYLES[node.kind]}]{escape(node.label)}[/]"]
    if node.digest:
        parts.append(f"[dim]{node.digest}[/]" if node.kind in ("data", "bundle") else node.digest)
    if node.kind == "step":
        also = [
            each.name.partition(".")[2]
            for edge in graph.edges
            if edge.target == node.id and edge.source != above and graph.node(edge.source).kind == "step"
            for each in edge.carries
        ]
        said = {"also reads": ", ".join(also)} | node.facts
        keys = ("also reads", "writes", "gate", "contract", "code", "commit", "lock")
        parts += [f"[dim]{key}[/] {escape(said[key])}" for key in keys if said.get(key)]
        parts += [f"[dim]{node.facts['took']}[/]"] if "took" in node.facts else []
    else:
        parts += [f"[dim]{key}[/] {escape(value)}" for key, value in node.facts.items()]
    return "  ".join(parts)


def _print_impact(impact: Impact, output: Drawing) -> None:
    if output is Drawing.json:
        print_json(impact)
        return
    named = f" ({impact.name})" if impact.name else ""
    typer.echo(f"{impact.what}{named}  {impact.digest}")
    if impact.versions:
        table = Table("model", "version", "stage", "bundle", "run", box=None)
        for each in impact.versions:
            table.add_row(each.model, str(each.version), each.stage, each.digest[7:19], each.run)
        print_table(table)
    else:
        typer.echo("No registered version stands on it.")
    for run in impact.other_runs:
        typer.echo(f"The run {run} read or wrote it too, and registered no version of its own.")


def _print_column(found: ColumnLineage, output: Drawing) -> None:
    if output is Drawing.json:
        print_json(found)
        return
    kind = " and ".join(
        text for text, is_it in (("feature", found.is_feature), ("column", found.is_column)) if is_it
    )
    tree = Tree(f"[bold]{escape(found.name)}[/]  {kind} of {escape(found.model)} v{found.version}")
    if found.is_feature:
        above = tree.add("made of")
        for source in found.upstream:
            how = f"{source.type.lower()} {source.transformation.lower()}"
            above.add(f"[cyan]{escape(source.column)}[/]  [dim]{how}[/]  {escape(source.description)}")
    if found.is_column:
        goes = tree.add("goes into" if found.features else "goes into no feature")
        for feature in found.features:
            goes.add(escape(feature))
    used = tree.add("used by" if found.used_by else "used by no registered version")
    for each in found.used_by:
        used.add(
            f"[yellow]{escape(each.model)} v{each.version}[/]  [green]{each.stage}[/]  {', '.join(each.features)}"
        )
    _print_whole(tree)
    for note in found.notes:
        typer.echo(f"serinus: {note}", err=True)
