"""``python -m serving.retrain``: the alert receiver."""

from serving.retrain.cli import main

main()
