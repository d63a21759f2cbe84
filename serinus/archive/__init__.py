"""Decision logs of elsewhere, kept here as the files that their scorers would have written.

Entries come from a topic or by HTTP, each at least once: again after a killed process, interleaved
with those of other writers, sometimes with some missing. What stands below ``decisions/``
afterwards is each writer's chain, byte for byte, so that everything that reads a decision log reads it.
"""

from serinus.archive.chain import Chain, Step
from serinus.archive.store import Archive, GapAhead, UnusableName, check_name
from serinus.archive.taken import Taken

__all__ = ["Archive", "Chain", "GapAhead", "Step", "Taken", "UnusableName", "check_name"]
