"""``python -m serving.watch``: write what is made from the rules and boards, beside them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from serinus.home import atomic_write
from serving.watch.artefacts import artefacts

HERE = Path(__file__).parent


def main() -> None:
    """Write dashboards/*.json and prometheusrules/*.yaml; links begin with the given addresses."""
    parser = argparse.ArgumentParser(prog="python -m serving.watch", description=main.__doc__)
    parser.add_argument(
        "--out", type=Path, default=HERE, help="Directory to write to (default: %(default)s)."
    )
    parser.add_argument("--runbooks", default="", help="What stands before docs/runbooks/ in runbook_url.")
    parser.add_argument("--grafana", default="", help="What stands before /d/ in dashboard_url.")
    given = parser.parse_args()
    for name, text in artefacts(given.runbooks, given.grafana).items():
        path: Path = given.out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, text)
        sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
