"""Telling MLflow what the registry holds: whatever it has not been told yet, however often it was away.

The registry decides and is complete without it. What was told is kept beside each version by its
fingerprint, so a failure, a crash, or an MLflow that comes later needs no queue: what differs is told.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Callable, Generator, Sequence
from typing import Any

import msgspec

from serinus.errors import SerinusError
from serinus.registry.catalogue import Catalogue, Entry, entry_of
from serinus.registry.mlflow_store import URI, MlflowCatalogue, without_password
from serinus.registry.records import Version
from serinus.registry.review_book import ReviewBook
from serinus.registry.reviews import load_policy
from serinus.registry.store import Registry


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What a catalogue knows of a version. ``current`` says whether that is all; ``error`` why not,
    where it was tried; ``run`` and ``number`` are the catalogue's names for it."""

    model: str
    version: int
    current: bool
    run: str = ""
    number: str = ""
    attempts: int = 0
    error: str = ""


def tracking_uri() -> str:
    """``$MLFLOW_TRACKING_URI``, empty where nobody asked for MLflow."""
    return os.environ.get(URI, "").strip()


def sync(
    registry: Registry,
    uri: str,
    models: Sequence[str] | None = None,
    *,
    connect: Callable[[str], Catalogue] = MlflowCatalogue,
) -> list[State]:
    """Tell the catalogue at ``uri`` of every version that it does not know as it is now, oldest first.

    Where it fails, what is left waits for the next time: numbers and aliases follow ours, and a
    catalogue that is away is asked once, not for every version.

    Returns:
        How every version stands afterwards. Nothing is raised: a catalogue that is away loses nothing.
    """
    place, found = without_password(uri), list[State]()
    catalogue: Catalogue | None = None
    failure: SerinusError | None = None
    with _alone(registry):
        for model in registry.models() if models is None else models:
            for version in registry.versions(model):
                entry = _entry(registry, version)
                state = _state(registry, place, entry)
                if state.current:
                    found.append(state)
                    continue
                if failure is None:
                    try:
                        catalogue = catalogue or connect(uri)
                        told = catalogue.tell(entry)
                        _keep(registry, place, entry, run=told.run, number=told.number)
                    except SerinusError as error:
                        failure = error
                if failure is not None:
                    _keep(registry, place, entry, error=str(failure))
                found.append(_state(registry, place, entry))
    return found


def pending(registry: Registry, uri: str) -> int:
    """How many versions the catalogue at ``uri`` does not know as they are now. Asks nobody."""
    place = without_password(uri)
    return sum(
        not _state(registry, place, _entry(registry, version)).current
        for model in registry.models()
        for version in registry.versions(model)
    )


@contextlib.contextmanager
def _alone(registry: Registry) -> Generator[None]:
    """One at a time: two that tell of the same version would make two runs of it."""
    with (registry.home.root / "catalogue.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _entry(registry: Registry, version: Version) -> Entry:
    model, number = version.model, version.version
    return entry_of(
        version,
        history=registry.history(model, number),
        approvals=registry.approvals(model, number),
        reviews=ReviewBook(registry, load_policy(registry.home)).reviews(model, number),
    )


def _state(registry: Registry, uri: str, entry: Entry) -> State:
    with registry.transaction() as db:
        row = _row(db, uri, entry)
    if row is None:
        return State(model=entry.model, version=entry.version, current=False)
    return State(
        model=entry.model,
        version=entry.version,
        current=row["fingerprint"] == entry.fingerprint(),
        run=row["run"],
        number=row["number"],
        attempts=row["attempts"],
        error=row["error"],
    )


def _keep(
    registry: Registry, uri: str, entry: Entry, *, run: str = "", number: str = "", error: str = ""
) -> None:
    with registry.transaction() as db:
        row = _row(db, uri, entry)
        known: dict[str, Any] = (
            {"fingerprint": "", "run": "", "number": "", "attempts": 0} if row is None else dict(row)
        )
        db.execute(
            "INSERT OR REPLACE INTO told (uri, model, version, fingerprint, run, number, attempts, error, time)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                uri,
                entry.model,
                entry.version,
                known["fingerprint"] if error else entry.fingerprint(),
                run or known["run"],
                number or known["number"],
                known["attempts"] + 1 if error else 0,
                error,
                registry.now(),
            ),
        )


def _row(db: sqlite3.Connection, uri: str, entry: Entry) -> sqlite3.Row | None:
    return db.execute(
        "SELECT * FROM told WHERE uri = ? AND model = ? AND version = ?", (uri, entry.model, entry.version)
    ).fetchone()
