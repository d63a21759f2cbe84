"""How histories lie in Redis. Pure: bytes and names, no connection.

Of each entity's key a sorted set ``h<entity>:<key>``: scored by event time, a
member holds time, arrival and the time from which its label may be read
(microseconds, int64), the values (float64), and eight bytes of the event id, all
little-endian. ``e:<id>`` says that an event is there (and, where labels are read, which
member it is), ``x:<id>`` is a label that waits for its event, ``d:<decision>`` the id of
the event decided on, and ``now`` the latest arrival. All begin with a prefix in braces,
so that a cluster keeps them in one slot, and with a digest of whatever
the layout depends on, so that other features never read them.
"""

from __future__ import annotations

import os
import struct
from hashlib import blake2b

import msgspec
import numpy as np

from serinus.features.history import History, absent
from serinus.features.reading import FeatureEvent, Reader

_FORMAT = 1
_HEAD = 24


class Layout:
    """Names and members for one contract's features."""

    def __init__(self, reader: Reader) -> None:
        width = len(reader.plan.values)
        self._reader = reader
        self._member = struct.Struct(f"<qqq{width}d8s")
        self._dtype = np.dtype(
            [("time", "<i8"), ("arrival", "<i8"), ("label", "<i8"), ("values", "<f8", (width,)), ("id", "S8")]
        )
        self.prefix = f"{{serinus:{reader.contract.name}:{signature(reader)}}}:"
        # Lua counts from 1; 0 says that no feature reads the label.
        self.label_at = 0 if reader.label is None else _HEAD + 8 * reader.label + 1
        self.ttl = max(1, -(-reader.horizon // 1000))
        """Milliseconds without a write after which nothing of a history can be read any more."""

    def key(self, index: int, key: str) -> str:
        """The sorted set of one entity's key."""
        return f"{self.prefix}h{index}:{key}"

    def event(self, event_id: str) -> str:
        """The mark that an event is there."""
        return f"{self.prefix}e:{event_id}"

    def early(self, event_id: str) -> str:
        """The label that waits for an event."""
        return f"{self.prefix}x:{event_id}"

    def decision(self, decision_id: str) -> str:
        """The event that a decision was about."""
        return f"{self.prefix}d:{decision_id}"

    @property
    def now(self) -> str:
        """The latest arrival."""
        return f"{self.prefix}now"

    def pack(self, event: FeatureEvent) -> bytes:
        """A member. Without an event id its eight bytes are random: each such event counts."""
        name = os.urandom(8) if event.id is None else blake2b(event.id.encode(), digest_size=8).digest()
        return self._member.pack(event.time, event.arrival, event.time, *event.values, name)

    def unpack(self, blob: bytes, index: int) -> History | None:
        """The members of one entity's key, one after the other, as its history; None if there are none."""
        if not blob:
            return None
        rows = np.frombuffer(blob, dtype=self._dtype)
        values = rows["values"]
        history = History(values.shape[1], self._reader.labelled[index])
        history.times.frombytes(rows["time"].tobytes())
        history.arrivals.frombytes(rows["arrival"].tobytes())
        for column, kept in enumerate(history.columns):
            kept.frombytes(values[:, column].tobytes())
            history.nulls[column] = absent(kept)
        history.latest_arrival = int(rows["arrival"].max())
        if history.label_at is not None:
            history.label_at.frombytes(rows["label"].tobytes())
            history.latest_label = int(rows["label"].max())
        return history


def packed(value: float) -> bytes:
    """A label as members hold it."""
    return struct.pack("<d", value)


def signature(reader: Reader) -> str:
    """Twelve hexadecimal digits of whatever the stored bytes depend on."""
    contract = reader.contract
    what = (
        _FORMAT,
        reader.plan.values,
        tuple(zip(reader.plan.entities, reader.columns, reader.retain, strict=True)),
        (contract.label.column, str(contract.label.positive), reader.plan.label_delay, reader.label),
        (contract.event.id, contract.event.time, contract.event.arrival, reader.lateness),
    )
    return blake2b(msgspec.json.encode(what), digest_size=6).hexdigest()
