"""``python -m serinus.cli``: the command, where another program starts it."""

from serinus.cli.main import run

run()
