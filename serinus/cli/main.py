"""``serinus``: finds the rooms' commands, and turns errors into one clear line."""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points

import click
import typer

import serinus
from serinus.cli.kernel import kernel_apps
from serinus.errors import SerinusError
from serinus.masking import mask_logs
from serinus.program import show_usage_error

GROUP = "serinus.commands"

HELP = """Train, validate, serve, canary, roll back, monitor and retrain financial models.

\b
New here?          serinus demo            the main job, end to end, on this machine
Your own data?     serinus demo --data FILE --contract CONTRACT.yaml
A model pipeline?  serinus pipeline run --help
What is live?      serinus status, serinus watch, serinus registry list
What was decided?  serinus audit verify
Made of what?      serinus lineage MODEL

Exit codes: 0 done, 1 failed or refused (the reason is printed), 2 wrong usage, 130 interrupted.
"""


class Rooms(click.Group):
    """Loads a room only when one of its commands is called: ``--help`` of one
    room must not wait for the libraries of another."""

    def __init__(self) -> None:
        super().__init__("serinus", help=HELP, context_settings={"help_option_names": ["-h", "--help"]})
        self.params.append(
            click.Option(
                ["--version"],
                is_flag=True,
                is_eager=True,
                expose_value=False,
                callback=_version,
                help="Show the version.",
            )
        )

    def _entry_points(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in entry_points(group=GROUP)}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The rooms' commands and the kernel's."""
        return sorted({*self._entry_points(), *kernel_apps()})

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with what a mistyped name may have meant."""
        known = self.list_commands(ctx)
        if args and args[0] not in known and not args[0].startswith("-"):
            ctx.fail(f"No such command {args[0]!r}.{did_you_mean(args[0], known)}")
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, its room loaded; None if there is none."""
        if cmd_name in kernel_apps():
            return typer.main.get_command(kernel_apps()[cmd_name])
        point = self._entry_points().get(cmd_name)
        if point is None:
            return None
        try:
            app = point.load()
        except ModuleNotFoundError as error:
            return _not_installed(cmd_name, error.name or "")
        command = typer.main.get_command(app)
        # One app may bring several root commands (up, status, down).
        if isinstance(command, click.Group) and cmd_name in command.commands:
            return command.commands[cmd_name]
        return command


def did_you_mean(given: str, known: Sequence[str]) -> str:
    """A sentence with the names that are close to a mistyped one; empty where none is."""
    close = difflib.get_close_matches(given, known, n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(map(repr, close))}?" if close else ""


def _not_installed(name: str, package: str) -> click.Command:
    """A room whose libraries are absent is still listed, and says what it needs."""

    def explain() -> None:
        raise SerinusError(
            "SRN-CLI-001",
            f"`serinus {name}` needs the Python package {package}, which is not installed",
            hint="Install the extra that brings it: uv sync --extra local, or pip install 'serinus[local]'.",
        )

    return click.Command(
        name,
        callback=explain,
        help=f"(not installed: needs {package})",
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    )


def _version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        click.echo(f"serinus {serinus.__version__}")
        ctx.exit()


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code; errors are printed, never raised."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    return run_command(Rooms(), arguments or ["--help"], name="serinus")


def run_command(command: click.Command, arguments: list[str], *, name: str) -> int:
    """Run one command as the root does: its exit code, with errors printed as one clear line.

    ``python -m`` entry points use it too, so that a program's errors read the
    same whichever way it was started.
    """
    mask_logs()
    try:
        result = command.main(args=arguments, prog_name=name, standalone_mode=False)
        return result if isinstance(result, int) else 0
    except SerinusError as error:
        _report(error, as_json=_wants_json(arguments))
        return 1
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        return show_usage_error(error)
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo("serinus: interrupted", err=True)
        return 130
    except BrokenPipeError:
        # The reader (head, less) has what it wanted.
        sys.stderr.close()
        return 0


def _wants_json(arguments: list[str]) -> bool:
    pairs = zip(arguments, [*arguments[1:], ""], strict=True)
    return "--output=json" in arguments or any(a in ("--output", "-o") and b == "json" for a, b in pairs)


def _report(error: SerinusError, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"error": error.to_dict()}))
    click.echo(f"serinus: {error}", err=True)


def run() -> None:
    """The console script."""
    sys.exit(main())
