"""An image as whoever pulls it has it: its configuration, and every file of every layer, hidden ones included."""

from __future__ import annotations

import json
import re
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from tests.support.leaks import forms, pieces

_MARK = "PRIVATE KEY-----"
# Programs that know the form of a key hold its first line; a key has what follows, perhaps as a literal's escapes.
_KEY = re.compile(rb"BEGIN [A-Z ]{0,20}PRIVATE KEY-----(?:\s|\\n|\\r|['\"+\\]){0,200}[A-Za-z0-9+/]{24}")
# As Secrets of Kubernetes and their kin hold one.
_ENCODED = tuple(form for form in forms(_MARK) if form != _MARK.encode() and b"PRIVATE" not in form)
# A .pem is judged by its content: most hold the authorities' certificates.
_KEY_FILE = re.compile(
    r"(?:\.(?:key|p12|pfx|jks|keystore|ppk|kdbx)|(?:^|/)(?:id_(?:rsa|dsa|ecdsa|ed25519)|\.env[^/]*|\.netrc|"
    r"\.pypirc|\.npmrc|\.git-credentials|\.dockercfg|\.pgpass|credentials|master\.key|registry\.sqlite|keys\.db))$"
)
_KEY_DIRECTORY = re.compile(r"(?:^|/)(?:\.git|\.aws|\.ssh|\.kube|\.docker|\.serinus)/")


class Found(NamedTuple):
    """Something that should not be there: in which file (``config`` for the image's own), and what."""

    where: str
    what: str


class Image:
    """An image of buildah's store, written to a docker archive: uncompressed layers and the configuration."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self._archive = directory / "image.tar"
        self._archive.unlink(missing_ok=True)
        subprocess.run(["buildah", "push", "--quiet", name, f"docker-archive:{self._archive}"], check=True)
        with tarfile.open(self._archive) as archive:
            (told,) = json.load(_member(archive, "manifest.json"))
            self._layers: list[str] = told["Layers"]
            self.raw = _member(archive, told["Config"]).read()
        self.config = cast("dict[str, Any]", json.loads(self.raw))

    def environment(self) -> dict[str, str]:
        """The variables that a container starts with."""
        return dict(one.split("=", 1) for one in self.config["config"].get("Env", []))

    def files(self, seen: set[str] | None = None) -> Iterator[tuple[str, bytes]]:
        """Path and content of what each layer brings; a link's content is where it leads.

        ``seen`` holds the digests of layers that were read before, which are left out.
        """
        digests = self.config["rootfs"]["diff_ids"]
        assert len(digests) == len(self._layers)
        with tarfile.open(self._archive) as archive:
            for name, digest in zip(self._layers, digests, strict=True):
                if seen is not None:
                    if digest in seen:
                        continue
                    seen.add(digest)
                with tarfile.open(fileobj=_member(archive, name), mode="r|") as layer:
                    for member in layer:
                        file = layer.extractfile(member) if member.isreg() else None
                        yield member.name, member.linkname.encode() if file is None else file.read()

    def remove(self) -> None:
        """The archive only; the image stays where it is."""
        self._archive.unlink(missing_ok=True)


def search(image: Image, secrets: Mapping[str, str], seen: set[str] | None = None) -> list[Found]:
    """Where an image holds one of these secrets, a private key, or a file such as keys and passwords live in."""
    wanted = [(name, form) for name, secret in secrets.items() for form in forms(secret)]
    found = {Found("config", name) for name, form in wanted if form in image.raw}
    if _MARK.encode() in image.raw:
        found.add(Found("config", "a private key"))
    for path, content in image.files(seen):
        if _KEY_FILE.search(path) or _KEY_DIRECTORY.search(path):
            found.add(Found(path, "a file of secrets by its name"))
        found |= {Found(path, name) for name, form in wanted if form in path.encode()}
        for place, data in pieces(path, content):
            found |= {Found(place, name) for name, form in wanted if form in data}
            if (_MARK.encode() in data and _KEY.search(data)) or any(form in data for form in _ENCODED):
                found.add(Found(place, "a private key"))
    return sorted(found)


def _member(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    file = archive.extractfile(name)
    assert file is not None, name
    return file
