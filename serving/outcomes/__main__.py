"""``python -m serving.outcomes``."""

from serving.outcomes.cli import main

main()
