"""The part of a chained log that falls into a period, other models' entries left out but still linked.

A line that is left out keeps its number, its link and its hash, and loses its
body: the chain through it can be followed, and what it said stays private.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import msgspec

from serinus.chain import read_chain
from serinus.export.period import Period

_TIME = re.compile(rb'"time":"([^"]{10,40})"')
_Of = Callable[[bytes], bool]


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


def bounds(log: Path, period: Period) -> tuple[int, int] | None:
    """First and last entry of the period, the whole log verified; None if there is none.

    Raises:
        SerinusError: ``SRN-AUDIT-003`` the log is broken; ``-004`` it cannot be read.
    """
    first = last = 0
    for entry in read_chain(log):
        found = _TIME.search(bytes(entry.body))
        if found is not None and period.holds(found[1].decode()):
            first, last = first or entry.seq, entry.seq
    return (first, last) if first else None


def cut(log: Path, span: tuple[int, int], about: _Of, out: BinaryIO, *, name: str) -> Cut:
    """Write the entries of ``span`` as they stand, those of other models without their bodies.

    Raises: as ``bounds``.
    """
    shown = left_out = 0
    head = ""
    for entry in read_chain(log):
        if entry.seq < span[0]:
            continue
        if entry.seq > span[1]:
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
    return Cut(log=name, first=span[0], last=span[1], shown=shown, left_out=left_out, head=head)
