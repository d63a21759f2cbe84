"""The part of a chained log that falls into a period, other models' entries left out but still linked.

A line that is left out keeps its number, its link and its hash, and loses its
body: the chain through it can be followed, and what it said stays private.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec

from serinus.chain import Break, ChainBroken, Gap, Place, read_chain
from serinus.chain.gaps import GapsOfLog
from serinus.chain.standing import read_held
from serinus.export.period import Period

_TIME = re.compile(rb'"time":"([^"]{10,40})"')
_Of = Callable[[bytes], bool]


class Span(NamedTuple):
    """What of a log falls into a period: its entries ``first`` to ``last``, 0 if there are none, and the told gaps
    in which entries of the period may be missing."""

    first: int
    last: int
    gaps: tuple[Gap, ...]


class Cut(msgspec.Struct, frozen=True, kw_only=True):
    """What was cut out of a log: entries ``first`` to ``last``, of which ``shown`` have their bodies."""

    log: str
    first: int
    last: int
    shown: int
    left_out: int
    head: str


class _Data(msgspec.Struct, frozen=True):
    model: str = ""


class _Event(msgspec.Struct):
    data: _Data = _Data()
    subject: str = ""
    action: str = ""


_read = msgspec.json.Decoder(_Event).decode


def of_model(model: str | None) -> _Of:
    """Whether a body is about a model: a decision of it, an action on it or one of its versions, or one on the
    keys, by which every model's signatures stand or fall."""
    if model is None:
        return lambda body: True

    def about(body: bytes) -> bool:
        event = _read(body)
        named = event.subject == model or event.subject.startswith(f"{model}/")
        return named or event.data.model == model or event.action.startswith("keys.")

    return about


def bounds(
    log: Path, period: Period, about: _Of, known: GapsOfLog, vouched: Mapping[int, str]
) -> Span | None:
    """What falls into the period, the whole log verified; None if nothing does.

    A gap counts if the entry before it is not younger than the period, the one behind it not older, and the log says
    anything about the model at all: entries of the period may be missing there.

    Args:
        about: whether a body is about the model that is asked for.
        known: gaps that were told.
        vouched: hashes by entry number, as sound checkpoints of the log say them.

    Raises:
        SerinusError: ``SRN-AUDIT-003`` the log is broken at a place that was not told, or a checkpoint contradicts
            it; ``-004``, ``-010`` it cannot be read.
    """
    first = last = 0
    place, before, concerned = Place(known), "", not known
    gaps: list[Gap] = []
    elsewhere: list[Gap] = []  # by the clocks on both sides, which may have been wrong
    passed = 0
    for entry in read_held(log, place, vouched):
        body = bytes(entry.body)
        found = _TIME.search(body)
        time = found[1].decode() if found is not None else ""
        if time and period.holds(time):
            first, last = first or entry.seq, entry.seq
        if len(place.gaps) > passed:
            passed = len(place.gaps)
            outside = (before and period.is_over(before)) or (time and period.is_ahead(time))
            (elsewhere if outside else gaps).append(place.gaps[-1])
        before = time or before
        concerned = concerned or about(body)
    if (told := max((gap.after for gap in known.values()), default=0)) > place.seq:
        what = f"ends at entry {place.seq:,}, but a gap behind entry {told:,} was told"
        raise ChainBroken.of(Break(str(place.file), place.line, place.seq, what))
    # One between two entries that are handed over is in the archive's chain, whatever the clocks say.
    gaps += [gap for gap in elsewhere if first <= gap.after and gap.before <= last]
    gaps.sort(key=lambda gap: gap.before)
    if not concerned:
        gaps.clear()
    return Span(first, last, tuple(gaps)) if first or gaps else None


def cut(
    log: Path, span: Span, about: _Of, out: BinaryIO, *, name: str, known: GapsOfLog | None = None
) -> Cut:
    """Write the entries of ``span`` as they stand, those of other models without their bodies.

    Raises: as ``bounds``.
    """
    shown = left_out = 0
    head = ""
    for entry in read_chain(log, Place(known)):
        if entry.seq < span.first:
            continue
        if entry.seq > span.last:
            break
        link = b'{"seq":%d,"prev":"%b","hash":"%b"' % (entry.seq, entry.prev.encode(), entry.hash.encode())
        body = bytes(entry.body)
        if about(body):
            shown += 1
            out.write(b'%b,"body":%b}\n' % (link, body))
        else:
            left_out += 1
            out.write(link + b"}\n")
        head = entry.hash
    return Cut(log=name, first=span.first, last=span.last, shown=shown, left_out=left_out, head=head)
