"""Bundles on their way between machines: under their digest out, verified in."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

import msgspec

from serinus.bundle.keyring import Keyring
from serinus.bundle.keys import Signature
from serinus.bundle.manifest import MANIFEST, SIGNATURE, Manifest
from serinus.bundle.read import Bundle, open_bundle
from serinus.errors import SerinusError
from serinus.home import fsync_directory, unwritable
from serinus.storage import Budget, ObjectStore, download

PARTIAL = ".fetching"
_LIMITS = {MANIFEST: 1 << 20, SIGNATURE: 1 << 14}
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True)
class Pushed:
    """Where a bundle lies now; ``created`` is False if it lay there before."""

    uri: str
    digest: str
    created: bool


@dataclass(frozen=True)
class Fetched:
    """A verified bundle on this machine, and the bytes that came for it (0: it was here before)."""

    bundle: Bundle
    received: int


def push_bundle(bundle: Bundle, store: ObjectStore) -> Pushed:
    """Put a bundle below the store's place, in a directory named by its digest's 64 hex digits.

    The manifest goes last, and a reader begins with it, so nobody sees half a bundle.
    A bundle that is there already is left as it is; one that was half put there is
    completed.

    Args:
        bundle: from ``open_bundle``: what is damaged here is not handed on.
        store: the place where bundles are kept, e.g. ``s3://models/bundles``.

    Raises:
        SerinusError: ``SRN-BUNDLE-007`` another manifest or signature lies there; those of the store.
    """
    directory = bundle.digest.removeprefix("sha256:")
    pushed = Pushed(f"{store.where}/{directory}", bundle.digest, created=False)
    manifest, signature = (bundle.path / MANIFEST).read_bytes(), (bundle.path / SIGNATURE).read_bytes()
    if store.size(f"{directory}/{MANIFEST}") is not None:
        for name, mine in ((MANIFEST, manifest), (SIGNATURE, signature)):
            if _small(store, f"{directory}/{name}", _LIMITS[name]) != mine:
                raise SerinusError(
                    "SRN-BUNDLE-007",
                    f"another {name} lies there under this bundle's digest",
                    where=pushed.uri,
                    hint="The same bundle signed by another key, or a damaged one. Push it to another place, or "
                    "remove that directory if nobody is served from it.",
                )
        sizes = {name: store.size(f"{directory}/{name}") for name in bundle.manifest.files}
        if all(sizes[name] == entry.size for name, entry in bundle.manifest.files.items()):
            return pushed
    for name in sorted(bundle.manifest.files):
        store.write(f"{directory}/{name}", bundle.path / name)
    store.write(f"{directory}/{SIGNATURE}", signature)
    store.write(f"{directory}/{MANIFEST}", manifest)
    return Pushed(pushed.uri, pushed.digest, created=True)


def fetch_bundle(
    store: ObjectStore, target: Path, *, trusted: Keyring | None, digest: str | None, budget: Budget
) -> Fetched:
    """Bring a bundle here and verify it; ``target`` then is the bundle's directory.

    Nothing is believed before it is proved: the manifest must have the digest, the
    signature must be by a trusted key, and only then are the files asked for that the
    manifest names, each held to its size and hash. Until all are here they lie below
    ``target/.fetching``, where a later try goes on; the manifest, without which there
    is no bundle, appears last.

    Args:
        store: the bundle's own directory, as ``push_bundle`` named it.
        target: an empty directory (it may be a mount point), or one with this bundle in it.
        trusted: keys of which one must have signed it; None, where the digest alone says which it must be.
        digest: which bundle it must be; None takes any that is signed by a trusted key.

    Raises:
        SerinusError: ``SRN-BUNDLE-001`` nothing lies there; ``-002`` unreadable; ``-003`` to ``-006`` as
            ``open_bundle``; ``-008`` not that digest; ``-009`` something else lies in ``target``;
            ``-010`` a file of an impossible name; those of ``download``. ``target`` holds no bundle then.
    """
    if trusted is None and digest is None:
        raise ValueError("a bundle is believed by its digest or by its signature; neither was given")
    if digest is not None and not _DIGEST.fullmatch(digest):
        raise SerinusError(
            "SRN-BUNDLE-008",
            f"{digest!r} is not a digest",
            hint="Give sha256: and 64 hexadecimal digits, as `serinus registry show` and `serinus bundle push` do.",
        )
    partial = target / PARTIAL
    try:
        if (target / MANIFEST).exists():
            return Fetched(_already(target, partial, trusted, digest), 0)
        partial.mkdir(parents=True, exist_ok=True)
        manifest, received = _manifest(store, partial, trusted, digest, budget)
        _foreign(target, partial, manifest)
        for name, entry in sorted(manifest.files.items()):
            received += download(store, name, partial / name, budget, size=entry.size, sha256=entry.sha256)
        for name in sorted({p.name for p in partial.iterdir()} - {*manifest.files, MANIFEST, SIGNATURE}):
            (partial / name).unlink()
        open_bundle(partial, trusted=trusted)  # as the scorer will: one definition of what is sound
        fsync_directory(partial)
        for name in (*sorted(manifest.files), SIGNATURE, MANIFEST):
            os.chmod(partial / name, 0o444)
            os.replace(partial / name, target / name)
        partial.rmdir()
        fsync_directory(target)
    except OSError as error:
        raise unwritable(target, error) from error
    return Fetched(Bundle(target, manifest, manifest.digest()), received)


def _already(target: Path, partial: Path, trusted: Keyring | None, digest: str | None) -> Bundle:
    with contextlib.suppress(OSError):
        partial.rmdir()  # of a run that ended between its last two steps
    bundle = open_bundle(target, trusted=trusted)
    if digest is not None and bundle.digest != digest:
        raise _occupied(target, f"the bundle {bundle.digest}")
    return bundle


def _manifest(
    store: ObjectStore, partial: Path, trusted: Keyring | None, digest: str | None, budget: Budget
) -> tuple[Manifest, int]:
    received = 0
    for name in (MANIFEST, SIGNATURE):
        small = Budget(budget.left, min(_LIMITS[name], budget.size), budget.clock, budget.sleep)
        try:
            received += download(store, name, partial / name, small)
        except SerinusError as error:
            if error.code != "SRN-STORE-002":
                raise
            raise _incomplete(store.where, name) from error
    raw = (partial / MANIFEST).read_bytes()
    found = "sha256:" + hashlib.sha256(raw).hexdigest()
    if digest is not None and found != digest:
        raise SerinusError(
            "SRN-BUNDLE-008",
            f"the bundle that lies there is {found}, not {digest}",
            where=store.where,
            hint="URI and digest do not belong together; `serinus bundle push` prints both. Nothing was written.",
        )
    try:
        manifest = msgspec.json.decode(raw, type=Manifest)
        signature = msgspec.json.decode((partial / SIGNATURE).read_bytes(), type=Signature)
    except msgspec.DecodeError as error:
        raise SerinusError(
            "SRN-BUNDLE-002",
            f"{MANIFEST} or {SIGNATURE} cannot be read ({error})",
            where=store.where,
            hint="The bundle is damaged or was made by another version; push it again from its source.",
        ) from error
    if trusted is not None:
        trusted.verify(manifest.digest(), signature, where=store.where)
    for name in manifest.files:
        # Signed by someone trusted, and still: a name must not lead out of the directory.
        if not _FILE.fullmatch(name) or name in _LIMITS:
            raise SerinusError(
                "SRN-BUNDLE-010",
                f"the manifest names the file {name!r}",
                where=store.where,
                hint="No bundle of serinus has such a file. Find out who signed it.",
            )
    return manifest, received


def _foreign(target: Path, partial: Path, manifest: Manifest) -> None:
    """Take up what a run that ended while it moved the files left; refuse anything else."""
    known = {*manifest.files, SIGNATURE}
    others = sorted({p.name for p in target.iterdir()} - known - {PARTIAL})
    if others:
        raise _occupied(target, ", ".join(others[:5]))
    for name in known:
        if (target / name).exists():
            os.replace(target / name, partial / name)
            os.chmod(partial / name, 0o644)


def _small(store: ObjectStore, name: str, limit: int) -> bytes:
    found = b""
    for chunk in store.read(name):
        found += chunk
        if len(found) > limit:
            break
    return found


def _incomplete(where: str, name: str) -> SerinusError:
    if name == MANIFEST:
        return SerinusError(
            "SRN-BUNDLE-001",
            "there is no bundle (no manifest.json)",
            where=where,
            hint="Give the URI that `serinus bundle push` printed: bundles lie in a directory named by their digest.",
        )
    return SerinusError(
        "SRN-BUNDLE-004",
        "the bundle carries no signature",
        where=where,
        hint="Push it again with `serinus bundle push`; an unsigned bundle is not served.",
    )


def _occupied(target: Path, what: str) -> SerinusError:
    return SerinusError(
        "SRN-BUNDLE-009",
        f"something else lies here: {what}",
        where=str(target),
        hint="Give an empty directory; in a pod, an emptyDir of its own.",
    )
