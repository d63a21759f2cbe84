"""Erasing a person, so that whatever is interrupted is finished by asking again.

In this order: the intent is noted in the key store and in the audit log; the requests are
listed, so that their outcomes are not kept again when they are sent again; outcomes
and histories are forgotten; the keys are destroyed, in one transaction; that is recorded;
the note goes. Before the keys are gone every step can be done again; after, only the
record is missing. The audit log names the keys, never the person.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import Literal

import msgspec

from serinus.audit import AuditLog
from serinus.chain import read_gaps
from serinus.errors import SerinusError
from serinus.home import Home
from serinus.privacy.forgotten import Forgotten
from serinus.privacy.kept import Entry, blank_outcomes, entries_of
from serinus.privacy.retention import Retention, duty
from serinus.privacy.store import Hold, KeyStore, held_against

BEGUN, DONE = "privacy-erase", "privacy-erased"
Forget = Callable[[str], int]
"""Forgets a person's histories in one place; how many there were. Raises SerinusError."""


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a request for erasure.

    ``verdict``: ``erased`` now; ``already`` before, at ``erased_at``, with nothing kept since;
    ``nothing`` was ever sealed for that person here.
    """

    verdict: Literal["erased", "already", "nothing"]
    erasure: str = ""
    erased_at: str | None = None
    keys: tuple[str, ...] = ()
    decisions: int = 0
    outcomes: int = 0
    histories: int = 0


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A person's request as somebody carries it out. ``override``: why a duty to keep does not hold here."""

    kind: str
    subject: str
    by: str
    reason: str
    override: str = ""


def erase(
    home: Home,
    store: KeyStore,
    asked: Asked,
    *,
    now: float,
    retention: Retention,
    forget: Sequence[Forget] = (),
    step: Callable[[str], None] = lambda done: None,
) -> Erasure:
    """Erase a person, or finish it.

    Args:
        now: seconds since the epoch.
        forget: where else histories lie; each is asked, and asked again when an erasure is repeated.
        step: told of each step that is done.

    Raises:
        SerinusError: ``SRN-PRIVACY-006`` a hold or a duty to keep stands against it; ``-007`` the reason names
            the person; ``-008`` outcomes cannot be overwritten; what the logs, the store and ``forget`` raise.
            Repeating finishes what was begun.
    """
    _unnamed(asked)
    mark, at = store.mark(asked.kind, asked.subject), _stamp(now)
    again = store.is_unfinished(mark)
    before, keys = store.erased_of(mark), store.keys_of(mark)
    if not keys and not again:
        histories = sum(place(asked.subject) for place in forget)
        last = max(before.values(), default=None)
        return Erasure(verdict="nothing" if last is None else "already", erased_at=last, histories=histories)
    # Of an erasure that goes on, the keys may be gone already; its outcomes may not.
    mine = {*keys, *before} if again else set(keys)
    entries = list(entries_of([home.decisions], mine, read_gaps(home.root)))
    if not again:
        _may(store.held(mark), entries, retention, asked, now)
    name = store.begin(mark, f"e-{secrets.token_hex(6)}", at)
    step("begun")
    audit = AuditLog(home.audit, lambda: now)
    details = {"erasure": name, "keys": sorted(keys), "decisions": len(entries), "override": asked.override}
    if not _recorded(audit, BEGUN, name):
        audit.append(actor=asked.by, action=BEGUN, subject=name, reason=asked.reason, details=details)
    step("recorded")
    ids = {entry.id for entry in entries}
    Forgotten(home.root).note(mine, ids)
    outcomes = blank_outcomes(home.decisions, ids)
    step("outcomes")
    histories = sum(place(asked.subject) for place in forget)
    step("histories")
    store.destroy(mark, at)
    step("destroyed")
    gone = store.erased_of(mark)
    if not _recorded(audit, DONE, name):
        audit.append(
            actor=asked.by,
            action=DONE,
            subject=name,
            reason=asked.reason,
            details={"erasure": name, "keys": gone, "decisions": len(entries), "outcomes": outcomes},
        )
    step("confirmed")
    store.finish(mark)
    step("finished")
    return Erasure(
        verdict="erased",
        erasure=name,
        erased_at=at,
        keys=tuple(gone),
        decisions=len(entries),
        outcomes=outcomes,
        histories=histories,
    )


def may_erase(home: Home, store: KeyStore, asked: Asked, *, now: float, retention: Retention) -> None:
    """Say what stands against an erasure before anybody is asked to confirm it; changes nothing.

    ``erase`` looks again: what it is told later may have begun meanwhile.

    Raises:
        SerinusError: ``SRN-PRIVACY-006``, ``-007`` as ``erase``; what the logs and the store raise.
    """
    _unnamed(asked)
    mark = store.mark(asked.kind, asked.subject)
    keys = store.keys_of(mark)
    if not keys or store.is_unfinished(
        mark
    ):  # nothing to destroy, or begun: that is finished, whatever came since
        return
    held = store.held(mark)
    entries = [] if held else entries_of([home.decisions], set(keys), read_gaps(home.root))
    _may(held, entries, retention, asked, now)


def _unnamed(asked: Asked) -> None:
    if asked.subject in asked.reason or asked.subject in asked.override:
        raise SerinusError(
            "SRN-PRIVACY-007",
            "the reason names the person, and it would stand in the audit log for ever",
            hint="Name the request by its case number instead.",
        )


def recorded_erasures(audit: AuditLog) -> dict[str, str]:
    """Keys that the audit log says were destroyed, each with when. Raises ``SRN-AUDIT-003``."""
    return {
        key: time
        for entry in audit.entries()
        if entry.action == DONE
        for key, time in entry.details.get("keys", {}).items()
    }


def _recorded(audit: AuditLog, action: str, erasure: str) -> bool:
    return any(entry.action == action and entry.subject == erasure for entry in audit.entries())


def _may(held: Hold | None, entries: Iterable[Entry], retention: Retention, asked: Asked, now: float) -> None:
    if held is not None:
        raise held_against(held)
    kept = duty(retention, ((entry.model, entry.time) for entry in entries), now)
    if kept is None or (retention.override == "allowed" and asked.override):
        return
    how = (
        "give --override with the reason why it does not hold here"
        if retention.override == "allowed"
        else "the configuration (privacy.yaml, override) lets nobody pass over it"
    )
    raise SerinusError(
        "SRN-PRIVACY-006",
        f"decisions of {kept.model} have to be kept until {kept.until}: {kept.because}",
        hint=f"Repeat it then, or {how}; nothing was erased.",
    )


def _stamp(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds")


def forget_again(home: Home, keys: Collection[str]) -> int:
    """Blank the outcomes of recorded erasures that a backup of the home's files brought back; how many lines.

    Raises: what the logs raise; ``SRN-PRIVACY-008``.
    """
    ids = {entry.id for entry in entries_of([home.decisions], keys, read_gaps(home.root))}
    Forgotten(home.root).note(keys, ids)
    return blank_outcomes(home.decisions, ids)
