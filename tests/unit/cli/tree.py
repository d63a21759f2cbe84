"""Every command that there is, whichever room brings it."""

from __future__ import annotations

from collections.abc import Iterator

import click

from serinus.cli.main import Rooms


def leaves() -> Iterator[tuple[str, click.Command]]:
    """Name (``registry list``) and command of everything that can be run."""
    root = Rooms()
    yield from _below(root, click.Context(root, info_name="serinus"), "")


def _below(command: click.Command, context: click.Context, name: str) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield name, command
        return
    for part in command.list_commands(context):
        found = command.get_command(context, part)
        assert found is not None
        if not found.hidden:
            inner = click.Context(found, parent=context, info_name=part)
            yield from _below(found, inner, f"{name} {part}".strip())
