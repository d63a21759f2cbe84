"""The ``seldon.io/last-applied`` annotation: what was sent last, as a zipped JSON in base64."""

from __future__ import annotations

import base64
import io
import json
import zipfile

from tests.cluster.kube import Obj

ANNOTATION = "seldon.io/last-applied"


def note(obj: Obj) -> str:
    """The annotation's value for an object about to be sent."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        text = json.dumps(obj, separators=(",", ":"), sort_keys=True)
        archive.writestr(zipfile.ZipInfo("original"), text, zipfile.ZIP_DEFLATED)
    return base64.b64encode(buffer.getvalue()).decode()


def noted(obj: Obj) -> Obj | None:
    """What a live object says was sent last, or None if it does not say."""
    value = (obj["metadata"].get("annotations") or {}).get(ANNOTATION)
    if value is None:
        return None
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(value))) as archive:
        return json.loads(archive.read("original"))


def holds(wanted: object, live: object) -> bool:
    """Is everything that is wanted there, whatever the API server's defaults added?"""
    if isinstance(wanted, dict) and isinstance(live, dict):
        return all(key in live and holds(value, live[key]) for key, value in wanted.items())
    if isinstance(wanted, list) and isinstance(live, list):
        return len(wanted) == len(live) and all(map(holds, wanted, live))
    return wanted == live
