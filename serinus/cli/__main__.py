"""``python -m serinus.cli``: the command, where another program starts it."""

from serinus.cli.main import run

if __name__ == "__main__":
    run()
