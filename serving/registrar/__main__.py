"""``python -m serving.registrar``: the record keeper of a cluster."""

from serving.registrar.cli import main

main()
