"""Finding planted secrets in whatever was written: in the open, encoded, and inside archives."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

DEEPEST = 3
# RuntimeError: a zip with a password.
_UNREADABLE = (
    OSError, EOFError, ValueError, RuntimeError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError,
)  # fmt: skip


def forms(secret: str) -> set[bytes]:
    """How a secret may stand in a file: as it is, percent-encoded, in base64 at any offset, in hexadecimal, in JSON."""
    raw = secret.encode()
    found = {raw, quote(secret, safe="").encode(), raw.hex().encode(), raw.replace(b"/", b"\\/")}
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + raw)
        # Without the characters that hold bits of what stands before and behind it.
        found.add(encoded[-(-offset * 4 // 3) : len(encoded) // 4 * 4 - 4])
    return {form for form in found if len(form) >= 8}


def pieces(name: str, data: bytes, depth: int = 0) -> Iterator[tuple[str, bytes]]:
    """The bytes, and what is packed in them."""
    yield name, data
    if depth >= DEEPEST:
        return
    for inner, content in _packed(data):
        yield from pieces(f"{name}!{inner}", content, depth + 1)


def _packed(data: bytes) -> Iterator[tuple[str, bytes]]:
    """What an archive holds, as far as it can be read: a cut or locked one was searched as it is."""
    try:
        if data[:2] == b"\x1f\x8b":
            yield "gz", gzip.decompress(data)
        elif data[:3] == b"BZh":
            yield "bz2", bz2.decompress(data)
        elif data[:6] == b"\xfd7zXZ\0":
            yield "xz", lzma.decompress(data)
        elif data[:4] == b"PK\x03\x04":
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                for member in archive.namelist():
                    yield member, archive.read(member)
        elif data[257:262] == b"ustar":
            with tarfile.open(fileobj=io.BytesIO(data)) as archive:
                for member in archive.getmembers():
                    file = archive.extractfile(member)
                    if file is not None:
                        yield member.name, file.read()
    except _UNREADABLE:
        return


def leaks(
    root: Path, secrets: Mapping[str, str], allowed: Callable[[Path], bool] = lambda path: False
) -> list[tuple[str, str]]:
    """Where below a directory which secret stands: (file, name of the secret)."""
    wanted = [(name, form) for name, secret in secrets.items() for form in forms(secret)]
    found: set[tuple[str, str]] = set()
    for path in sorted(root.rglob("*")):
        if not path.is_file() or path.is_symlink() or allowed(path):
            continue
        where = str(path.relative_to(root))
        found |= {(where, name) for name, form in wanted if form in where.encode()}
        for place, data in pieces(where, path.read_bytes()):
            found |= {(place, name) for name, form in wanted if form in data}
    return sorted(found)
