"""Forgetting a person's histories in a Redis that scorers share."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, cast

from redis import Redis
from redis.exceptions import RedisError

from serinus.contract import Contract
from serinus.errors import SerinusError
from serinus.features.online.layout import Layout
from serinus.features.online.link import redacted, tls_of
from serinus.features.online.scripts import OF_ENTITY
from serinus.features.reading import Reader

_AT_ONCE = 1000


class RedisHistories:
    """The histories of these contracts' entities.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``.
        contracts: whose features are kept there; those of one layout are asked for once.
        password: overrides the URL's.

    Raises:
        SerinusError: ``SRN-FEATURES-007`` the URL is not one.
    """

    def __init__(self, url: str, contracts: Iterable[Contract], *, password: str | None = None) -> None:
        self._where = redacted(url)
        readers = {(r := Layout(Reader(c))).prefix: (r, Reader(c)) for c in contracts if c.entities}
        self._layouts = list(readers.values())
        try:
            given: dict[str, Any] = {"password": password} if password else {}
            given |= tls_of(url, os.environ)
            self._redis = Redis.from_url(url, socket_timeout=10.0, **given)
        except (ValueError, TypeError, RedisError):
            raise SerinusError(
                "SRN-FEATURES-007",
                "this is not the URL of a Redis",
                where=self._where,
                hint="Give redis://host:6379/0, rediss://… for TLS or unix:///path/of.sock.",
            ) from None

    def forget(self, column: str, name: str) -> int:
        """Delete the histories of one entity, and what names its events; how many histories there were.

        Args:
            column: of the entity's key; other entities are left alone.

        Raises:
            SerinusError: ``SRN-FEATURES-008`` Redis cannot be asked; asking again goes on.
        """
        try:
            return sum(self._forget(layout, reader, column, name) for layout, reader in self._layouts)
        except (RedisError, OSError) as error:
            raise SerinusError(
                "SRN-FEATURES-008",
                f"the histories cannot be forgotten ({type(error).__name__})",
                where=self._where,
                hint="Bring Redis back and repeat; what is gone already stays gone.",
            ) from error

    def _forget(self, layout: Layout, reader: Reader, column: str, name: str) -> int:
        places = [index for index, of in enumerate(reader.columns) if of == column]
        if not places:
            return 0
        # Without a feature that reads labels a mark holds nothing but that the event was there.
        of_entity = self._redis.register_script(OF_ENTITY)
        sets = [f"h{index}:{name}" for index in places]
        events: list[bytes] = []
        for marks in _batched(self._scan(layout.event("")), _AT_ONCE):
            events += cast("list[bytes]", of_entity(keys=marks, args=sets))
        ids = {mark.removeprefix(layout.event("").encode()) for mark in events}
        if ids:
            for decision in self._scan(layout.decision("")):
                if self._redis.get(decision) in ids:
                    events.append(decision)
        if events:
            self._redis.delete(*events)
        return self._redis.delete(*(layout.key(index, name) for index in places))

    def _scan(self, prefix: str) -> Iterator[bytes]:
        return self._redis.scan_iter(match=_literal(prefix) + "*", count=_AT_ONCE)

    def close(self) -> None:
        """Release the connection."""
        self._redis.close()


def _literal(text: str) -> str:
    """A text as a pattern of SCAN that means itself."""
    return "".join(f"\\{c}" if c in "*?[]^\\-" else c for c in text)


def _batched(items: Iterator[bytes], size: int) -> Iterator[list[bytes]]:
    while batch := list(islice(items, size)):
        yield batch
