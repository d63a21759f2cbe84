"""URIs of stored things."""

from __future__ import annotations

import re
import urllib.parse
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from serinus.errors import SerinusError

# What S3 and its kin have in common (AWS: "General purpose bucket naming rules").
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


@dataclass(frozen=True)
class Location:
    """``s3://bucket/key`` or ``file:///path``. ``bucket`` is empty for a file; ``path`` has no ``/`` at its
    end, and for S3 none at its start."""

    scheme: Literal["s3", "file"]
    bucket: str
    path: str

    def __str__(self) -> str:
        if self.scheme == "file":
            return f"file://{self.path}"
        return f"s3://{self.bucket}/{self.path}".rstrip("/")

    @property
    def name(self) -> str:
        """The last part of the path."""
        return PurePosixPath(self.path).name

    @property
    def parent(self) -> Location:
        """Everything before it."""
        return Location(self.scheme, self.bucket, self.path.rpartition("/")[0])

    def __truediv__(self, name: str) -> Location:
        return Location(self.scheme, self.bucket, f"{self.path}/{name}" if self.path else name)


def parse_location(text: str) -> Location:
    """Read a URI.

    Raises:
        SerinusError: ``SRN-STORE-001`` it is neither ``s3://bucket/…`` nor ``file:///…``.
    """
    parts = urllib.parse.urlsplit(text)
    steps = parts.path.strip("/").split("/") if parts.path.strip("/") else []
    if "?" in text or "#" in text:
        raise _bad(text, "it has a query or a fragment")
    if any(step in ("", ".", "..") for step in steps):
        raise _bad(text, "its path has an empty part, . or ..")
    if not text.isprintable():
        raise _bad(text, "it has characters that cannot be printed")
    path = "/".join(steps)
    if parts.scheme == "s3":
        if not _BUCKET.fullmatch(parts.netloc):
            raise _bad(text, f"{parts.netloc!r} is not the name of a bucket")
        return Location("s3", parts.netloc, path)
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost"):
            raise _bad(text, "a file URI has three slashes: file:///path")
        if not path:
            raise _bad(text, "it names no path")
        return Location("file", "", "/" + path)
    raise _bad(text, f"the scheme {parts.scheme!r} is not known" if parts.scheme else "it has no scheme")


def _bad(text: str, why: str) -> SerinusError:
    return SerinusError(
        "SRN-STORE-001",
        f"{text!r} is not the URI of a store: {why}",
        hint="Give s3://bucket/path for S3 and what speaks its protocol, or file:///path for a volume.",
    )
