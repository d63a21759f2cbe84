"""The restricted file of protected attributes, sealed with the keys of the decisions it belongs to.

A line ``{"request_id": …, "attributes": {…}}`` becomes ``{"request_id": …, "key": …, "sealed": …}``:
``seal.unsealed`` reads it back, and destroying the person's key closes it with their decisions.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from serinus.chain import Gaps, Place, find_logs, read_on
from serinus.errors import SerinusError
from serinus.home import fsync_directory
from serinus.privacy.seal import Keys, SubjectKey, Withheld, key_of

_encode = msgspec.json.Encoder().encode


class _Line(msgspec.Struct, frozen=True):
    request_id: str
    attributes: dict[str, Any]


class _Id(msgspec.Struct, frozen=True):
    id: str


class Sealed(msgspec.Struct, frozen=True, kw_only=True):
    """How many lines were sealed; were sealed before; have no sealed decision and stay as they were; were left
    out, since their person is erased or their key is not here."""

    sealed: int = 0
    before: int = 0
    clear: int = 0
    left_out: int = 0


def seal_protected(
    source: Path, target: Path, logs: Sequence[Path], keys: Keys, gaps: Gaps | None = None
) -> Sealed:
    """Write the file anew, sealed, readable by its owner only; whole or not at all.

    Args:
        target: may be the source; then nothing is left out but who is erased.
        logs: decision logs, or directories of them, that say which key a request has.
        gaps: told by the archive; a log that breaks just there is read on.

    Raises:
        SerinusError: ``SRN-PRIVACY-009`` the file cannot be read or written, a line is none, or its key is not
            here and the line would be lost; what the logs raise.
    """
    found = {
        msgspec.json.decode(body, type=_Id).id: key
        for log in find_logs(logs)
        for body in read_on(log, Place((gaps or Gaps()).of(log)))
        if (key := key_of(body)) is not None
    }
    counts = dict.fromkeys(Sealed.__struct_fields__, 0)
    aside = target.with_name(f".{target.name}.{os.getpid()}")
    where = str(source)
    try:
        with (
            source.open("rb") as lines,
            os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out,
        ):
            in_place = target.exists() and source.samefile(target)
            for number, line in enumerate(lines, 1):
                where = f"{source}, line {number:,}"
                if line.strip():
                    kind, written = _sealed(line, found, keys, in_place)
                    counts[kind] += 1
                    out.write(written)
            out.flush()
            os.fsync(out.fileno())
        os.replace(aside, target)
        fsync_directory(target.parent)
    except Withheld as error:
        aside.unlink(missing_ok=True)
        raise SerinusError(
            "SRN-PRIVACY-009",
            f"the protected attributes cannot be sealed in their place: a line would be lost ({error.why})",
            where=where,
            hint="Bring that key back (docs/privacy.md, backups), or name another file for what is sealed. "
            "Nothing was written.",
        ) from error
    except (OSError, msgspec.DecodeError) as error:
        aside.unlink(missing_ok=True)
        raise SerinusError(
            "SRN-PRIVACY-009",
            f"the protected attributes cannot be sealed ({error})",
            where=where,
            hint='Lines are {"request_id": …, "attributes": {…}}; mend that one, or the permissions. '
            "Nothing was written.",
        ) from error
    return Sealed(**counts)


def _sealed(line: bytes, found: dict[str, str], keys: Keys, in_place: bool) -> tuple[str, bytes]:
    if key_of(line) is not None:
        return "before", line
    read = msgspec.json.decode(line, type=_Line)
    key_id = found.get(read.request_id)
    if key_id is None:
        return "clear", line
    try:
        key = SubjectKey(key_id, keys.key(key_id))
    except Withheld as withheld:
        if in_place and withheld.verdict != "erased":
            raise
        return "left_out", b""
    clear = b'{"request_id":%b,' % _encode(read.request_id)
    plain = b'"attributes":%b' % _encode(read.attributes)
    return "sealed", b"%b%b}\n" % (clear, key(clear, plain))
