"""``python -m serving.archive``."""

from serving.archive.cli import main

main()
