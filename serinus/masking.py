"""Secrets taken out of what is written for people: errors, logs, tracebacks.

Two nets, since neither is enough alone: forms in which a secret stands in a text
(the password of a URL, ``token=…``, a bearer token, a webhook's path, a private key),
and the very values of the environment's secrets, wherever they turn up.
"""

from __future__ import annotations

import argparse
import logging
import os
import re
import sys
import threading
import traceback
from collections.abc import Mapping
from types import TracebackType
from typing import Any, NoReturn
from urllib.parse import quote

HIDDEN = "***"
_SECRET_NAME = re.compile(r"PASSWORD|PASSWD|SECRET|TOKEN|CREDENTIAL|PRIVATE_KEY|API_KEY|ACCESS_KEY(?!_ID)")
_SHORTEST = 6
_FORMS: tuple[tuple[re.Pattern[str], str], ...] = (
    # A raw password may hold whatever a URL may not, so everything up to the last @ is taken for it.
    # What repeats is bounded, or a long text that others sent takes the square of its length.
    (re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30}://[^\s/@:'\"]*):[^\s'\"]{0,1000}@"), rf"\1:{HIDDEN}@"),
    (re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30}://)[^\s/@:'\"]{16,}@"), rf"\1{HIDDEN}@"),
    (
        re.compile(
            # As a flag, in a URL's query, in a dict's repr, in JSON, in JSON within a string. What a bracket opens
            # after a name has names of its own.
            r"(?i)((?:token|password|passwd|secret|api[_-]?key|access[_-]?key|\bsig|\bsignature|"
            r"\bx-amz-(?:signature|credential))(?:\\?[\"'])?\s*[=:]\s*)(?!\s)(?![{\[][\"'\s])"
            r"(?:\\\"[^\"\\]*\\\"|b?\"(?:[^\"\\]|\\.)*\"|b?'(?:[^'\\]|\\.)*'|[^\s&,;'\"\]})]+)"
        ),
        rf"\1{HIDDEN}",
    ),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}"), rf"\1 {HIDDEN}"),
    (re.compile(r"(https?://hooks\.slack\.com/)[^\s'\"]+"), rf"\1{HIDDEN}"),
    (re.compile(r"(https?://[^\s/'\"]+/(?:api/)?webhooks?/)[^\s'\"]+", re.IGNORECASE), rf"\1{HIDDEN}"),
    (
        re.compile(
            r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
        ),
        f"{HIDDEN} (a private key)",
    ),
)


def secrets_in(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Values of the variables whose names say that they are secret, longest first; paths are none."""
    found = {
        value
        for name, value in environment.items()
        if _SECRET_NAME.search(name.upper()) and len(value) >= _SHORTEST and not value.startswith("/")
    }
    # In a URL it stands percent-encoded.
    return tuple(sorted(found | {quote(value, safe="") for value in found}, key=len, reverse=True))


def masked(text: str, environment: Mapping[str, str] | None = None) -> str:
    """The text without its secrets; the same text where there are none."""
    for value in secrets_in(os.environ if environment is None else environment):
        if value in text:
            text = text.replace(value, HIDDEN)
    if "=" in text or ":" in text or " " in text:
        for form, instead in _FORMS:
            text = form.sub(instead, text)
    return text


class Parser(argparse.ArgumentParser):
    """argparse's, whose usage errors repeat what was typed without its secrets."""

    def error(self, message: str) -> NoReturn:
        """Exit with 2."""
        super().error(masked(message))


def mask_logs() -> None:
    """Mask every log record and every uncaught exception of this process from now on.

    httpx tells each request's whole URL at INFO, which a webhook's secret is part of: only its warnings stay.
    """
    logging.getLogger("httpx").setLevel(logging.WARNING)
    make = logging.getLogRecordFactory()
    if getattr(make, "masks", False):
        return

    def record(*given: Any, **named: Any) -> logging.LogRecord:
        made = make(*given, **named)
        try:
            said = made.getMessage()
        except Exception:  # a wrong format, or an argument that has no text: logging says so itself
            return made
        made.msg, made.args = masked(said), None
        if made.exc_info and made.exc_info[0] is not None and not made.exc_text:
            made.exc_text = masked("".join(traceback.format_exception(*made.exc_info)).rstrip("\n"))
        return made

    record.masks = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(record)
    sys.excepthook = _told
    threading.excepthook = _told_of_thread


def _told(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    sys.stderr.write(masked("".join(traceback.format_exception(kind, error, trace))))


def _told_of_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_type is SystemExit or args.exc_value is None:
        return
    name = "" if args.thread is None else args.thread.name
    sys.stderr.write(f"Exception in thread {name}:\n")
    _told(args.exc_type, args.exc_value, args.exc_traceback)
