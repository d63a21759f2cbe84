"""``python -m pipelines``: the same as ``serinus pipeline``."""

from pipelines.cli import app

app(prog_name="python -m pipelines")
