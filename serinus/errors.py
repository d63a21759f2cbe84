"""Errors that say what was wrong, where, and what to do about it.

Every error a user can meet carries a stable code (``SRN-AREA-NNN``), which
``docs/errors.md`` explains. Message, place and remedy are separate fields, so
that none of them can be forgotten and a script can read them.
"""

from __future__ import annotations

import re
from typing import Any

from serinus.masking import masked

_CODE = re.compile(r"^SRN-[A-Z]+-\d{3}$")


class SerinusError(Exception):
    """A failure with a stable code, a place and a remedy.

    Args:
        code: ``SRN-AREA-NNN``; documented in ``docs/errors.md``.
        what: what was wrong, with the offending value.
        where: file, line, field, URL or port; empty where the command line
            itself is the place.
        hint: what the reader should do next.

    Raises:
        ValueError: if the code is not of the form above, or no hint is given.
    """

    def __init__(self, code: str, what: str, *, where: str = "", hint: str) -> None:
        if not _CODE.match(code):
            raise ValueError(f"error code {code!r} is not of the form SRN-AREA-NNN")
        if not hint:
            raise ValueError(f"{code} needs a hint: what should the reader do?")
        # An error ends in logs, reports and answers: whatever it quotes, it quotes without secrets.
        what, where, hint = masked(what), masked(where), masked(hint)
        self.code = code
        self.what = what
        self.where = where
        self.hint = hint
        super().__init__(code, what, where, hint)

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        return f"{self.code} {place}{self.what}. {self.hint}"

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions cross process boundaries (pipeline steps); keyword-only
        # arguments would be lost by the default protocol.
        return (_rebuild, (type(self), self.code, self.what, self.where, self.hint))

    def to_dict(self) -> dict[str, str]:
        """The error as a script reads it (``--output json``)."""
        return {"code": self.code, "what": self.what, "where": self.where, "hint": self.hint}


def _rebuild(cls: type[SerinusError], code: str, what: str, where: str, hint: str) -> SerinusError:
    return cls(code, what, where=where, hint=hint)
