"""The champion's bundle, wherever it lies: pinned by its digest, believed byte by byte."""

from __future__ import annotations

import re
from pathlib import Path

from serinus.bundle import Bundle, fetch_bundle, open_bundle
from serinus.errors import SerinusError
from serinus.storage import Budget, open_store, parse_location

_HEX = re.compile(r"[0-9a-f]{64}")
_TIME, _LARGEST = 900.0, 1 << 34


def bring(place: str, digest: str, target: Path) -> Bundle:
    """Open the bundle at ``place``, or fetch it to ``target`` and open it there.

    Args:
        place: a directory, ``file:///…`` or ``s3://…``.
        digest: which bundle it must be, ``sha256:…``. "" takes it from the last part of the URI, where
            ``push_bundle`` puts it. The digest commits to every byte, so no key is needed here; who
            names it has seen the signature.

    Raises:
        SerinusError: ``SRN-PIPELINE-042`` no digest is known; ``SRN-BUNDLE-008`` another bundle lies there;
            those of ``open_bundle``, ``fetch_bundle`` and the store.
    """
    last = place.rstrip("/").rpartition("/")[2]
    wanted = digest or (f"sha256:{last}" if _HEX.fullmatch(last) else "")
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", wanted):
        raise SerinusError(
            "SRN-PIPELINE-042",
            f"which bundle the champion's must be is not said ({wanted!r} is no digest)"
            if wanted
            else "which bundle the champion's must be is not said",
            where=place,
            hint="Give champion_digest=sha256:… (`serinus registry show` has it), or a URI that ends in the digest's "
            "64 hexadecimal digits, as `serinus bundle push` prints it.",
        )
    location = parse_location(place) if "://" in place else None
    if location is not None and location.scheme != "file":
        store = open_store(location)
        return fetch_bundle(store, target, trusted=None, digest=wanted, budget=Budget(_TIME, _LARGEST)).bundle
    bundle = open_bundle(location.path if location else place, trusted=None)
    if bundle.digest != wanted:
        raise SerinusError(
            "SRN-BUNDLE-008",
            f"the bundle that lies there is {bundle.digest}, not {wanted}",
            where=place,
            hint="URI and digest do not belong together; `serinus registry show` prints both.",
        )
    return bundle
