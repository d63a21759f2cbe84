"""Holds and unfinished erasures of two stores of which one is copied to the other.

Unlike keys they end without a trace: a hold is released, an erasure finished. So that what one side let go of
does not come back from the other, each store keeps digests of what it had in common with the one it was last
copied from, or moved to: such a row that one of them lacks was let go of there. Rows that were never in common are
united; where both have one of a person, the target's stays. No row comes twice, since it has its time or its name.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from serinus.privacy.store import META, Engine, Run, named_values

_SIZE = 16
_TABLES = (("unfinished", 3), ("holds", 4))


def name_store(run: Run) -> None:
    """Give a store that begins as a copy a name; the first of all has none."""
    run("INSERT INTO meta VALUES ('id', ?)", (os.urandom(16),))


def merge(
    read: Callable[[str, Sequence[object]], list[tuple[Any, ...]]], target: Engine
) -> Callable[[Run], None]:
    """Bring the target's holds and unfinished erasures up to date; what notes the same in the source."""
    here = named_values(read(META, ()))
    ours = {table: _digested(table, read(f"SELECT * FROM {table}", ())) for table, _ in _TABLES}
    with target.transaction() as run:
        there = named_values(run(META))
        before = _common(there, here) | _common(here, there)
        common = set[bytes]()
        for table, columns in _TABLES:
            mine, theirs = ours[table], _digested(table, run(f"SELECT * FROM {table}"))
            gone = [row for digest, row in theirs.items() if digest in before and digest not in mine]
            run.many(f"DELETE FROM {table} WHERE mark = ?", [row[:1] for row in gone])
            places = ", ".join("?" * columns)
            fresh = [row for digest, row in mine.items() if digest not in before]
            run.many(f"INSERT INTO {table} VALUES ({places}) ON CONFLICT DO NOTHING", fresh)
            common |= mine.keys() & (_digested(table, run(f"SELECT * FROM {table}")).keys() | before)
        _note(run, here.get("id", b""), common)
    return lambda run: _note(run, there.get("id", b""), common)


def _digested(table: str, rows: Sequence[tuple[Any, ...]]) -> dict[bytes, tuple[Any, ...]]:
    encode = msgspec.msgpack.encode
    return {hashlib.blake2b(encode((table, *row)), digest_size=_SIZE).digest(): row for row in rows}


def _common(of: Mapping[str, bytes], other: Mapping[str, bytes]) -> set[bytes]:
    """What one store knows to have had in common with the other; a third one had it with somebody else."""
    if of.get("common-with") != other.get("id", b""):
        return set()
    kept = of["common"]
    return {kept[first : first + _SIZE] for first in range(0, len(kept), _SIZE)}


def _note(run: Run, other: bytes, common: set[bytes]) -> None:
    run("DELETE FROM meta WHERE name IN ('common', 'common-with')")
    run("INSERT INTO meta VALUES ('common-with', ?)", (other,))
    run("INSERT INTO meta VALUES ('common', ?)", (b"".join(sorted(common)),))
