"""Append-only logs whose every entry commits to the one before it.

One JSON object a line: ``{"seq": n, "prev": "…", "hash": "…", "body": {…}}``.
``hash`` is the SHA-256 of ``prev``, the sequence number and the body's bytes as
they stand in the line, so an edited, removed or reordered line breaks the chain
at a place that can be named. A log may be cut into segments
(``name.000001.jsonl`` … and the live ``name.jsonl``); the chain runs through
them. Cutting entries off the end is not visible from the files alone; whoever
keeps the last hash elsewhere sees that too.
"""

from serinus.chain.gaps import Gap, Gaps, gaps_log
from serinus.chain.link import GENESIS, Entry, Linker, NotAnEntry, decode_entry, entry_hash
from serinus.chain.read import ChainBroken, read_bodies, read_chain, read_gaps, read_on, verify_chain
from serinus.chain.segments import find_logs, segments
from serinus.chain.tail import last_bodies
from serinus.chain.verify import Break, Place, Verification, verify_log
from serinus.chain.write import ChainWriter

__all__ = [
    "GENESIS",
    "Break",
    "ChainBroken",
    "ChainWriter",
    "Entry",
    "Gap",
    "Gaps",
    "Linker",
    "NotAnEntry",
    "Place",
    "Verification",
    "decode_entry",
    "entry_hash",
    "find_logs",
    "gaps_log",
    "last_bodies",
    "read_bodies",
    "read_chain",
    "read_gaps",
    "read_on",
    "segments",
    "verify_chain",
    "verify_log",
]
