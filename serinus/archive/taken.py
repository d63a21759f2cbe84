"""What becomes of lines that arrive."""

from __future__ import annotations

import msgspec


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What became of some lines.

    ``erased``: outcomes of persons who were erased, which are not kept. ``bytes`` of what was kept; ``why`` of the
    first that was set aside, or of those that wait for their log.
    """

    kept: int = 0
    duplicate: int = 0
    aside: int = 0
    waiting: int = 0
    erased: int = 0
    gaps: int = 0
    missing: int = 0
    bytes: int = 0
    first_gap: int = 0
    """Number of the entry behind the first gap."""
    why: str = ""

    def __add__(self, other: Taken) -> Taken:
        return Taken(
            kept=self.kept + other.kept,
            duplicate=self.duplicate + other.duplicate,
            aside=self.aside + other.aside,
            waiting=self.waiting + other.waiting,
            erased=self.erased + other.erased,
            gaps=self.gaps + other.gaps,
            missing=self.missing + other.missing,
            bytes=self.bytes + other.bytes,
            first_gap=self.first_gap or other.first_gap,
            why=self.why or other.why,
        )
