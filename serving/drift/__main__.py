"""``python -m serving.drift``: the drift monitor."""

from serving.drift.cli import main

main()
