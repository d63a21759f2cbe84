"""The loop: watch, queue, pass."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from fnmatch import fnmatchcase

from tests.cluster.kube import ApiError, Kube, Obj

from .objects import EXECUTOR_IMAGE
from .reconcile import reconcile

LOG = logging.getLogger("seldon-stand-in")
Key = tuple[str, str]
OWNED = ("Deployment", "Service", "VirtualService")


def now() -> str:
    """The time, as Kubernetes writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Queue:
    """Keys to look at, each at most once, some of them later."""

    def __init__(self) -> None:
        self._due: dict[Key, float] = {}
        self._changed = threading.Condition()

    def add(self, key: Key, after: float = 0.0) -> None:
        """Look at it, ``after`` seconds from now at the latest."""
        with self._changed:
            due = time.monotonic() + after
            self._due[key] = min(due, self._due.get(key, due))
            self._changed.notify()

    def take(self, stop: threading.Event) -> Key | None:
        """The next one that is due; None once stopped."""
        with self._changed:
            while not stop.is_set():
                key = min(self._due, key=self._due.__getitem__, default=None)
                if key is not None and self._due[key] <= time.monotonic():
                    del self._due[key]
                    return key
                wait = 1.0 if key is None else max(0.0, min(1.0, self._due[key] - time.monotonic()))
                self._changed.wait(wait)
        return None


class Operator:
    """Looks after the SeldonDeployments of some namespaces, so that several can share a cluster.

    Args:
        namespaces: patterns as of a shell (``sim-*``).
    """

    def __init__(self, kube: Kube, namespaces: list[str], executor_image: str = EXECUTOR_IMAGE) -> None:
        self._kube, self._namespaces, self._image = kube, namespaces, executor_image
        self._queue = Queue()
        self._failures: dict[Key, int] = {}

    def run(self, stop: threading.Event, ready: Callable[[], None] = lambda: None) -> None:
        """Until ``stop`` is set."""
        kinds = ("SeldonDeployment", *OWNED)
        threads = [threading.Thread(target=self._watch, args=(kind, stop), daemon=True) for kind in kinds]
        for thread in threads:
            thread.start()
        ready()
        while (key := self._queue.take(stop)) is not None:
            self._pass(key)

    def _watch(self, kind: str, stop: threading.Event) -> None:
        for _, obj in self._kube.watch(kind, stop):
            key = self._key(kind, obj)
            if key is not None:
                self._queue.add(key)

    def _key(self, kind: str, obj: Obj) -> Key | None:
        meta = obj["metadata"]
        if not any(fnmatchcase(meta["namespace"], pattern) for pattern in self._namespaces):
            return None
        if kind == "SeldonDeployment":
            return meta["namespace"], meta["name"]
        owners = [owner for owner in meta.get("ownerReferences", []) if owner["kind"] == "SeldonDeployment"]
        return (meta["namespace"], owners[0]["name"]) if owners else None

    def _pass(self, key: Key) -> None:
        try:
            reconcile(self._kube, *key, now, self._image)
            self._failures.pop(key, None)
        except ApiError as error:
            # Conflicts pass; a refusal (quota, a bad pod) is tried again ever more slowly.
            count = self._failures[key] = self._failures.get(key, 0) + 1
            LOG.log(logging.DEBUG if error.code == 409 else logging.WARNING, "%s/%s: %s", *key, error)
            self._queue.add(key, 0.0 if error.code == 409 else min(30.0, 0.1 * 2**count))
        except Exception:
            LOG.exception("%s/%s", *key)
            self._queue.add(key, 5.0)
