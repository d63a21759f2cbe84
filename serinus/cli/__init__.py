"""The root command. Each room brings its own subcommands as entry points."""

from serinus.cli.main import main

__all__ = ["main"]
