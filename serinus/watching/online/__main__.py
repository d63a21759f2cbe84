"""``python -m serinus.watching.online``: simulates the default plan's thresholds, prints them as ``default.json``."""

from __future__ import annotations

import sys

import msgspec

from . import cvm
from .calibrate import Shelf
from .types import OnlinePlan

if __name__ == "__main__":
    plan = OnlinePlan()
    text = msgspec.json.encode(Shelf(plan=plan, cvm=cvm.configure(plan)))
    sys.stdout.write(msgspec.json.format(text, indent=1).decode() + "\n")
