"""What becomes of one entry: the next, one that is known, one behind a gap, one that has no place."""

from __future__ import annotations

import pytest

from serinus.archive import Chain
from serinus.chain import GENESIS
from tests.unit.archive.logs import chain

A = chain(9)
B = chain(9, "b")


def after(*lines: bytes) -> Chain:
    """A chain that was given these."""
    kept: dict[int, str] = {}
    made = Chain(kept=kept.get)
    for line in lines:
        if made.take(line).fate == "kept":
            kept[made.seq] = made.head
    return made


@pytest.mark.parametrize(
    ("given", "line", "fate", "missing", "why"),
    [
        ([], A[0], "kept", 0, ""),
        (A[:3], A[3], "kept", 0, ""),
        (A[:3], A[2], "duplicate", 0, ""),
        (A[:3], A[0], "duplicate", 0, ""),
        (A[:3], A[5], "kept", 2, ""),
        ([], A[4], "kept", 4, ""),
        ([*A[:3], A[5]], A[5], "duplicate", 0, ""),
        ([*A[:3], A[5]], A[4], "aside", 0, "comes after later ones"),
        (A[:3], B[1], "aside", 0, "another entry 2"),
        (A[:3], B[3], "aside", 0, "does not follow entry 3"),
        ([*A[:3], B[3]], B[4], "aside", 0, "follows an entry that was set aside"),
        ([*A[:3], B[3], B[4]], B[5], "aside", 0, "follows an entry that was set aside"),
        ([*A[:3], B[3]], A[3], "kept", 0, ""),
        (A[:3], A[3].replace(b'"a-4"', b'"a-5"'), "aside", 0, "was changed"),
        (A[:3], A[3].replace(b'"body":', b'"body": '), "aside", 0, "not in the form"),
        (A[:3], A[3][:-2], "aside", 0, ""),
        (A[:3], b"", "aside", 0, ""),
        (A[:3], b"\xff\x00", "aside", 0, ""),
        (A[:3], A[3].replace(b'"id"', b'\n"id"'), "aside", 0, "not in the form"),
    ],
)
def test_an_entry_is_kept_known_or_set_aside(
    given: list[bytes], line: bytes, fate: str, missing: int, why: str
) -> None:
    made = after(*given)
    before = made.seq, made.head
    step = made.take(line)
    assert (step.fate, step.missing) == (fate, missing)
    assert why in step.why
    assert bool(step.why) == (fate == "aside")
    if fate != "kept":
        assert (made.seq, made.head) == before


def test_an_empty_chain_begins_before_its_first_entry() -> None:
    made = after()
    assert (made.seq, made.head) == (0, GENESIS)
