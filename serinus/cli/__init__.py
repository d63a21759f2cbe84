"""The root command. Each room brings its own subcommands as entry points."""

from serinus.cli.main import main, run_command

__all__ = ["main", "run_command"]
